"""The engine that is the pip package: its own answer, as our path object."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
import torch

from benchmark.contracts import UserError
from methods.glm_saga import package
from methods.glm_saga.engines import ENGINES
from methods.glm_saga.sparsify import denser_than
from methods.glm_saga.table import open_table


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return (rng.normal(size=(3, 8))[y] + rng.normal(size=(90, 8))).astype(np.float32), y


def test_missing_package_is_told_in_words(monkeypatch, problem):
    monkeypatch.setitem(sys.modules, "glm_saga", None)
    with pytest.raises(UserError, match="pip install glm-saga tqdm"):
        ENGINES["package"](*problem, 3)


@pytest.mark.filterwarnings("ignore:Implicit dimension")
def test_the_same_as_the_package_s_own_path(problem, capsys, monkeypatch):
    """Batches in a fixed order, so that the package's evaluations draw no random numbers."""
    glm_saga = pytest.importorskip("glm_saga.elasticnet").glm_saga
    in_order = partial(package.loader, shuffle=False)
    monkeypatch.setattr(package, "loader", in_order)
    x, y = problem
    path = ENGINES["package"](x, y, 3, n_lambdas=4, zero=True, batch_size=32, test=(x, y))
    assert capsys.readouterr().out == ""
    linear = torch.nn.Linear(8, 3)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    batches = in_order(open_table(x, y, 3), 32, 0)
    theirs = glm_saga(
        linear, batches, 0.1, 2000, 0.99, n_ex=90, n_classes=3, k=4, lookbehind=5
    )["path"]  # fmt: skip
    assert len(path) == len(theirs) == 5
    for index, point in enumerate(theirs):
        assert path.lambdas[index] == pytest.approx(float(point["lam"]), rel=1e-6)
        assert path.objective[index] == pytest.approx(point["loss"], rel=1e-5)
        assert path.train_accuracy[index] == pytest.approx(point["metrics"]["acc_tr"])
        np.testing.assert_array_equal(path.weights[index], point["weight"])
        np.testing.assert_array_equal(path.biases[index], point["bias"])


def test_both_engines_agree_on_the_problem(problem):
    pytest.importorskip("glm_saga")
    x, y = problem
    ours = ENGINES["fast"](x, y, 3, n_lambdas=5, ratio=0.1, test=(x, y))
    theirs = ENGINES["package"](
        x, y, 3, n_lambdas=5, ratio=0.1, test=(x, y), lookbehind=None, tolerance=1e-6
    )
    np.testing.assert_allclose(theirs.lambdas, ours.lambdas, rtol=1e-5)
    np.testing.assert_allclose(theirs.objective, ours.objective, rtol=1e-3)
    np.testing.assert_allclose(theirs.test_loss, theirs.train_loss, rtol=1e-5)
    np.testing.assert_array_equal(theirs.mean, ours.mean)
    assert np.all(ours.objective <= theirs.objective + 1e-6)


def test_a_stop_spares_the_rest_of_the_path(problem):
    pytest.importorskip("glm_saga")
    path = ENGINES["package"](*problem, 3, n_lambdas=30, stop=denser_than(2))
    assert 1 < len(path) < 30
    assert path.nonzeros[-1] > 2 * 3
    assert np.all(path.nonzeros[:-1] <= 2 * 3)
