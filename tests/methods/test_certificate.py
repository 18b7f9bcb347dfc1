"""The upper bound: its cuts hold for every selection, it is valid, and it closes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.contracts import Silent
from methods.qpm.assignment import AssignmentProblem, solve
from methods.qpm.assignment.certificate import certify
from methods.qpm.assignment.cuts import Crowd, Share, find_crowds
from methods.qpm.assignment.distinct import relaxed
from methods.qpm.assignment.monitor import Monitor
from methods.qpm.assignment.relaxation import Relaxation


def problem_of(seed: int, n_f: int = 14, n_c: int = 8, n: int = 5, k: int = 2, **changes):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n_f, n_f)) * (rng.random((n_f, n_f)) < 0.6), 1)
    scale = rng.choice([1.0, 30.0, 300.0])
    return AssignmentProblem(
        rng.random((n_c, n_f)) ** 3,
        scale * (upper + upper.T),
        rng.normal(size=n_f),
        n,
        k,
        **changes,
    )


def best_relaxed(problem: AssignmentProblem, allowed=lambda selection: True) -> float:
    """The best selection when classes may be alike, by looking at all of them."""
    n_f = problem.similarity.shape[1]
    return max(
        relaxed(problem, np.array(selection))
        for selection in itertools.combinations(range(n_f), problem.n_features)
        if allowed(set(selection))
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0.2, 0.95), thorough=st.booleans())
def test_every_selection_satisfies_the_crowds(seed, density, thorough):
    rng = np.random.default_rng(seed)
    m = 10
    upper = np.triu(rng.random((m, m)) < density, 1)
    upper[0, 1] = True
    redundancy = (upper | upper.T).astype(float)
    s = rng.random(m)
    s[:2] = 0.9  # with y = 0 these two alone violate a crowd, so that there is one to be found
    generator = np.random.default_rng(0) if thorough else None
    crowds = find_crowds(redundancy, s, np.zeros((m, m)), 1e-6, 50, generator)
    assert crowds
    for selection in itertools.product([0, 1], repeat=m):
        chosen = np.array(selection)
        for places, h, alpha in crowds:
            pairs = chosen[places] @ redundancy[np.ix_(places, places)] @ chosen[places] / 2
            assert pairs >= h * chosen[places].sum() - alpha * h * (h + 1) / 2


def test_the_pentagon_needs_alpha_2():
    """Five features in a ring of redundancies: no clique is violated at 1/2, the ring is."""
    ring = np.zeros((5, 5))
    for d in range(5):
        ring[d, (d + 1) % 5] = ring[(d + 1) % 5, d] = 1
    half, none = np.full(5, 0.5), np.zeros((5, 5))
    assert find_crowds(ring, half, none, 1e-6, 9) == []
    found = find_crowds(ring, half, none, 1e-6, 9, np.random.default_rng(0))
    assert [(places.tolist(), h, alpha) for places, h, alpha in found] == [([0, 1, 2, 3, 4], 1, 2)]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_bounds_hold_within_fixings_whatever_the_program_knows(seed, exact):
    problem = problem_of(seed, exact_per_class=exact)
    relaxation = Relaxation(problem, features=np.arange(4))  # the others are taken in as needed
    rng = np.random.default_rng(seed)
    for _ in range(6):
        d, e, f = rng.choice(14, 3, replace=False)
        relaxation.fix(np.array([d]), np.array([e, f]))
        best = best_relaxed(problem, lambda s: d in s and not s & {e, f})  # noqa: B023
        for _ in range(5):
            point = relaxation.solve()
            assert point is not None
            relaxation.cut()
            assert point.bound >= best - 1e-9 * abs(best)
            assert point.s[d] == pytest.approx(1)
            assert point.s[[e, f]] == pytest.approx(0)
        relaxation.trim(2)
    assert any(isinstance(cut, Share) for cut in relaxation.cuts)


def test_copies_solve_alike():
    problem = problem_of(3)
    relaxation = Relaxation(problem)
    for _ in range(20):
        relaxation.solve()
        relaxation.cut(np.random.default_rng(0))
    assert any(isinstance(cut, Crowd) for cut in relaxation.cuts)
    point = relaxation.solve()
    for copy in (relaxation.copy(), relaxation.copy(np.flatnonzero(point.s))):
        assert copy.solve().bound == pytest.approx(point.bound, rel=1e-6)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_branching_closes_the_gap_to_the_relaxed_optimum(seed, exact):
    problem = problem_of(seed, exact_per_class=exact)
    solution = solve(problem, gap=0.0)
    best = best_relaxed(problem)
    # the bound falls to the better of what is reached and what is reached with classes alike
    assert solution.upper_bound >= solution.objective
    assert solution.upper_bound <= best + 1e-6 * abs(best)
    if exact:  # selections with classes alike are valued exactly, so nothing is left open
        assert solution.gap <= 1e-6


def test_a_rest_changes_nothing():
    problem = problem_of(3)
    relaxation, rested = Relaxation(problem), Relaxation(problem)
    nothing = np.array([], dtype=np.int64)
    for d in (0, 5, 2):
        for program in (relaxation, rested):
            program.fix(np.array([d]), nothing)
            program.solve()
            program.cut()
        rested.rest()
        copy = rested.copy()
        bound = relaxation.solve().bound
        assert rested.solve().bound == pytest.approx(bound, rel=1e-9)
        assert copy.solve().bound == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("exact", [True, False])
def test_lanes_that_rest_close_the_gap_too(monkeypatch, exact):
    monkeypatch.setattr("methods.qpm.assignment.certificate.AWAKE", 0)
    problem = problem_of(4, exact_per_class=exact)
    solution = solve(problem, gap=0.0)
    assert solution.objective <= solution.upper_bound <= best_relaxed(problem) + 1e-6


def test_the_number_of_cores_changes_nothing():
    problem = problem_of(5, n_f=30, n_c=30, n=10, k=3)
    start = solve(problem, cases=0)
    bounds = []
    for workers in (1, 2):
        monitor = Monitor(problem)
        monitor.offer(start.selected, start.assignment)
        certify(problem, monitor, Silent(), cases=40, workers=workers)
        bounds.append(monitor.bound)
    assert bounds[0] == bounds[1]
    assert bounds[0] < start.upper_bound
