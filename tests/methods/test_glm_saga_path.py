"""The fast elastic-net path against golden optima, scikit-learn and plain float64 arithmetic."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from benchmark.contracts import UserError
from methods.glm_saga.fast import elastic_net_path
from methods.glm_saga.path import ElasticNetPath
from methods.glm_saga.penalty import Elementwise, Grouped
from methods.glm_saga.sparsify import denser_than


def problem(n=120, d=15, n_classes=4, seed=0, spread=1.5):
    """Overlapping classes of unequal size on correlated, shifted features of unequal scale."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.choice(n_classes, n - n_classes)])
    hidden = rng.normal(size=(n_classes, 6))[y] + spread * rng.normal(size=(n, 6))
    x = hidden @ rng.normal(size=(6, d)) + rng.normal(size=(n, d))
    return (x * rng.uniform(0.1, 10, d) + rng.normal(size=d)).astype(np.float32), y


def standardise(x):
    x = x.astype(np.float64)
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-5)


def objective(z, y, weight, bias, lam, alpha):
    """The issue's formula, written plainly."""
    log_p = log_softmax(z @ weight.T.astype(np.float64) + bias, axis=1)
    ridge = (weight.astype(np.float64) ** 2).sum()
    lasso = np.abs(weight.astype(np.float64)).sum()
    return -log_p[np.arange(len(y)), y].mean() + lam * (alpha * lasso + (1 - alpha) / 2 * ridge)


def gradients(z, y, weight, bias):
    """Of the mean cross-entropy, for weights and biases."""
    residual = softmax(z @ weight.T.astype(np.float64) + bias, axis=1)
    residual[np.arange(len(y)), y] -= 1
    return residual.T @ z / len(y), residual.mean(0)


def violation(z, y, weight, bias, lam, alpha):
    """Largest distance of 0 from the objective's subdifferential."""
    g_weight, g_bias = gradients(z, y, weight, bias)
    g = g_weight + lam * (1 - alpha) * weight
    at_zero = np.maximum(np.abs(g) - lam * alpha, 0)
    elsewhere = np.abs(g + lam * alpha * np.sign(weight))
    return max(np.where(weight == 0, at_zero, elsewhere).max(), np.abs(g_bias).max())


@pytest.fixture(scope="module")
def glm_case(golden):
    return golden("glm_saga")


@pytest.fixture(scope="module")
def golden_path(glm_case) -> ElasticNetPath:
    test = (glm_case["X_test"], glm_case["y_test"])
    return elastic_net_path(glm_case["X"], glm_case["y"], 8, n_lambdas=20, zero=True, test=test)


def test_golden_grid_and_standardisation(glm_case, golden_path):
    np.testing.assert_allclose(golden_path.lambdas, glm_case["exp_lambdas"], rtol=1e-5, atol=0)
    np.testing.assert_allclose(golden_path.mean, glm_case["exp_mean"], rtol=1e-5)
    np.testing.assert_allclose(golden_path.deviation, glm_case["exp_std"], rtol=1e-5)


def test_golden_objective_is_the_optimum_and_below_the_package(glm_case, golden_path):
    optimum = glm_case["own_optimum_objective"]
    assert np.all(golden_path.objective[:20] <= optimum * (1 + 5e-5))
    assert np.all(golden_path.objective[:20] >= optimum - 1e-6)
    for case in ("authors", "plain"):
        package = glm_case[f"exp_path_{case}_objective"].min(0)
        assert np.all(golden_path.objective[:20] <= package[:20] + 1e-6)
    assert np.all(golden_path.kkt < 1e-4)
    # At small lambdas the package is far from done: the comparison above is no coincidence.
    assert (
        glm_case["exp_path_authors_objective"].min(0)[:20] / golden_path.objective[:20]
    ).max() > 1.4


