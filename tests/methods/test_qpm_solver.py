"""How QPM's parameters reach the solver of its assignment."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from benchmark.contracts import Silent
from methods.qpm.assignment import AssignmentProblem, Solution
from methods.qpm.card import QPMParameters
from methods.qpm.method import _solve, describe


def solved(**parameters: object) -> Solution:
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(12, 30)) + rng.normal(size=(1, 30))
    redundancy = np.triu(20 * rng.random((30, 30)) * (rng.random((30, 30)) < 0.2), 1)
    problem = AssignmentProblem(similarity, redundancy + redundancy.T, np.zeros(30), 8, 3)
    context = SimpleNamespace(
        parameters=QPMParameters(**parameters),  # type: ignore[arg-type]
        timer=lambda name: nullcontext(),
        seed=7,
        progress=Silent(),
    )
    return _solve(problem, context)  # type: ignore[arg-type]


def test_solver_and_gap_are_passed_on() -> None:
    report = describe(solved(solver="highs", gap=0.02))
    assert report["solver"] == "highs"
    assert report["gap"] <= 0.02
    assert not report["hit_time_limit"]


@pytest.mark.parametrize("solver", ["local", "highs"])
def test_a_time_limit_is_reported_when_hit(solver: str) -> None:
    report = describe(solved(solver=solver, time_limit=0.01))
    assert report["hit_time_limit"]
    assert report["upper_bound"] >= report["objective"]


def test_gurobi_without_its_package_is_refused_with_the_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    with pytest.raises(ValidationError, match="highs and local need neither"):
        QPMParameters(solver="gurobi")
