"""Contrastiveness: the fit against golden runs and scikit-learn, the overlap in closed form."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from benchmark.contracts import NotApplicable, Tables
from metrics import contrastiveness, fit_two_normals, normal_overlap
from metrics.mixtures import _two_means, contrastiveness_of


def test_golden_value(case):
    """Golden item 14: within 1e-3 of the authors' mean; our own exact target much closer."""
    got = contrastiveness(case.tensor("features_train", "f32")).item()
    assert got == pytest.approx(float(case["own_contrastiveness_2means_stop"]), rel=0, abs=1e-9)
    assert got == pytest.approx(float(case["exp_contrastiveness_mean"]), rel=0, abs=1e-3)


def test_golden_value_of_every_feature(case, precision):
    got = contrastiveness(case.tensor("features_train", precision), reduction="none")
    np.testing.assert_allclose(1 - got, case["own_overlap_2means_stop"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(1 - got, case["exp_overlap_seeds"].mean(0), rtol=0, atol=0.02)


def test_golden_overlap_of_given_normals(case):
    means, variances = (torch.from_numpy(case[f"exp_gmm_{name}"]) for name in ("means", "vars"))
    got = normal_overlap(means, variances)
    np.testing.assert_allclose(got, case["exp_overlap_seeds"], rtol=0, atol=1e-9)
    swapped = normal_overlap(means.flip(-1), variances.flip(-1))
    np.testing.assert_allclose(swapped, case["exp_overlap_seeds"], rtol=0, atol=1e-9)


def test_zeros_of_a_rectified_feature_are_a_spike(golden_case):
    """Golden item 15: the metric is near 1 whatever the rest of the feature looks like."""
    case = golden_case("binary")
    fit = fit_two_normals(case.tensor("features_train"))
    assert bool((contrastiveness(case.tensor("features_train"), "none") > 0.99).all())
    np.testing.assert_allclose(fit.variances[:, 0], 1e-6, rtol=0.1)  # the floor


def test_many_features_are_computed():
    """Golden item 10: no -1 beyond 1000 features."""
    features = torch.randn(30, 1001, generator=torch.Generator().manual_seed(0))
    values = contrastiveness(features, reduction="none")
    assert values.shape == (1001,)
    assert 0 < values.min() <= values.max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_fit_against_scikit_learn_from_the_same_start(seed):
    """Same start and stopping rule: the same mixture, step for step."""
    rng = np.random.default_rng(seed)
    features = np.stack(
        [
            rng.normal(size=300),
            rng.gamma(1.5, size=300),
            np.concatenate([rng.normal(size=100), rng.normal(6, 0.5, size=200)]),
            np.maximum(rng.normal(size=300), 0),
            rng.normal(1000, 0.01, size=300),
            rng.standard_t(2, size=300),
        ],
        axis=1,
    )
    fit = fit_two_normals(torch.from_numpy(features))
    weight, mean, variance = (t.squeeze(2).T for t in _two_means(torch.from_numpy(features.T)))
    for d, values in enumerate(features.T):
        reference = GaussianMixture(
            2,
            weights_init=weight[d].numpy(),
            means_init=mean[d, :, None].numpy(),
            precisions_init=1 / (variance[d, :, None, None].numpy() + 1e-6),
        ).fit(values[:, None])
        order = reference.means_[:, 0].argsort()
        assert fit.steps[d] == reference.n_iter_
        np.testing.assert_allclose(fit.means[d], reference.means_[order, 0], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(
            fit.variances[d], reference.covariances_[order, 0, 0], rtol=1e-6, atol=1e-9
        )
        np.testing.assert_allclose(fit.weights[d], reference.weights_[order], atol=1e-8)
        assert fit.log_likelihood[d].item() == pytest.approx(reference.lower_bound_, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100, width=16), min_size=2, max_size=12))
def test_two_means_start_is_the_best_of_all_splits(values):
    x = np.sort(np.array(values))

    def within(size):
        return sum(((part - part.mean()) ** 2).sum() for part in (x[:size], x[size:]))

    weight, mean, variance = _two_means(torch.from_numpy(x)[None])
    best = min(within(size) for size in range(1, len(x)))
    assert (weight * variance).sum().item() * len(x) == pytest.approx(best, abs=1e-6)
    assert (weight * mean).sum().item() == pytest.approx(x.mean(), abs=1e-9)


def integral_of_the_smaller(means, variances):
    a, b = (NormalDist(m, v**0.5) for m, v in zip(means, variances, strict=True))
    reach = 12 * max(a.stdev, b.stdev)
    grid = np.concatenate(
        [np.linspace(n.mean - r, n.mean + r, 20001) for n in (a, b) for r in (12 * n.stdev, reach)]
    )
    grid = np.unique(grid)
    density = [
        np.exp(-0.5 * ((grid - n.mean) / n.stdev) ** 2) / n.stdev / np.sqrt(2 * np.pi)
        for n in (a, b)
    ]
    return np.trapezoid(np.minimum(*density), grid)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    st.tuples(st.floats(-3, 2), st.floats(-3, 2)),
)
def test_overlap_against_numerical_integration(means, log_variances):
    variances = [10.0**v for v in log_variances]
    got = normal_overlap(torch.tensor(means).double(), torch.tensor(variances).double()).item()
    assert got == pytest.approx(integral_of_the_smaller(means, variances), abs=2e-5)
    assert -1e-12 <= got <= 1 + 1e-12


