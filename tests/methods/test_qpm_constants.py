"""A, R and b against the authors' code, scikit-learn, scipy, and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from benchmark.features import Locality, _Sums
from methods.qpm import constants

CASES = ["qpconst_partial_batch", "qpconst_full_batches"]


def sums_of(case: dict) -> Locality:
    maps = torch.from_numpy(case["feature_maps"]).double()
    sums = _Sums(maps.shape[1])
    for batch in maps.split(64):  # streamed: the batches must not matter
        sums.add(batch, batch.mean((2, 3)))
    return Locality(**sums.result())


@pytest.mark.parametrize("name", CASES)
def test_similarity_and_redundancy_are_the_authors(name, golden) -> None:
    case = golden(name)
    n_classes = int(case["labels"].max()) + 1
    similarity = constants.pearson(case["features"].astype(np.float64), case["labels"], n_classes)
    np.testing.assert_allclose(similarity.T, case["exp_A_f64"], atol=1e-10)
    scaled = constants.scale_to_one(similarity)
    np.testing.assert_allclose(scaled.T, case["exp_A_scaled"], atol=1e-10)
    cosine = constants.cosine_similarity(scaled)
    expected = np.triu(case["exp_R_upper_nonneg"], 1)
    # Item 25: the authors divide R by its largest entry, the diagonal's 1, which changes nothing.
    np.testing.assert_allclose(np.triu(cosine, 1), expected, atol=1e-10)
    assert np.all(np.diag(cosine) == 0)


@pytest.mark.parametrize("name", CASES)
def test_locality_terms_are_the_authors(name, golden) -> None:
    case = golden(name)
    sums = sums_of(case)
    # Item 26: in a partial last batch the authors weigh by other samples' activations; ours is
    # what they meant, which `own_average_softmax_rowwise` holds.
    np.testing.assert_allclose(sums.share_peak, case["own_average_softmax_rowwise"], atol=1e-10)
    np.testing.assert_allclose(-sums.share_edge, case["own_edge_mask"], atol=1e-10)
    if name == "qpconst_full_batches":
        np.testing.assert_allclose(sums.share_peak, case["exp_average_softmax_f64"], atol=1e-10)
        bias = constants.locality_as_published(sums)
        np.testing.assert_allclose(bias, case["exp_locality_bias_f64"], atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_equation_8_by_a_plain_loop(name, golden) -> None:
    case = golden(name)
    maps = case["feature_maps"]
    features = maps.mean((2, 3))
    flat = maps.reshape(*maps.shape[:2], -1)
    peak = np.exp(flat - flat.max(2, keepdims=True))
    peak = (peak / peak.sum(2, keepdims=True)).max(2)
    expected = (peak * features).sum(0) / features.sum(0)
    np.testing.assert_allclose(constants.locality(sums_of(case)), expected, rtol=1e-9)


def test_equations_26_and_27_by_a_plain_loop(golden) -> None:
    case = golden(CASES[1])
    maps = case["feature_maps"]
    n, d, height, width = maps.shape
    expected = np.zeros(d)
    for i, j in itertools.product(range(n), range(d)):
        y, x = np.unravel_index(maps[i, j].argmax(), (height, width))
        distance = min(x, width - 1 - x, y, height - 1 - y)
        expected[j] += maps[i, j].mean() / (1 + distance)
    expected /= maps.mean((2, 3)).sum(0)
    np.testing.assert_allclose(constants.centre(sums_of(case)), -expected, rtol=1e-9)


def test_places_on_the_border_also_of_maps_that_are_not_square(golden) -> None:
    case = golden("qpconst_vectors")
    for maps, expected in (("in_maps_nonsquare", "own_on_edge_nonsquare_true"),
                           ("in_maps_square", "exp_on_edge_square")):  # fmt: skip
        given_maps = torch.from_numpy(case[maps]).double()
        for image, row in zip(given_maps, case[expected], strict=True):
            sums = _Sums(given_maps.shape[1])
            sums.add(image[None], torch.ones(1, given_maps.shape[1]).double())
            on_edge = sums.sums["share_edge"] > 0
            np.testing.assert_array_equal(on_edge, row.astype(bool))


@pytest.mark.parametrize(
    "name", ["positive_outliers", "negative_outliers", "mixed_sign", "single_cluster"]
)
def test_clipping_and_scaling(name, golden) -> None:
    case = golden("qpconst_vectors")
    values = case[f"in_{name}"]
    np.testing.assert_allclose(
        constants.largest_cluster(values), case[f"exp_{name}_cluster_range"], atol=1e-12
    )
    published = constants.clip_and_scale(values, as_published=True)
    np.testing.assert_allclose(published, case[f"exp_{name}"], atol=1e-10)
    plain = constants.clip_and_scale(values)
    np.testing.assert_allclose(plain, case[f"own_{name}_plain_clip"], atol=1e-10)


def test_equal_values_have_no_outliers_and_no_bias() -> None:
    assert constants.clip_and_scale(np.full(5, 2.5)).tolist() == [0.0] * 5


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_similarities_against_scipy_and_scikit_learn(seed, n_classes, d) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 20)])
    features = rng.normal(size=(len(labels), d)).round(1)  # rounded, so that there are ties
    features[:, -1] += 1e3  # a large mean must cost no digits
    pearson = constants.pearson(features, labels, n_classes)
    auroc = constants.auroc(features, labels, n_classes)
    for c, j in itertools.product(range(n_classes), range(d)):
        truth = pearsonr(features[:, j], labels == c).statistic
        assert pearson[c, j] == pytest.approx(truth, abs=1e-8)
        assert auroc[c, j] + 0.5 == pytest.approx(roc_auc_score(labels == c, features[:, j]))


def test_a_constant_feature_correlates_with_nothing() -> None:
    features = np.stack([np.full(6, 3.7), np.arange(6.0)], axis=1)
    pearson = constants.pearson(features, np.array([0, 0, 1, 1, 2, 2]), 3)
    assert np.isfinite(pearson).all()
    assert pearson[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_epsilon_leaves_room_for_a_selection_without_penalty() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(10, 24))
    similarity[:, 12:] = similarity[:, :12] + 0.05 * rng.normal(size=(10, 12))  # twins
    for n_features in (4, 8, 12):
        matrix = constants.redundancy(similarity, n_features)
        assert matrix.max() == 1
        assert np.all(np.diag(matrix) == 0)
        assert constants.independent_set(matrix > 0) >= n_features
        np.testing.assert_array_equal(matrix, matrix.T)


def test_epsilon_is_near_the_smallest_on_small_graphs() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        cosine = constants.cosine_similarity(rng.normal(size=(6, 9)))
        found = constants.threshold(cosine, 4)
        best = min(
            max(cosine[i, j] for i, j in itertools.combinations(chosen, 2))
            for chosen in itertools.combinations(range(9), 4)
        )
        assert found > best  # a valid epsilon is above the least largest entry
        above = np.unique(cosine[cosine > best])
        rank = 0 if not len(above) else int(np.searchsorted(above, found))
        assert rank <= 6  # the heuristic is at most a few of 36 values off
