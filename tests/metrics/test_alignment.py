"""Feature alignment with annotated attributes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.contracts import ImageAttributes, NotApplicable, Tables
from metrics import alignment_matrix, feature_alignment
from metrics.alignment import feature_alignment_of


def by_hand(features, rows, kept):
    """Equations 28 and 29, attribute by attribute."""
    matrix = np.full((features.shape[1], rows.attribute.max() + 1), np.nan)
    for d, column in enumerate(features.T):
        for a in range(matrix.shape[1]):
            of_attribute = kept & (rows.attribute == a)
            present = column[rows.image[of_attribute & rows.present]]
            absent = column[rows.image[of_attribute & ~rows.present]]
            scale = (column - column.min()).mean()
            if len(present) and len(absent) and scale > 0:
                matrix[d, a] = (present.mean() - absent.mean()) / scale
    return matrix


def test_golden_matrix(case, precision, tolerance):
    got = alignment_matrix(case.tensor("features_train", precision), case.attributes)
    want = case[f"exp_alignment_matrix_{precision}"]
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["binary", "ternary", "dense"])
def test_golden_value(golden_case, name, precision, tolerance):
    case = golden_case(name)
    got = feature_alignment(case.tensor("features_train", precision), case.attributes).item()
    for key in (
        f"exp_feature_alignment_{precision}",
        f"exp_pipeline_feature_alignment_{precision}",
    ):
        assert got == pytest.approx(float(case[key]), rel=0, abs=tolerance)


def test_a_constant_feature_does_not_count(golden_case):
    """Golden item 19: the authors' mean is NaN as soon as there is one."""
    case = golden_case("edge")
    assert np.isnan(case["exp_feature_alignment_f64"])
    best = feature_alignment(case.tensor("features_train"), case.attributes, reduction="none")
    assert best.isnan().tolist() == [False] * 11 + [True]
    got = feature_alignment(case.tensor("features_train"), case.attributes).item()
    want = case["exp_alignment_matrix_f64"][:11].max(axis=1).mean()
    assert got == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("not_visible", [False, True])
def test_certainties(golden_case, not_visible):
    """Golden item 19: certainty 1 is dropped, with the intended relabelling as an option."""
    case = golden_case("ternary")
    features, rows = case["features_train"].astype(float), case.attributes
    kept = rows.certainty >= 3
    if not_visible:
        kept |= rows.certainty == 1
    got = alignment_matrix(torch.from_numpy(features), rows, count_not_visible=not_visible)
    np.testing.assert_allclose(got, by_hand(features, rows, kept), rtol=0, atol=1e-12)


def test_minimum_certainty(golden_case):
    case = golden_case("binary")
    features, rows = case["features_train"].astype(float), case.attributes
    got = alignment_matrix(torch.from_numpy(features), rows, minimum_certainty=4)
    np.testing.assert_allclose(got, by_hand(features, rows, rows.certainty >= 4), atol=1e-12)


def random_rows(rng, samples=20, attributes=4, count=200):
    return ImageAttributes(
        rng.integers(0, samples, count),
        rng.integers(0, attributes, count),
        rng.random(count) < 0.4,
        rng.integers(1, 5, count).astype(np.int8),
    )


def test_attributes_always_or_never_present_do_not_count():
    """Golden item 19."""
    rng = np.random.default_rng(0)
    rows = random_rows(rng)
    present = rows.present.copy()
    present[rows.attribute == 1] = True
    present[rows.attribute == 2] = False
    rows = ImageAttributes(rows.image, rows.attribute, present, rows.certainty)
    features = rng.normal(size=(20, 3))
    want = by_hand(features, rows, rows.certainty >= 3)
    assert np.isnan(want[:, 1:3]).all()
    assert not np.isnan(want[:, [0, 3]]).any()
    got = feature_alignment(torch.from_numpy(features), rows)
    assert got.item() == pytest.approx(np.nanmax(want, axis=1).mean(), abs=1e-12)


def test_scale_and_shift_of_a_feature_do_not_matter():
    rng = np.random.default_rng(1)
    features, rows = torch.from_numpy(rng.normal(size=(20, 3))), random_rows(rng)
    moved = features * torch.tensor([0.1, 5.0, 70.0]) + torch.tensor([3.0, -9.0, 0.0])
    torch.testing.assert_close(feature_alignment(features, rows), feature_alignment(moved, rows))


def test_a_constant_that_no_float_holds_exactly_is_still_constant():
    rows = random_rows(np.random.default_rng(2))
    features = torch.full((20, 1), 0.1)
    with pytest.raises(NotApplicable, match="no feature varies"):
        feature_alignment(features, rows)


def test_nothing_annotated_does_not_apply():
    empty = np.zeros(0, dtype=np.int64)
    rows = ImageAttributes(empty, empty, empty.astype(bool), empty.astype(np.int8))
    with pytest.raises(NotApplicable):
        feature_alignment(torch.rand(4, 2), rows)


def test_large_training_sets_are_measured_too():
    """Golden item 9: no 0 from 7000 training images on."""
    rng = np.random.default_rng(4)
    rows = random_rows(rng, samples=7000, count=20000)
    features = rng.normal(size=(7000, 2))
    want = np.nanmax(by_hand(features, rows, rows.certainty >= 3), axis=1).mean()
    got = feature_alignment(torch.from_numpy(features), rows)
    assert got.item() == pytest.approx(want, abs=1e-12)


def test_rows_beyond_the_samples_are_named():
    rows = random_rows(np.random.default_rng(3))
    with pytest.raises(ValueError, match="of 5 training images"):
        feature_alignment(torch.rand(5, 2), rows)


def test_adapter(golden_case):
    case = golden_case("binary")
    tables = Tables(
        case.tensor("features_train"),
        case.tensor("outputs_train"),
        case.tensor("labels_train"),
        case.tensor("weight"),
        image_attributes=case.attributes,
    )
    want = float(case["exp_pipeline_feature_alignment_f64"])
    assert feature_alignment_of(tables) == pytest.approx(want, rel=0, abs=1e-9)
