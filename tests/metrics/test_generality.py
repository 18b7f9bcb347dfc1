"""Class-Independence and Dependence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.contracts import NotApplicable, Tables
from metrics import class_independence, dependence
from metrics.generality import class_independence_of, dependence_of

AUTHORS_FLOOR = 1e-8


def test_class_independence_golden(case, precision, tolerance):
    features, labels = case.tensor("features_train", precision), case.tensor("labels_train")
    got = class_independence(features, labels, denominator_floor=AUTHORS_FLOOR).item()
    for key in (
        f"exp_class_independence_{precision}",
        f"exp_class_independence_alt_{precision}",
        f"exp_pipeline_class_independence_{precision}",
    ):
        assert got == pytest.approx(float(case[key]), rel=0, abs=tolerance)
    if case.name != "edge":  # without a constant feature the floor decides nothing
        assert class_independence(features, labels).item() == got


def test_a_constant_feature_does_not_count(golden_case):
    """Golden item 13: the authors' floor makes it 1, fully independent."""
    case = golden_case("edge")
    features, labels = case.tensor("features_train"), case.tensor("labels_train")
    plain = class_independence(features, labels, reduction="none")
    floored = class_independence(features, labels, "none", denominator_floor=AUTHORS_FLOOR)
    assert plain.isnan().tolist() == [False] * 11 + [True]
    assert floored[-1] == 1
    torch.testing.assert_close(plain[:-1], floored[:-1], rtol=0, atol=0)
    assert class_independence(features, labels).item() == pytest.approx(floored[:-1].mean().item())
    with pytest.raises(NotApplicable, match="constant"):
        class_independence(features[:, -1:], labels)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.floats(0.01, 100), st.floats(-100, 100))
def test_class_independence_against_a_plain_loop(seed, scale, shift):
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(40, 3)), rng.integers(0, 5, 40)
    shares = []
    for column in features.T:
        zero_based = column - column.min()
        per_class = [zero_based[labels == c].sum() for c in range(5)]
        shares.append(max(per_class) / zero_based.sum())
    got = class_independence(torch.from_numpy(features * scale + shift), torch.from_numpy(labels))
    assert got.item() == pytest.approx(1 - np.mean(shares), abs=1e-9)


def test_class_independence_extremes():
    labels = torch.arange(4).repeat_interleave(3)
    detector = torch.nn.functional.one_hot(labels, 4).float()
    assert class_independence(detector, labels).item() == 0
    shared = torch.tensor([0.0, 1.0, 2.0]).repeat(4)[:, None]
    assert class_independence(shared, labels).item() == pytest.approx(0.75)


def test_dependence_golden(case, precision, tolerance):
    got = dependence(
        case.tensor("features_train", precision),
        case.tensor("outputs_train", precision),
        case.tensor("weight", precision),
    ).item()
    assert got == pytest.approx(float(case[f"exp_dependence_{precision}"]), rel=0, abs=tolerance)
    key = f"exp_pipeline_dependence_{precision}"
    if key in case.arrays:
        assert got == pytest.approx(float(case[key]), rel=0, abs=tolerance)


def test_columns_must_agree(golden_case):
    """Golden item 8: where a column is unused the authors' pipeline crashes; here both are cut."""
    case = golden_case("edge")
    features, logits = case.tensor("features_train"), case.tensor("outputs_train")
    assert "must match the size" in str(case["exp_pipeline_qsenn_error_f64"])
    with pytest.raises(ValueError, match="restrict both"):
        dependence(features, logits, case.used("weight"))
    cut = dependence(case.used("features_train"), logits, case.used("weight"))
    assert cut.item() == pytest.approx(float(case["exp_dependence_f64"]), rel=0, abs=1e-9)


def test_dependence_by_hand_and_without_contributions():
    """Golden item 20."""
    features = torch.tensor([[1.0, -2.0, 5.0], [0.0, 0.0, 3.0], [2.0, 2.0, 2.0]])
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    weight = torch.tensor([[3.0, 1.0, 0.0], [1.0, -1.0, 2.0]])
    got = dependence(features, logits, weight, reduction="none")
    torch.testing.assert_close(got, torch.tensor([0.6, torch.nan, 0.5]), equal_nan=True)
    assert dependence(features, logits, weight).item() == pytest.approx(0.55)
    with pytest.raises(NotApplicable):
        dependence(features[1:2], logits[1:2], weight)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_diverged_features_are_refused(bad):
    features = torch.rand(4, 2)
    features[2, 1] = bad
    labels = torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="NaN or infinite"):
        class_independence(features, labels)
    with pytest.raises(ValueError, match="NaN or infinite"):
        dependence(features, torch.rand(4, 3), torch.rand(3, 2))


def test_adapters_stream_over_tables():
    rng = torch.Generator().manual_seed(0)
    tables = Tables(
        features=torch.randn(9001, 4, generator=rng),
        logits=torch.randn(9001, 3, generator=rng),
        labels=torch.randint(0, 3, (9001,), generator=rng),
        weight=torch.randn(3, 4, generator=rng),
    )
    whole = dependence(tables.features.double(), tables.logits, tables.weight.double()).item()
    assert dependence_of(tables) == pytest.approx(whole, abs=1e-7)
    tau = class_independence(tables.features, tables.labels).item()
    assert class_independence_of(tables) == tau
