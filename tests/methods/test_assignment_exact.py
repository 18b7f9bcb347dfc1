"""Solvers of the assignment problem against brute force, and each other beyond its reach."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.contracts import Silent, UserError
from methods.qpm.assignment import AssignmentProblem, Solution, solve, verify
from methods.qpm.assignment.average import on_average
from methods.qpm.assignment.local import Budget

CARELESS = Budget(walkers=1, rounds=1, patience=1, moves=1, elite=1, polished=1, assignments=1)


def random_problem(seed: int, **changes: Any) -> AssignmentProblem:
    """A small problem: any size and mode, with or without R and b, often with ties."""
    rng = np.random.default_rng(seed)
    exact = bool(rng.random() < 0.6)
    n_f = int(rng.integers(4, 9))
    n = int(rng.integers(2, min(n_f, 5 if exact else 4) + 1))
    k = int(rng.integers(1, n + 1 if n > 2 else n))
    most = len(patterns(n, k if exact else None))
    n_c = int(rng.integers(1, min(5 if exact else 4, most) + 1))
    similarity = rng.normal(size=(n_c, n_f)) + rng.choice([0, 2]) * rng.normal(size=(1, n_f))
    redundancy = np.triu(rng.random((n_f, n_f)) * (rng.random((n_f, n_f)) < 0.5), 1)
    bias = rng.normal(size=n_f)
    if rng.random() < 0.3:  # ties
        similarity, redundancy, bias = np.round(similarity), np.round(redundancy), np.round(bias)
    values: dict[str, Any] = {
        "similarity": similarity,
        "redundancy": rng.choice([0.1, 1, 100]) * (redundancy + redundancy.T),
        "bias": rng.choice([0.1, 1, 100]) * bias,
        "n_features": n,
        "n_per_class": k,
        "exact_per_class": exact,
    }
    for term in ("redundancy", "bias"):
        if rng.random() < 0.25:
            values[term] = None
    try:
        return AssignmentProblem(**(values | changes))
    except ValueError:  # so many classes can't be told apart: a smaller one of the same kind
        return random_problem(seed + 10**6, **changes)


@cache
def patterns(n: int, k: int | None) -> np.ndarray:
    """(sets, n) bool: the sets of k of n features; without k all that are not empty."""
    rows = np.array(list(itertools.product([False, True], repeat=n)))
    return rows[rows.any(1)] if k is None else rows[rows.sum(1) == k]


def brute_force(problem: AssignmentProblem) -> float:
    """The optimum: every selection, and in it every choice of different sets for the classes."""
    n_c, n_f = problem.similarity.shape
    exact, k = problem.exact_per_class, problem.n_per_class
    sets = patterns(problem.n_features, k if exact else None)
    grid = np.indices((len(sets),) * n_c)  # (n_c, sets, ..., sets)
    allowed = np.ones(grid.shape[1:], dtype=bool)
    for c, other in itertools.combinations(range(n_c), 2):
        allowed &= grid[c] != grid[other]
    if not exact:
        allowed &= sets.sum(1)[grid].sum(0) == k * n_c
    choices = grid[:, allowed]  # (n_c, choices)
    best = -np.inf
    for selected in itertools.combinations(range(n_f), problem.n_features):
        chosen = list(selected)
        worth = problem.similarity[:, chosen] @ sets.T * (1000 / (k * n_c))
        classes = worth[np.arange(n_c)[:, None], choices].sum(0).max()
        pairs = sum(problem.redundancy[d, e] for d, e in itertools.combinations(chosen, 2))
        best = max(best, classes - pairs + problem.bias[chosen].sum())
    return best


def check(problem: AssignmentProblem, solution: Solution, optimum: float, tolerance: float) -> None:
    verify(problem, solution)
    assert solution.objective == pytest.approx(optimum, rel=1e-9, abs=1e-9)
    assert solution.upper_bound >= optimum - tolerance * max(1, abs(optimum))


@pytest.mark.parametrize("seed", range(300))
def test_local_finds_the_optimum_of_small_problems(seed: int) -> None:
    problem = random_problem(seed)
    check(problem, solve(problem, seed=seed), brute_force(problem), tolerance=1e-9)


@pytest.mark.parametrize("seed", range(50))
def test_local_finds_what_highs_proves_of_larger_problems(seed: int) -> None:
    problem = larger_problem(seed, n_f=40, n=10)
    proof = solve(problem, "highs", seed=seed, budget=CARELESS)
    assert proof.gap < 1e-7
    check(problem, solve(problem, seed=seed), proof.objective, tolerance=1e-9)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    shape=st.sampled_from([(1, 3), (2, 2), (3, 2), (3, 3), (4, 3), (5, 3), (7, 3), (3, 4)]),
    seed=st.integers(0, 10**6),
    rounded=st.booleans(),
    profile=st.sampled_from([0.0, 1.0, 10.0]),
)
def test_on_average_there_is_a_solution_for_every_total_that_has_one(
    shape: tuple[int, int], seed: int, rounded: bool, profile: float
) -> None:
    n_c, n = shape
    rng = np.random.default_rng(seed)
    gain = rng.normal(size=shape) + profile * rng.normal(size=(1, n))
    gain = np.round(gain) if rounded else gain
    sizes = patterns(n, None).sum(1)
    totals = {sum(chosen) for chosen in itertools.combinations(sizes.tolist(), n_c)}
    for total in totals:
        assignment = on_average(gain, total)
        assert assignment.sum() == total
        assert assignment.any(1).all()
        assert len(np.unique(assignment, axis=0)) == n_c


@pytest.mark.parametrize("seed", range(60))
def test_highs_proves_the_optimum_from_a_poor_start(seed: int) -> None:
    problem = random_problem(seed)
    rows: list[tuple[float, ...]] = []
    solution = solve(
        problem, "highs", seed=seed, budget=CARELESS, watch=lambda *row: rows.append(row)
    )
    check(problem, solution, brute_force(problem), tolerance=1e-7)
    assert solution.gap < 1e-7
    assert [row[1:3] for row in rows] == [row[1:] for row in solution.history]


def test_highs_stops_at_the_gap_that_is_wanted() -> None:
    problem = larger_problem(3)
    solution = solve(problem, "highs", gap=0.05)
    exact = solve(problem, "highs")
    assert exact.gap < 1e-7
    assert solution.upper_bound >= exact.objective - 1e-9
    assert 0 < solution.gap <= 0.05


def test_highs_reports_that_the_time_is_over() -> None:
    problem = larger_problem(0, n_f=60, n_c=40, n=12)
    solution = solve(problem, "highs", time_limit=1.0)
    verify(problem, solution)
    assert solution.hit_time_limit
    assert solution.seconds < 10


def larger_problem(
    seed: int, n_f: int = 30, n_c: int = 12, n: int = 8, k: int = 3, density: float = 0.1
) -> AssignmentProblem:
    """Beyond brute force; classes share a profile, so that some would come out alike."""
    rng = np.random.default_rng(seed)
    similarity = rng.normal(size=(n_c, n_f)) + rng.normal(size=(1, n_f))
    redundancy = np.triu(rng.random((n_f, n_f)) * (rng.random((n_f, n_f)) < density), 1)
    bias = 10**-0.5 * rng.uniform(-1, 1, size=n_f)
    similarity /= np.abs(similarity).max()
    return AssignmentProblem(similarity, 20 * (redundancy + redundancy.T), bias, n, k)


def gurobi(problem: AssignmentProblem, **options: Any) -> Solution:
    """By Gurobi, from a poor start; its package brings a licence for small problems."""
    pytest.importorskip("gurobipy")
    try:
        return solve(problem, "gurobi", budget=CARELESS, **options)
    except UserError as error:
        pytest.skip(str(error))


def test_gurobis_scheme_mostly_ends_at_the_optimum_under_a_valid_bound() -> None:
    """Equation 9 rules solutions out, so not always; on problems this small it may cost much."""
    reached = 0
    for seed in range(40):
        problem = random_problem(seed, exact_per_class=True)
        solution = gurobi(problem, seed=seed, gap=0.0)
        verify(problem, solution)
        optimum = brute_force(problem)
        slack = 1e-9 * max(1, abs(optimum))
        assert solution.objective <= optimum + slack
        assert solution.upper_bound >= optimum - 100 * slack
        reached += solution.objective >= optimum - slack
    assert reached >= 35


def test_gurobis_scheme_adds_what_is_violated_and_reaches_the_optimum() -> None:
    """Beyond brute force, where several iterations are needed; HiGHS knows the optimum."""
    problem = larger_problem(2, n_f=14, n_c=8, n=5, k=2)
    notes = Notes()
    solution = gurobi(problem, progress=notes)
    verify(problem, solution)
    optimum = solve(problem, "highs").objective
    assert solution.objective == pytest.approx(optimum, rel=0.01)
    assert solution.objective <= optimum * (1 + 1e-9)
    filled, apart = (
        [int(word) for note in notes.seen for word in re.findall(rf"(\d+) {what}", note)]
        for what in ("classes filled", "kept apart")
    )
    assert filled[0] == apart[0] == 0
    assert filled == sorted(filled)
    assert apart == sorted(apart)
    assert filled[1] > 0
    assert apart[1] == 0  # as long as classes have too few features, only these are looked at
    assert apart[-1] > 0


class Notes(Silent):
    """Keeps what progress bars say."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def bar(self, description: str, total: float | None = None) -> Iterator[Any]:
        yield lambda by=1, note="": self.seen.append(note)


def test_without_gurobis_package_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    with pytest.raises(UserError, match=r"gurobipy.*highs.*local"):
        solve(random_problem(0), "gurobi")


def test_without_gurobis_licence_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gurobipy")
    monkeypatch.setenv("GRB_LICENSE_FILE", "/nowhere/gurobi.lic")
    with pytest.raises(UserError, match=r"licence.*highs.*local"):
        solve(random_problem(0), "gurobi")


def test_what_the_small_licence_refuses_is_refused_before_any_search() -> None:
    problem = larger_problem(0, n_f=400, n_c=60, n=20)
    pytest.importorskip("gurobipy")
    began = time.perf_counter()
    try:
        solve(problem, "gurobi", time_limit=5)
    except UserError as error:
        assert "60 classes and 400 features" in str(error)  # noqa: PT017 (a licence may be there)
        assert "solver=highs" in str(error)  # noqa: PT017
        assert time.perf_counter() - began < 5
    else:
        pytest.skip("this machine has a licence without a limit")