def test_golden_supports_where_the_margin_is_clear(glm_case, golden_path):
    z = (glm_case["X"].astype(np.float64) - glm_case["exp_mean"]) / glm_case["exp_std"]
    n_clear = 0
    for index in range(20):
        lam, weight = golden_path.lambdas[index], glm_case["own_optimum_weights"][index]
        gradient, _ = gradients(z, glm_case["y"], weight, glm_case["own_optimum_biases"][index])
        surely_zero = np.abs(gradient) < 0.95 * lam * 0.99
        surely_used = np.abs(weight) > 0.02
        found = golden_path.weights[index] != 0
        assert not found[surely_zero].any()
        assert found[surely_used].all()
        np.testing.assert_array_equal(
            np.sign(golden_path.weights[index])[surely_used], np.sign(weight)[surely_used]
        )
        n_clear += surely_zero.sum() + surely_used.sum()
    assert n_clear > 0.85 * 20 * 8 * 60


def test_golden_test_accuracy_is_near_the_package_s(glm_case, golden_path):
    package = glm_case["exp_path_authors_test_acc"].mean(0)
    assert np.abs(golden_path.test_accuracy - package)[1:20].max() < 0.03
    assert golden_path.validation_accuracy is None


def test_what_the_path_says_of_itself_is_so():
    x, y = problem()
    held_out = problem(seed=1)
    path = elastic_net_path(x, y, 4, n_lambdas=8, zero=True, validation=held_out, alpha=0.9)
    z = standardise(x)
    z_held_out = (held_out[0] - path.mean) / path.deviation
    for i, lam in enumerate(path.lambdas):
        weight, bias = path.weights[i], path.biases[i]
        assert path.objective[i] == pytest.approx(objective(z, y, weight, bias, lam, 0.9), rel=1e-6)
        assert path.train_loss[i] == pytest.approx(objective(z, y, weight, bias, 0, 0.9), rel=1e-6)
        assert path.kkt[i] == pytest.approx(violation(z, y, weight, bias, lam, 0.9), abs=1e-6)
        assert path.nonzeros[i] == (np.abs(weight) > 1e-5).sum()
        predicted = (z @ weight.T + bias).argmax(1)
        assert path.train_accuracy[i] == pytest.approx((predicted == y).mean())
        there = objective(z_held_out, held_out[1], weight, bias, 0, 0.9)
        assert path.validation_loss[i] == pytest.approx(there, rel=1e-4)
    assert path.nonzeros[0] == 0
    assert np.all(
        path.kkt <= np.maximum(0.01 * path.lambdas * 0.9, (path.lambdas == 0) * 1e-4) + 1e-12
    )


# Before scikit-learn 1.8 the penalty must be named; from 1.10 on it must not.
NAMED = {} if Version(sklearn.__version__) >= Version("1.8") else {"penalty": "elasticnet"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("alpha", "seed"), [(0.99, 0), (0.5, 1), (1.0, 2)])
def test_same_objective_as_scikit_learn(alpha, seed):
    x, y = problem(seed=seed)
    z = standardise(x)
    path = elastic_net_path(x, y, 4, alpha=alpha, n_lambdas=4, ratio=0.02)
    for index in range(1, 4):
        lam = path.lambdas[index]
        reference = LogisticRegression(
            C=1 / (lam * len(y)), l1_ratio=alpha, solver="saga",
            max_iter=10_000, tol=1e-9, random_state=0, **NAMED,
        ).fit(z, y)  # fmt: skip
        best = objective(z, y, reference.coef_, reference.intercept_, lam, alpha)
        assert path.objective[index] <= best * (1 + 1e-4)
        assert path.objective[index] >= best * (1 - 1e-4)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(10, 60),
    d=st.integers(1, 30),
    n_classes=st.integers(2, 6),
    alpha=st.sampled_from([0.3, 0.8, 0.99, 1.0]),
)
def test_every_point_satisfies_the_optimality_conditions(seed, n, d, n_classes, alpha):
    x, y = problem(n, d, n_classes, seed)
    path = elastic_net_path(x, y, n_classes, alpha=alpha, n_lambdas=5, ratio=0.01)
    z = standardise(x)
    for i, lam in enumerate(path.lambdas):
        found = violation(z, y, path.weights[i], path.biases[i], lam, alpha)
        assert found <= 0.01 * lam * alpha + 1e-6


