"""Sparsification against the authors' golden cases, and where ours is right and theirs is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from methods.glm_saga.sparsify import densest_with_at_most, sldd_cut, ternary, ternary_layer
from methods.glm_saga.table import open_table

QSENN = ["typical", "neg_max", "few_nonzeros", "equal_counts", "per_class_3"]
SLDD = [
    "typical",
    "per_class_4_keeps_5",
    "none_sparse_enough",
    "few_nonzeros",
    "first_skipped",
    "exactly_ten_tie",
]


@pytest.fixture(scope="module")
def quantisation(golden):
    return golden("quantisation")


def last_regularised(case, name):
    weight = case[f"qsenn_{name}_path_weights"][-2].astype(np.float64)
    bias = case[f"qsenn_{name}_path_biases"][-2].astype(np.float64)
    return weight, bias, int(case[f"qsenn_{name}_per_class"])


def path_of(weights, biases=None):
    weights = np.asarray(weights, dtype=np.float64)
    biases = np.zeros(weights.shape[:2]) if biases is None else biases
    return SimpleNamespace(weights=weights, biases=biases)


@pytest.mark.parametrize("name", QSENN)
def test_ternary_as_published(quantisation, name):
    weight, bias = ternary(*last_regularised(quantisation, name), as_published=True)
    expected = quantisation[f"exp_qsenn_{name}_weight_f64"]
    np.testing.assert_array_equal(np.sign(weight), np.sign(expected))
    np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(bias, quantisation[f"exp_qsenn_{name}_bias_f64"], atol=1e-10)


@pytest.mark.parametrize("name", ["typical", "neg_max", "equal_counts", "per_class_3"])
def test_ternary_keeps_signs(quantisation, name):
    weight, bias = ternary(*last_regularised(quantisation, name))
    expected = quantisation[f"own_qsenn_{name}_weight_symmetric"]
    np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-10)
    level = quantisation[f"own_qsenn_{name}_level_symmetric"]
    assert np.abs(weight).max() == pytest.approx(float(level), abs=1e-10)
    assert np.isfinite(bias).all()


def test_ternary_equals_the_published_where_that_has_no_fault(quantisation):
    weight, bias = ternary(*last_regularised(quantisation, "typical"))
    np.testing.assert_allclose(
        weight, quantisation["exp_qsenn_typical_weight_f64"], rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(bias, quantisation["exp_qsenn_typical_bias_f64"], atol=1e-10)


def test_ternary_faults_of_the_published_code_are_seen(quantisation):
    """Each of the three faults changes its case, so that the option is no mere decoration."""
    for name, what in (("neg_max", 0), ("few_nonzeros", 0), ("equal_counts", 1)):
        arguments = last_regularised(quantisation, name)
        ours, theirs = ternary(*arguments)[what], ternary(*arguments, as_published=True)[what]
        assert not np.allclose(ours, theirs), name


def test_ternary_keeps_all_where_there_are_few(quantisation):
    weight, bias, per_class = last_regularised(quantisation, "few_nonzeros")
    found, _ = ternary(weight, bias, per_class)
    np.testing.assert_array_equal(np.sign(found), np.sign(weight))


def test_ternary_bias_of_equal_counts_favours_no_class(quantisation):
    _, bias = ternary(*last_regularised(quantisation, "equal_counts"))
    assert np.ptp(bias) == 0


@given(
    weight=arrays(
        np.float64, (5, 7), elements=st.floats(-3, 3).map(lambda v: round(v, 1))
    ),  # rounded, so that magnitudes tie
    bias=arrays(np.float64, 5, elements=st.floats(-2, 2)),
    n_per_class=st.integers(1, 9),
)
def test_ternary_properties(weight, bias, n_per_class):
    found, ramp = ternary(weight, bias, n_per_class)
    levels = np.unique(np.abs(found[found != 0]))
    assert len(levels) <= 1
    assert (found != 0).sum() == min(n_per_class * 5, (weight != 0).sum())
    assert np.all(found * weight >= 0)
    left_out, kept = np.abs(weight[found == 0]), np.abs(weight[found != 0])
    assert not len(kept) or not len(left_out) or kept.min() >= left_out.max()
    assert np.isfinite(ramp).all()
    assert np.abs(ramp).max() <= np.abs(bias).max() + 1e-12
    balance = np.sign(found).sum(1)
    assert np.all(np.diff(ramp[np.argsort(balance)]) <= 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_ternary_layer_is_the_one_that_fits_best(seed):
    """Against the cross-entropies of all layers, computed plainly."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(2, 3, size=(300, 8)), rng.integers(0, 5, 300)
    x[np.arange(300), y] += 5
    z = (x - x.mean(0)) / x.std(0)
    weights = rng.normal(size=(6, 5, 8)) * np.linspace(0.2, 3, 6)[:, None, None]
    weights[:, np.arange(5), np.arange(5)] += 2
    weights[0].flat[9:] = 0  # 9 weights where 10 are asked for: not considered
    biases = rng.normal(size=(6, 5))
    losses = [np.inf]
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        w, b = ternary(weight, bias, 2)
        logits = z @ w.T + b
        losses.append(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(300), y]))
    table = open_table(x.astype(np.float32), y, 5)
    w, b, index = ternary_layer(path_of(weights, biases), table, 2)
    assert index == np.argmin(losses)
    np.testing.assert_array_equal(w, ternary(weights[index], biases[index], 2)[0])
    np.testing.assert_array_equal(b, ternary(weights[index], biases[index], 2)[1])


