"""Clock, limits and history of one solve, shared by all solvers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from methods.qpm.assignment.problem import AssignmentProblem, Solution, evaluate, relative_gap

Watcher = Callable[[float, float, float, float], None]


@dataclass
class Monitor:
    """The incumbent and the bound of a running solve.

    ``watch(seconds, objective, bound, gap)`` is called at each improvement of either. A wanted
    ``gap`` or the time limit make :meth:`stop` true; only the latter counts as a limit hit.
    """

    problem: AssignmentProblem
    time_limit: float | None = None
    gap: float | None = None
    watch: Watcher | None = None
    selected: np.ndarray | None = None
    assignment: np.ndarray | None = None
    objective: float = -math.inf
    bound: float = math.inf
    hit_time_limit: bool = False
    history: list[tuple[float, float, float]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def seconds_left(self) -> float:
        return math.inf if self.time_limit is None else self.time_limit - self.seconds

    def out_of_time(self) -> bool:
        """Whether the time limit is over; remembered for the report. Cheap, and thread-safe."""
        if self.seconds_left <= 0:
            self.hit_time_limit = True
        return self.hit_time_limit

    def good_enough(self) -> bool:
        """Whether the wanted gap (or, by default, the optimum) is certified."""
        wanted = 1e-9 if self.gap is None else self.gap
        return relative_gap(self.objective, self.bound) <= wanted

    def offer(self, selected: np.ndarray, assignment: np.ndarray) -> bool:
        """A feasible point; True where it beats the incumbent."""
        order = np.argsort(selected)
        selected, assignment = selected[order], assignment[:, order]
        objective = evaluate(self.problem, selected, assignment)
        if objective <= self.objective:
            return False
        self.selected, self.assignment, self.objective = selected, assignment, objective
        self._record()
        return True

    def tighten(self, bound: float) -> bool:
        """A valid upper bound; True where it is below the best one so far.

        A bound on what is left below the incumbent proves no more than the incumbent itself.
        """
        bound = max(bound, self.objective)
        if bound >= self.bound:
            return False
        self.bound = bound
        self._record()
        return True

    def solution(self, solver: str) -> Solution:
        assert self.selected is not None
        assert self.assignment is not None
        return Solution(
            selected=self.selected,
            assignment=self.assignment,
            objective=self.objective,
            # rounding may leave a tight bound a hair below the objective
            upper_bound=max(self.bound, self.objective),
            seconds=self.seconds,
            solver=solver,
            history=self.history,
            hit_time_limit=self.hit_time_limit,
        )

    def _record(self) -> None:
        self.history.append((self.seconds, self.objective, self.bound))
        if self.watch is not None:
            gap = relative_gap(self.objective, self.bound)
            self.watch(self.seconds, self.objective, self.bound, gap)