def test_screening_changes_nothing():
    """Far more features than the strong rule keeps, so that restricted tables are solved."""
    x, y = problem(n=80, d=300, n_classes=5)
    path = elastic_net_path(x, y, 5, n_lambdas=40, ratio=0.1)
    z = standardise(x)
    assert path.weights.any((1,)).mean() < 0.5
    for i, lam in enumerate(path.lambdas):
        assert violation(z, y, path.weights[i], path.biases[i], lam, 0.99) <= 0.01 * lam + 1e-6


def test_float64_goes_where_float32_cannot():
    x, y = problem()
    path = elastic_net_path(
        x, y, 4, n_lambdas=5, tolerance=1e-5, dtype=torch.float64, max_iterations=20_000
    )
    assert np.all(path.kkt <= 1e-5 * path.lambdas)
    loose = elastic_net_path(x, y, 4, n_lambdas=5)
    assert np.all(loose.objective - path.objective >= -1e-7)
    np.testing.assert_allclose(loose.objective, path.objective, rtol=1e-4)


def test_iterations_are_capped_and_the_residual_tells():
    x, y = problem()
    path = elastic_net_path(x, y, 4, n_lambdas=5, max_iterations=3)
    assert path.kkt.max() > 0.01 * path.lambdas.max()
    assert np.isfinite(path.weights).all()


def test_constant_feature_and_missing_class():
    x, y = problem()
    x[:, 3] = 7.0
    path = elastic_net_path(x, np.where(y == 2, 1, y), 5, n_lambdas=5)
    assert not path.weights[:, :, 3].any()
    assert path.deviation[3] == 1e-5
    assert not path.weights[:, [2, 4]].any()
    assert np.all(path.kkt < 1e-4)


