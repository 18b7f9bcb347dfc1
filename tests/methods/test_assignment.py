"""The assignment problem: its checks, the assignment of given features, and the local search."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from methods.qpm.assignment import AssignmentProblem, solve, verify


def random_problem(seed: int, **changes) -> AssignmentProblem:
    """A small problem with every term, of random size, where classes often come out alike."""
    rng = np.random.default_rng(seed)
    n_f = int(rng.integers(4, 9))
    n = int(rng.integers(2, min(n_f, 5) + 1))
    k = int(rng.integers(1, n))
    most = min(6, len(list(itertools.combinations(range(n), k))))
    n_c = int(rng.integers(1, most + 1))
    profile = rng.normal(size=(1, n_f))
    redundancy = np.triu(rng.random((n_f, n_f)) * (rng.random((n_f, n_f)) < 0.5), 1)
    values: dict[str, Any] = dict(  # noqa: C408 (keywords, as the constructor takes them)
        similarity=rng.normal(size=(n_c, n_f)) + rng.choice([0, 2]) * profile,
        redundancy=rng.choice([0, 1, 100]) * (redundancy + redundancy.T),
        bias=rng.choice([0, 1, 100]) * rng.normal(size=n_f),
        n_features=n,
        n_per_class=k,
    )
    return AssignmentProblem(**(values | changes))


def brute_force(problem: AssignmentProblem) -> float:
    """The optimum: every selection, and in it every assignment of different sets to classes."""
    n_f = problem.similarity.shape[1]
    best = -np.inf
    for selected in itertools.combinations(range(n_f), problem.n_features):
        pairs = sum(problem.redundancy[d, e] for d, e in itertools.combinations(selected, 2))
        linear = sum(problem.bias[d] for d in selected) - pairs
        best = max(best, linear + brute_force_classes(problem, selected))
    return best


def brute_force_classes(problem: AssignmentProblem, selected) -> float:
    """Exactly n_per_class features each, by dynamic programming over the sets in use."""
    sets = list(itertools.combinations(selected, problem.n_per_class))
    worth = np.array([[row[list(s)].sum() for s in sets] for row in problem.similarity])
    states = {0: 0.0}
    for row in worth * (1000 / (problem.n_per_class * len(worth))):
        new: dict[int, float] = {}
        for used, value in states.items():
            for j, gain in enumerate(row):
                if not used >> j & 1:
                    state = used | 1 << j
                    new[state] = max(new.get(state, -np.inf), value + gain)
        states = new
    return max(states.values())


@pytest.mark.parametrize("seed", range(60))
def test_local_finds_the_optimum(seed):
    problem = random_problem(seed)
    solution = solve(problem, seed=seed)
    verify(problem, solution)
    optimum = brute_force(problem)
    assert solution.objective == pytest.approx(optimum, abs=1e-9, rel=1e-9)
    assert solution.upper_bound >= optimum - 1e-9 * abs(optimum)
