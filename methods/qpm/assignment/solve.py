"""One door to all solvers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmark.contracts import Progress, Silent
from methods.qpm.assignment.monitor import Monitor, Watcher
from methods.qpm.assignment.problem import AssignmentProblem, Solution, verify

CASES = 64  # split by default: some tens of seconds at 2048 features and 200 classes


def solve(
    problem: AssignmentProblem,
    solver: str = "local",
    *,
    time_limit: float | None = None,
    gap: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Solution:
    """Solve a problem; the returned solution is verified.

    ``solver`` is ``"local"``: local search, then branch and bound on a linear relaxation for the
    ``upper_bound``, until ``cases`` cases have been split (by default 64, or however many the
    wanted ``gap`` takes); ``"highs"``, which starts from what that search finds and goes on until
    ``gap`` (relative; by default the optimum) is proved; or ``"gurobi"``, the paper's scheme from
    there, which may end below the optimum. ``time_limit`` seconds end all of them.

    Raises ValueError for a solver that is not there, and
    :class:`benchmark.contracts.UserError` where Gurobi's package or licence is missing.

    >>> problem = AssignmentProblem([[1.0, 0.9, 0.0], [1.0, 0.2, 0.5]], None, None, 2, 1)
    >>> solution = solve(problem)
    >>> solution.selected, solution.objective
    (array([0, 1]), 950.0)
    """
    monitor = Monitor(problem, time_limit=time_limit, gap=gap, watch=watch)
    pursue(monitor, solver, seed=seed, progress=progress, **options)
    return conclude(monitor, solver)


def pursue(
    monitor: Monitor,
    solver: str,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> None:
    """Solve ``monitor``'s problem; what is found is left there, also when it is interrupted."""
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    SOLVERS[solver](monitor.problem, monitor, seed, progress or Silent(), **options)


def conclude(monitor: Monitor, solver: str) -> Solution:
    """The best solution so far, verified."""
    solution = monitor.solution(solver)
    verify(monitor.problem, solution)
    return solution


def _local(
    problem: AssignmentProblem,
    monitor: Monitor,
    seed: int,
    progress: Progress,
    cases: int | None = None,
    **options: Any,
) -> None:
    from methods.qpm.assignment.certificate import certify

    _search(problem, monitor, seed, progress, **options)
    if cases is None:
        cases = CASES if monitor.gap is None else sys.maxsize
    if not monitor.good_enough() and not monitor.out_of_time():
        certify(problem, monitor, progress, cases)


def _search(
    problem: AssignmentProblem, monitor: Monitor, seed: int, progress: Progress, **options: Any
) -> None:
    from methods.qpm.assignment.local import search

    gain = problem.gain
    if problem.exact_per_class:
        best = np.sort(gain, axis=1)[:, -problem.n_per_class :].sum()
    else:
        best = np.sort(gain.ravel())[-problem.n_assignments :].sum()
    monitor.tighten(float(best + np.sort(problem.bias)[-problem.n_features :].sum()))
    search(problem, monitor, seed, progress, **options)


def _highs(
    problem: AssignmentProblem, monitor: Monitor, seed: int, progress: Progress, **options: Any
) -> None:
    from methods.qpm.assignment.highs import prove

    _search(problem, monitor, seed, progress, **options)
    prove(problem, monitor, seed, progress)


def _gurobi(
    problem: AssignmentProblem, monitor: Monitor, seed: int, progress: Progress, **options: Any
) -> None:
    from methods.qpm.assignment.gurobi import environment, iterate

    with environment(problem) as env:  # refused before anything is searched
        _search(problem, monitor, seed, progress, **options)
        iterate(problem, monitor, seed, progress, env)


SOLVERS = {"local": _local, "highs": _highs, "gurobi": _gurobi}