# ------------------------------------------------------------------------- streamed tables


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_streamed_memory_map_gives_the_same_path(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("methods.glm_saga.table.BLOCK_FEATURES", 1000)
    x, y = problem(n=333, d=20)
    np.save(tmp_path / "x.npy", x.astype(dtype))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    test = (mapped[:50], y[:50])
    exact = {"n_lambdas": 8, "test": test, "dtype": torch.float64}
    streamed = elastic_net_path(mapped, y, 4, memory=0, **exact)
    kept = elastic_net_path(np.array(mapped), y, 4, **exact)
    for name in ("objective", "train_accuracy", "test_loss", "mean", "deviation"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(kept, name), rtol=1e-7)
    assert np.all(streamed.kkt <= 0.01 * streamed.lambdas)


def test_a_writable_map_keeps_what_is_in_it(tmp_path):
    """Pages are given back to the system while streaming; a copy-on-write map must not be."""
    x, y = problem()
    np.save(tmp_path / "x.npy", np.zeros_like(x))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[:] = x
    elastic_net_path(mapped, y, 4, n_lambdas=2, memory=0)
    np.testing.assert_array_equal(mapped, x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_a_cuda_device():
    x, y = problem()
    here = elastic_net_path(x, y, 4, n_lambdas=8)
    there = elastic_net_path(x, y, 4, n_lambdas=8, device="cuda")
    np.testing.assert_allclose(there.objective, here.objective, rtol=1e-5)


# ------------------------------------------------------------- stopping, going on, saving


class Interrupted(Exception):
    pass


def assert_same(one: ElasticNetPath, other: ElasticNetPath, *, but: tuple[str, ...] = ()):
    for f in fields(one):
        if f.name not in but:
            np.testing.assert_array_equal(getattr(one, f.name), getattr(other, f.name), f.name)


@pytest.mark.parametrize("done", [1, 2, 5])
def test_an_interrupted_path_goes_on_where_it_was(tmp_path, done):
    x, y = problem()
    arguments = (x, y, 4)
    seen = []

    def interrupt(weights):
        seen.append(weights)
        if len(seen) == done:
            raise Interrupted
        return False

    folder = tmp_path / "checkpoint"
    with pytest.raises(Interrupted):
        elastic_net_path(*arguments, n_lambdas=8, checkpoint=folder, stop=interrupt)
    times = {f.name: f.stat().st_mtime_ns for f in folder.glob("0*.npz")}
    assert len(times) == done
    path = elastic_net_path(*arguments, n_lambdas=8, checkpoint=folder)
    assert all((folder / name).stat().st_mtime_ns == time for name, time in times.items())
    assert_same(path, elastic_net_path(*arguments, n_lambdas=8), but=("seconds",))


def test_a_checkpoint_of_another_problem_is_refused(tmp_path):
    x, y = problem()
    elastic_net_path(x, y, 4, n_lambdas=3, checkpoint=tmp_path)
    with pytest.raises(UserError, match=r"belongs to another.*delete that folder"):
        elastic_net_path(x, np.roll(y, 1), 4, n_lambdas=3, checkpoint=tmp_path)


def test_stop_ends_the_path_after_the_point_that_asks_for_it(tmp_path):
    x, y = problem()
    whole = elastic_net_path(x, y, 4, n_lambdas=30)
    last = int(np.argmax(whole.nonzeros > 3 * 4))
    for _ in range(2):  # the second time from the checkpoint alone
        path = elastic_net_path(x, y, 4, n_lambdas=30, stop=denser_than(3), checkpoint=tmp_path)
        assert len(path) == len(path.weights) == last + 1
        np.testing.assert_array_equal(path.weights, whole.weights[: last + 1])


def test_save_and_load_without_pickle(tmp_path):
    x, y = problem()
    path = elastic_net_path(x, y, 4, n_lambdas=3, test=(x[:9], y[:9]))
    path.save(tmp_path / "path")
    assert [f.name for f in tmp_path.iterdir()] == ["path"]
    again = ElasticNetPath.load(tmp_path / "path")
    assert_same(path, again)
    assert again.alpha == 0.99
    assert again.engine == "fast"
    assert again.validation_loss is None


def test_loading_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match="holds no elastic-net path"):
        ElasticNetPath.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha must lie in"),
        ({"alpha": 1.1}, "alpha must lie in"),
        ({"n_lambdas": 0}, "n_lambdas must be"),
        ({"ratio": 0.0}, "ratio must lie in"),
        ({"tolerance": 0.0}, "tolerance must lie in"),
        ({"n_classes": 1}, "n_classes must be"),
        ({"n_classes": 3}, r"labels must lie in \[0, 3\)"),
        ({"labels": np.zeros(3, dtype=int)}, r"features must be \(n, d\)"),
        ({"features": np.zeros((0, 3)), "labels": np.zeros(0, dtype=int)}, "rows and columns"),
        ({"features": np.full((120, 2), np.nan)}, "must be finite"),
    ],
)
def test_bad_input_is_refused_in_words(changes, words):
    x, y = problem()
    arguments = {"features": x, "labels": y, "n_classes": 4} | changes
    with pytest.raises(ValueError, match=words):
        elastic_net_path(**arguments)


# ------------------------------------------------------------------------------ penalties


@pytest.mark.parametrize("kind", [Elementwise, Grouped])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.floats(0.01, 10), alpha=st.sampled_from([0.2, 0.8, 1]))
def test_prox_is_the_minimum_that_it_claims(kind, seed, step, alpha):
    """No random neighbour of prox(x) has a smaller value, and the residual there is 0."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    penalty = kind(0.7, alpha)
    best = penalty.prox(x, step)

    def value(u):
        return float(((u - x) ** 2).sum()) / (2 * step) + penalty.value(u)

    for scale in (1e-3, 0.1, 1.0):
        other = best + scale * torch.randn(4, 6, generator=generator, dtype=torch.float64)
        assert value(best) <= value(other) + 1e-12
    assert float(penalty.residual(best, (best - x) / step).max()) < 1e-9


def test_path_of_a_tensor_with_gradient_history_is_plain_data():
    x, y = problem()
    tensor = torch.from_numpy(x).requires_grad_()
    path = elastic_net_path(tensor, torch.from_numpy(y), 4, n_lambdas=2)
    assert isinstance(path.weights, np.ndarray)