@pytest.mark.parametrize("apart", [0.0, 1e-9, 0.3, 4.0, 50.0])
@pytest.mark.parametrize("nearly", [0.0, 1e-16, 1e-13, 1e-9])
def test_overlap_of_normals_of_nearly_the_same_width(apart, nearly):
    """Where the crossings are a difference of huge numbers; equal widths have a simple formula."""
    means = torch.tensor([0.0, apart], dtype=torch.float64)
    variances = torch.tensor([2.0, 2.0 * (1 + nearly)], dtype=torch.float64)
    want = 2 * NormalDist().cdf(-apart / 2 / 2**0.5)
    assert normal_overlap(means, variances).item() == pytest.approx(want, abs=1e-9)


def test_overlap_of_normals_of_clearly_different_width_against_the_standard_library():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200, 2))
    variances = 10 ** rng.uniform(-3, 2, size=(200, 1)) * [[1, 1.5]]
    want = [
        NormalDist(m[0], v[0] ** 0.5).overlap(NormalDist(m[1], v[1] ** 0.5))
        for m, v in zip(means, variances, strict=True)
    ]
    got = normal_overlap(torch.from_numpy(means), torch.from_numpy(variances))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_blocks_and_threads_do_not_change_the_result(monkeypatch):
    features = torch.randn(200, 9, generator=torch.Generator().manual_seed(1)).exp()
    whole = fit_two_normals(features)
    monkeypatch.setattr("metrics.mixtures.CPU_ELEMENTS", 200 * 2)
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            cut = fit_two_normals(features)
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
        for a, b in zip(whole, cut, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_shift_and_mirror_do_not_matter():
    features = torch.randn(200, 4, generator=torch.Generator().manual_seed(2)).double() ** 3
    want = contrastiveness(features, "none")
    torch.testing.assert_close(contrastiveness(features + 50, "none"), want, rtol=0, atol=1e-9)
    torch.testing.assert_close(contrastiveness(-features, "none"), want, rtol=0, atol=1e-9)


def test_constant_and_tiny_features():
    """Both normals of a constant are the same: nothing stands out. (So does the golden case.)"""
    constant = torch.full((10, 1), 0.1)
    assert contrastiveness(constant).item() == pytest.approx(0, abs=1e-9)
    two_values = torch.tensor([[0.0], [0.0], [3.0]])
    assert contrastiveness(two_values).item() == pytest.approx(1)
    assert bool(fit_two_normals(torch.rand(2, 3)).means.isfinite().all())


def test_bad_input_is_named():
    with pytest.raises(NotApplicable, match="to 1 samples"):
        contrastiveness(torch.rand(1, 3))
    with pytest.raises(NotApplicable, match="no features"):
        contrastiveness(torch.rand(5, 0))
    with pytest.raises(ValueError, match="NaN or infinite"):
        contrastiveness(torch.tensor([[1.0], [torch.nan], [2.0]]))
    with pytest.raises(ValueError, match=r"a table \(n, m\)"):
        contrastiveness(torch.rand(5))


def test_adapter():
    features = torch.rand(30, 4)
    tables = Tables(features, torch.rand(30, 3), torch.zeros(30), torch.rand(3, 4))
    assert contrastiveness_of(tables) == contrastiveness(features).item()