def test_ternary_layer_of_a_path_with_few_weights_is_the_last():
    weights = np.zeros((3, 2, 4))
    weights[1, 0, 0] = weights[2, 0, 1] = 1.0
    table = open_table(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 2)
    w, _, index = ternary_layer(path_of(weights), table, 3)
    assert index == 2
    assert (w != 0).sum() == 1


@pytest.mark.parametrize("name", SLDD)
def test_sldd_as_published(quantisation, name):
    path = SimpleNamespace(
        weights=quantisation[f"sldd_{name}_path_weights"],
        biases=quantisation[f"sldd_{name}_path_biases"],
    )
    per_class = int(quantisation[f"sldd_{name}_per_class"])
    weight, bias, index = sldd_cut(path, per_class, as_published=True)
    assert index == quantisation[f"exp_sldd_{name}_index"]
    np.testing.assert_array_equal(weight, quantisation[f"exp_sldd_{name}_weight"])
    np.testing.assert_array_equal(bias, quantisation[f"exp_sldd_{name}_bias"])


@pytest.mark.parametrize("name", SLDD)
def test_sldd_respects_what_is_asked_for(quantisation, name):
    weights = quantisation[f"sldd_{name}_path_weights"]
    before = weights.copy()
    path = SimpleNamespace(weights=weights, biases=quantisation[f"sldd_{name}_path_biases"])
    per_class = int(quantisation[f"sldd_{name}_per_class"])
    weight, _, index = sldd_cut(path, per_class)
    np.testing.assert_array_equal(weights, before)  # the authors' code edits the path in place
    kept = weight != 0
    assert kept.sum() == min(per_class * len(weight), (weights[index] != 0).sum())
    np.testing.assert_array_equal(weight[kept], weights[index][kept])
    assert np.abs(weight[kept]).min() >= np.abs(weights[index][~kept]).max()


def test_sldd_may_choose_the_first_point():
    weights = np.zeros((2, 2, 30))
    weights[0, :, :4] = 1.0
    weights[1] = 1.0
    assert sldd_cut(path_of(weights), 2)[2] == 0


def test_densest_point():
    counts = [0, 3, 6, 5, 6, 9]
    weights = np.zeros((6, 2, 5))
    for point, count in zip(weights, counts, strict=True):
        point.flat[:count] = 1.0
    path = path_of(weights)
    assert [densest_with_at_most(path, k) for k in (0, 1, 2, 2.5, 3, 4, 5)] == [0, 0, 1, 3, 2, 2, 5]


def test_densest_point_of_a_path_without_one():
    with pytest.raises(ValueError, match="at most 2 weights per class"):
        densest_with_at_most(path_of(np.ones((3, 2, 5))), 2)
