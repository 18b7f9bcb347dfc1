"""An upper bound on what any selection can reach: the linear relaxation, then branch and bound.

At the root the relaxation of :mod:`methods.qpm.assignment.relaxation` is tightened by its cuts.
Then the cases with the highest bounds are cut further and, where that does not lower their bound
enough, split in two, a feature selected or excluded, and so on (Land and Doig 1960). The feature
is the one whose two cases promise to lower the bound most, judged by what such steps brought
before (pseudo-costs: Benichou et al. 1971, Mathematical Programming 1). In each case features that
can't be in (or out of) a better selection are fixed by their reduced costs.

The linear programs leave equation 4 aside; a selection that is left alone is valued with it. So
the bound is on what is feasible, up to a relative 1e-9. The cases are spread over a number of
linear programs, the lanes, that run side by side, each with the cuts that matter in its part of
the tree: the result does not depend on the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmark.contracts import Progress
from methods.qpm.assignment.cuts import Seen
from methods.qpm.assignment.distinct import assign, relaxed
from methods.qpm.assignment.monitor import Monitor
from methods.qpm.assignment.problem import AssignmentProblem, evaluate
from methods.qpm.assignment.relaxation import Point, Relaxation

ROOT_ROUNDS = 100  # cutting rounds at the root, at most
ROOT_STALLED = 3  # of them that may bring next to nothing,
ROOT_LITTLE = 3e-5  # relative
CASE_ROUNDS = 2  # cutting rounds in a case before it is split,
WHOLE_ROUNDS = 20  # more where its point is a whole selection, whose bound is then its worth
IDLE = 4  # a cut that did not matter in so many solves is dropped
KEPT = 12  # features per selected one that have a column below the root
LANES = 1000  # at most
NONZEROS = 40_000_000  # in all programs, at most, each counted like the first: about 1.5 GiB
AWAKE = 6_000_000  # in those that keep their solver between rounds, likewise: about 2 GiB
ROUND = 32  # cases that the lanes work on before they look at each other
FULL = 2  # open cases at which a lane is divided, while there are fewer lanes
LEAST_DISTANCE = 0.05  # of s from what it is fixed to; lest a small one spoils the pseudo-costs
CLOSE = 1e-9  # relative: no better selection is looked for beyond this

Path = tuple[tuple[int, int], ...]  # (feature, 1 selected or 0 excluded), from the root on


@dataclass(frozen=True)
class Case:
    """Selections with the features ``ones`` and without ``zeros``, none better than ``bound``.

    ``path`` holds the splits that led here; ``ones`` and ``zeros`` also what follows from reduced
    costs.
    """

    bound: float
    path: Path
    ones: np.ndarray
    zeros: np.ndarray


def certify(
    problem: AssignmentProblem,
    monitor: Monitor,
    progress: Progress,
    cases: int,
    workers: int | None = None,
) -> None:
    """Lower ``monitor.bound`` until it proves the wanted gap, or ``cases`` or a few more are split.

    The better the incumbent that ``monitor`` holds, and it must hold one, the more can be left out.
    Selections that the relaxation finds are offered to it. ``workers`` threads (all cores by
    default).
    """
    assert np.isfinite(monitor.objective), "the search comes first"
    root = Lane(problem, monitor, Relaxation(problem))
    root.start(progress)
    lanes = [root]
    nonzeros = root.relaxation.nonzeros()
    awake, most = AWAKE // nonzeros, min(LANES, NONZEROS // nonzeros)
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        progress.bar("splitting cases", total=cases) as advance,
    ):
        done = 0
        while done < cases and not monitor.good_enough() and not monitor.out_of_time():
            for lane in list(lanes):
                if len(lanes) < most and len(lane.open) >= FULL:
                    lanes.append(lane.divide())
            bounds = sorted((case.bound for lane in lanes for case in lane.open), reverse=True)
            if not bounds:
                monitor.tighten(max(lane.floor for lane in lanes))
                break
            # all lanes work down to one level, so that none is left behind when the time is over
            for lane in lanes:
                lane.look()
            target = bounds[min(ROUND, len(bounds)) - 1]
            work = partial(Lane.work, target=target, quota=min(FULL, cases - done))
            steps = sum(pool.map(work, [lane for lane in lanes if lane.bound >= target]))
            done += steps
            for lane in lanes:
                lane.report()
            for lane in lanes[awake:]:
                lane.relaxation.rest()
            monitor.tighten(max(lane.bound for lane in lanes))
            advance(steps, note=f"Z <= {monitor.bound:.6g}")


class Experience:
    """What splitting on each feature brought so far, in all lanes (pseudo-costs)."""

    def __init__(self, n_f: int) -> None:
        # (2, n_f): sum and number of bound decreases, per unit of s, when excluded / selected
        self.decrease = np.zeros((2, n_f))
        self.observed = np.zeros((2, n_f))

    def learn(self, news: Iterable[tuple[int, int, float]]) -> None:
        """``news``: (1 selected or 0 excluded, feature, decrease of the bound per unit of s)."""
        for value, d, decrease in news:
            self.decrease[value, d] += decrease
            self.observed[value, d] += 1

    def promise(self, features: np.ndarray, s: np.ndarray) -> np.ndarray:
        """The product of the two decreases expected; the mean of all where nothing is known."""
        product = np.ones(len(features))
        for value, distance in ((1, 1 - s), (0, s)):
            decrease, observed = self.decrease[value], self.observed[value]
            mean = decrease.sum() / observed.sum() if decrease.any() else 1.0
            known = observed[features] > 0
            rate = decrease[features] / np.maximum(observed[features], 1)
            product *= np.maximum(np.where(known, rate, mean) * distance, 1e-9)
        return product


class Lane:
    """Some of the cases and one linear program with its cuts."""

    def __init__(
        self, problem: AssignmentProblem, monitor: Monitor, relaxation: Relaxation
    ) -> None:
        self.problem = problem
        self.monitor = monitor
        self.relaxation = relaxation
        self.open: list[Case] = []  # the oldest first
        self.floor = -np.inf  # the worth of the selections that were seen
        self.cutoff = -np.inf  # cases below it hold nothing better than the incumbent
        self.depth = 0  # how many splits all cases have in common
        self.experience = Experience(problem.similarity.shape[1])
        self.news: list[tuple[int, int, float]] = []  # what the experience does not hold yet
        self.found: list[tuple[np.ndarray, np.ndarray]] = []  # selections and their assignments

    @property
    def bound(self) -> float:
        """No selection of this lane's cases exceeds it and the incumbent."""
        return max([self.floor, *(case.bound for case in self.open)])

    def look(self) -> None:
        """Take note of the incumbent; between rounds only, so that lanes don't race."""
        self.cutoff = self.monitor.objective + CLOSE * abs(self.monitor.objective)

    def report(self) -> None:
        """Share what was learned and found; between rounds only."""
        self.experience.learn(self.news)
        for selected, assignment in self.found:
            self.monitor.offer(selected, assignment)
        self.news, self.found = [], []

    def start(self, progress: Progress) -> None:
        """The root: cut until it hardly helps, then keep the features that are worth most."""
        monitor = self.monitor
        generator: np.random.Generator | None = None
        stalled = 0
        point: Point | None = None
        with progress.bar("bounding what is possible", total=ROOT_ROUNDS) as advance:
            for _ in range(ROOT_ROUNDS):
                before = monitor.bound
                point = self.relaxation.solve()
                assert point is not None
                self.relaxation.cut(generator)
                self.relaxation.trim(IDLE + 1)
                monitor.tighten(point.bound)
                advance(note=f"Z <= {monitor.bound:.6g}")
                small = before - monitor.bound < ROOT_LITTLE * abs(monitor.bound)
                stalled = stalled + 1 if small else 0
                if monitor.good_enough() or monitor.out_of_time():
                    break
                if stalled == ROOT_STALLED and generator is not None:
                    break
                if stalled == ROOT_STALLED:
                    generator, stalled = np.random.default_rng(0), 0  # from now on thorough
        assert point is not None
        if monitor.good_enough() or monitor.out_of_time():
            return
        most = np.argsort(-point.profit, kind="stable")[: KEPT * self.problem.n_features]
        self.relaxation = self.relaxation.copy(np.union1d(most, np.flatnonzero(point.s)))
        nothing = np.array([], dtype=np.int64)
        self.look()
        self._bound((), nothing, nothing, monitor.bound)
        self.report()

    def work(self, target: float, quota: int) -> int:
        """Cut or split cases down to ``target``; ``quota`` splits at most; how many it were.

        Newest first, since the linear program is nearest to that one.
        """
        steps = 0
        while steps < quota and not self.monitor.out_of_time():
            ready = [i for i, case in enumerate(self.open) if case.bound >= target]
            if not ready:
                break
            case = self.open.pop(ready[-1])
            if case.bound > self.cutoff:
                steps += self._look_closer(case, target)
        return steps

    def divide(self) -> Lane:
        """Give the cases on one side of the first split that sets them apart to a new lane."""
        while len({case.path[: self.depth + 1] for case in self.open}) == 1:
            self.depth += 1
        self.depth += 1
        first = self.open[0].path[: self.depth]
        other = Lane(self.problem, self.monitor, self.relaxation.copy())
        other.depth = self.depth
        other.experience = self.experience
        other.open = [case for case in self.open if case.path[: self.depth] != first]
        self.open = [case for case in self.open if case.path[: self.depth] == first]
        return other

    # ------------------------------------------------------------------------------- internals

    def _look_closer(self, case: Case, target: float) -> bool:
        """Cut further; whether that left the case at ``target``, so that it had to be split."""
        if self._settled(case.ones, case.zeros):
            return False
        self.relaxation.fix(case.ones, case.zeros)
        point = self.relaxation.solve()
        for rounds in range(WHOLE_ROUNDS):
            if point is None or point.bound <= self.cutoff:
                break
            if rounds >= CASE_ROUNDS and len(point.fractional()):
                break
            if not self.relaxation.cut():
                break
            point = self.relaxation.solve()
        self.relaxation.trim(IDLE)
        if point is None or point.bound <= self.cutoff:
            return False
        bound = min(point.bound, case.bound)
        ones, zeros = self._reduce(point, case.ones, case.zeros)
        if bound < target:
            self._keep(case.path, ones, zeros, bound)
            return False
        fractional = point.fractional()
        undecided = np.setdiff1d(fractional, np.concatenate([ones, zeros]))
        if not len(fractional):
            # a selection: it is valued, and what remains is solved without it
            selected = np.flatnonzero(point.s > 0.5)
            self._value(selected)
            self.relaxation.add([Seen(tuple(selected.tolist()))])
            self._keep(case.path, ones, zeros, bound)
            return True
        if not len(undecided):  # reduced costs have just decided them: to be solved again
            self._keep(case.path, ones, zeros, bound)
            return False
        self._split(case.path, ones, zeros, bound, undecided, point.s[undecided])
        return True

    def _split(
        self,
        path: Path,
        ones: np.ndarray,
        zeros: np.ndarray,
        above: float,
        features: np.ndarray,
        s: np.ndarray,
    ) -> None:
        """Two cases, with and without one of the ``features``; both start from this one's basis."""
        best = int(self.experience.promise(features, s).argmax())
        d = int(features[best])
        basis = self.relaxation.basis()
        with_d = self._bound((*path, (d, 1)), np.append(ones, d), zeros, above)
        self.relaxation.restore(basis)
        without_d = self._bound((*path, (d, 0)), ones, np.append(zeros, d), above)
        for value, bound, distance in ((1, with_d, 1 - s[best]), (0, without_d, s[best])):
            if np.isfinite(bound):
                self.news.append((value, d, (above - bound) / max(distance, LEAST_DISTANCE)))

    def _bound(self, path: Path, ones: np.ndarray, zeros: np.ndarray, above: float) -> float:
        """Bound a case, ``above`` its parent's, and keep it where it may hold something better."""
        if self._settled(ones, zeros):
            return -np.inf
        self.relaxation.fix(ones, zeros)
        point = self.relaxation.solve()
        if point is None:
            return -np.inf
        bound = min(point.bound, above)
        if bound > self.cutoff:
            self._keep(path, *self._reduce(point, ones, zeros), bound)
        return bound

    def _settled(self, ones: np.ndarray, zeros: np.ndarray) -> bool:
        """Whether one selection is left, which is then valued, or none."""
        n, n_f = self.problem.n_features, self.problem.similarity.shape[1]
        if len(ones) < n < n_f - len(zeros):
            return False
        if len(ones) <= n <= n_f - len(zeros):
            everything = np.setdiff1d(np.arange(n_f), zeros)
            self._value(np.sort(ones) if len(ones) == n else everything)
        return True

    def _keep(self, path: Path, ones: np.ndarray, zeros: np.ndarray, bound: float) -> None:
        self.open.append(Case(bound, path, ones, zeros))

    def _reduce(
        self, point: Point, ones: np.ndarray, zeros: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fix features whose other value would push the bound below the incumbent."""
        free = np.ones(len(point.profit), dtype=bool)
        free[ones] = free[zeros] = False
        index = np.flatnonzero(free)
        wanted = self.problem.n_features - len(ones)
        ranked = np.sort(point.profit[index])[::-1]
        spare = point.bound - self.cutoff
        out = index[ranked[wanted - 1] - point.profit[index] > spare]
        into = index[point.profit[index] - ranked[wanted] > spare]
        return np.concatenate([ones, into]), np.concatenate([zeros, out])

    def _value(self, selected: np.ndarray) -> None:
        """A selection that needs no bound: keep it to be offered, remember its worth."""
        assignment = assign(self.problem, selected)
        self.found.append((selected, assignment))
        worth = evaluate(self.problem, selected, assignment)
        if not self.problem.exact_per_class:  # where separating classes is not exact
            worth = max(worth, relaxed(self.problem, selected))
        self.floor = max(self.floor, worth)
