"""Group selection against the golden runs, exhaustive restarts and plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from methods.glm_saga.fast import lambda_grid
from methods.glm_saga.selection import select_features


def problem(n=200, d=30, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = rng.normal(size=(n, d))
    x[:, : n_classes * 2] += rng.normal(size=(n_classes, n_classes * 2))[y]
    return x @ (np.eye(d) + 0.2 * rng.normal(size=(d, d)) / d**0.5), y


def group_minimum(z, y, n_classes, columns, lam, alpha, steps=20_000):
    """Plain proximal gradient in NumPy, to convergence: (gradient of all features)."""
    n = len(y)
    onehot = np.eye(n_classes)[y]
    weight, bias = np.zeros((n_classes, len(columns))), np.log(onehot.mean(0))
    inside = z[:, columns]
    rate = 1 / (0.5 * np.linalg.eigvalsh(inside.T @ inside / n).max() + 0.5) if columns else 1.0
    for _ in range(steps):
        residual = (softmax(inside @ weight.T + bias, axis=1) - onehot) / n
        target = weight - rate * (residual.T @ inside)
        norms = np.linalg.norm(target, axis=0)
        shrink = np.maximum(1 - rate * lam * alpha / np.maximum(norms, 1e-30), 0)
        new = target * shrink / (1 + rate * lam * (1 - alpha))
        done = np.abs(new - weight).max(initial=0) < 1e-12 and np.abs(residual.sum(0)).max() < 1e-12
        weight, bias = new, bias - rate * residual.sum(0)
        if done:
            break
    residual = (softmax(inside @ weight.T + bias, axis=1) - onehot) / n
    return residual.T @ z


def plain_selection(x, y, n_classes, n_features, lambdas, alpha):
    """The procedure as it is told: restart at the largest lambda after every entry."""
    z = (x - x.mean(0)) / x.std(0)
    order, places = [], []
    while len(order) < n_features:
        for place, lam in enumerate(lambdas):
            norms = np.linalg.norm(group_minimum(z, y, n_classes, order, lam, alpha), axis=0)
            norms[order] = -1
            if norms.max() > lam * alpha:
                order.append(int(norms.argmax()))
                places.append(place)
                break
    return order, places


def test_the_same_as_restarting_after_every_feature():
    x, y = problem(n=100, d=12, n_classes=3)
    found = select_features(x, y, 3, 6, discount=0.99, n_lambdas=8, ratio=0.1, tolerance=1e-4)
    order, places = plain_selection(x, y, 3, 6, found.lambdas, 0.8)
    assert found.order.tolist() == order
    assert found.lambda_index.tolist() == places
    assert len(set(places)) > 2  # the path was gone down, not merely its first lambda used


@pytest.fixture(scope="module")
def glm_case(golden):
    return golden("glm_saga")


def select(case, name, row, **arguments):
    """With the first lambda of the golden run, whose gradients count train and validation
    samples but sum over the train part, nine tenths, alone (item 48)."""
    rows = case[f"exp_select_{name}_train_indices"][row]
    x = case["X"] * np.float32(case[f"select_{name}_factor"])
    first = float(case[f"exp_select_{name}_first_lambda"][row]) / 0.9
    return select_features(x[rows], case["y"][rows], 8, 10, start=first, **arguments)


@pytest.mark.parametrize("row", range(7))
@pytest.mark.parametrize("name", ["raw", "raw_x30"])
def test_golden_selections(glm_case, name, row):
    found = select(glm_case, name, row)
    expected = glm_case[f"exp_select_{name}_order"][row]
    assert len(set(found.order) & set(expected)) >= 9
    places = glm_case[f"exp_select_{name}_lambda_index"][row]
    assert np.abs(found.lambda_index - places).max() <= 1
    if name == "raw" and row < 5:  # there the set is the same whatever the shuffle
        assert set(found.order) == set(expected)


@pytest.mark.parametrize("engine", ["fast", "package"])
def test_golden_first_entries_are_in_order(glm_case, engine):
    if engine == "package":
        pytest.importorskip("glm_saga")
    found = select(glm_case, "raw_x30", 0, engine=engine)
    assert found.order[:4].tolist() == glm_case["exp_select_raw_x30_order"][0][:4].tolist()
    assert len(set(found.order) & set(glm_case["exp_select_raw_x30_order"][0])) >= 9


def test_the_start_is_a_share_of_the_smallest_lambda_that_keeps_all_out(glm_case):
    """The golden raw one; and from it upwards nothing enters, below it something does."""
    x, y = glm_case["X"], glm_case["y"]
    raw = select_features(x, y, 8, 1, start="raw").lambdas[0]
    assert raw == pytest.approx(0.1 * float(glm_case["exp_max_reg_group_raw"]) / 0.8, rel=1e-5)
    assert raw == pytest.approx(float(glm_case["exp_select_raw_first_lambda"][0]), rel=1e-5)
    z = (x - x.mean(0)) / x.std(0)
    centred = np.eye(8)[y] - np.eye(8)[y].mean(0)
    largest = np.linalg.norm(z.T @ centred / len(y), axis=1).max() / 0.8
    assert select_features(x, y, 8, 1).lambdas[0] == pytest.approx(0.1 * largest, rel=1e-5)
    assert select_features(x, y, 8, 1, start=1.001 * largest).lambda_index[0] == 1
    assert select_features(x, y, 8, 1, start=0.999 * largest).lambda_index[0] == 0


def test_the_unit_of_the_features_does_not_matter_unless_asked_to(glm_case):
    x, y = glm_case["X"], glm_case["y"]
    ours = [select_features(x * np.float32(f), y, 8, 10).order.tolist() for f in (1, 30)]
    assert ours[0] == ours[1]
    theirs = [select_features(x * np.float32(f), y, 8, 10, start="raw") for f in (1, 30)]
    assert theirs[0].lambda_index.max() < theirs[1].lambda_index.min()


def test_informative_features_come_first():
    x, y = problem()
    found = select_features(x, y, 5, 8)
    assert set(found.indices) <= set(range(10))
    assert found.indices.tolist() == sorted(found.order.tolist())


def test_all_features_can_be_selected():
    """Beyond the informative ones the path ends, and lambda = 0 lets in what is left."""
    x, y = problem(d=12, n_classes=3)
    found = select_features(x, y, 3, 12, n_lambdas=5, ratio=0.5)
    assert found.indices.tolist() == list(range(12))
    assert found.lambdas[-1] == 0
    np.testing.assert_allclose(found.lambdas[:-1], lambda_grid(found.lambdas[0], 5, 0.5))


def test_a_streamed_table_selects_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("methods.glm_saga.table.BLOCK_FEATURES", 1000)
    x, y = problem()
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    streamed = select_features(mapped, y, 5, 8, memory=0)
    assert streamed.order.tolist() == select_features(np.array(mapped), y, 5, 8).order.tolist()


@pytest.mark.parametrize("n_features", [0, 31])
def test_a_number_of_features_that_there_are_not(n_features):
    x, y = problem()
    with pytest.raises(ValueError, match=r"n_features must lie in \[1, 30\]"):
        select_features(x, y, 5, n_features)


def test_alpha_out_of_range():
    x, y = problem()
    with pytest.raises(ValueError, match="alpha must lie in"):
        select_features(x, y, 5, 2, alpha=0.0)
