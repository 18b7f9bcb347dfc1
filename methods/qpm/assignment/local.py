"""``solver="local"``: our own search, no licence, results independent of the machine's speed."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.contracts import Progress
from methods.qpm.assignment.distinct import assign, relaxed
from methods.qpm.assignment.monitor import Monitor
from methods.qpm.assignment.moves import Terms, swap_gains
from methods.qpm.assignment.problem import AssignmentProblem, evaluate
from methods.qpm.assignment.search import fill, walk_all

Selection = tuple[int, ...]


@dataclass(frozen=True)
class Budget:
    """How much is searched, in counts; ``patience`` rounds without a better selection end it."""

    walkers: int = 8
    rounds: int = 12
    patience: int = 3
    moves: int = 6  # of each walker in each round, per selected feature (and 20 more)
    elite: int = 16  # selections kept to breed from
    polished: int = 6  # of these, improved with equation 4 in force
    assignments: int = 300  # assigned in a row without a better one, per polished selection
    exchanges: int = 40  # from which a second one is tried


def search(
    problem: AssignmentProblem,
    monitor: Monitor,
    seed: int,
    progress: Progress,
    device: str = "cpu",
    budget: Budget | None = None,
) -> None:
    """Offer good selections with their best assignments to ``monitor``.

    Walkers (:mod:`methods.qpm.assignment.search`) let classes be alike, since separating them
    costs little. Between rounds new starts are bred from pairs of the best selections. At the end
    the best ones are assigned with equation 4 and improved by exchanges valued with it.
    """
    budget = budget or Budget()
    generator = np.random.default_rng(seed)
    n, n_f = problem.n_features, problem.similarity.shape[1]
    if n == n_f:
        everything = np.arange(n_f)
        monitor.offer(everything, assign(problem, everything))
        return
    terms = terms_of(problem, device)
    moves = 20 + budget.moves * n
    workers = max(1, min(budget.walkers, os.cpu_count() or 1))
    starts = [fill(terms, np.array([], dtype=np.int64), n)] + [
        fill(terms, generator.choice(n_f, size=max(1, n // 3), replace=False), n)
        for _ in range(budget.walkers - 1)
    ]
    # offered at once and after each round, for those who stop the search
    monitor.offer(starts[0], assign(problem, starts[0]))
    elite: dict[Selection, float] = {}
    best, stale = -np.inf, 0
    with progress.bar("searching for features", total=budget.rounds) as advance:
        for _ in range(budget.rounds):
            found = walk_all(
                terms, np.stack(starts), moves, generator, monitor.out_of_time, workers
            )
            for selected in np.sort(found, axis=1):
                elite.setdefault(tuple(selected.tolist()), relaxed(problem, selected))
            ranked = sorted(elite.items(), key=lambda item: (-item[1], item[0]))
            elite = dict(ranked[: budget.elite])
            stale = stale + 1 if ranked[0][1] <= best else 0
            best = ranked[0][1]
            if stale == 0:
                leader = np.array(ranked[0][0])
                monitor.offer(leader, assign(problem, leader))
            advance(note=f"Z = {best:.5g}")
            if stale >= budget.patience or monitor.out_of_time():
                break
            starts = [_breed(terms, list(elite), n, generator) for _ in starts]
    for selection in list(elite)[: budget.polished]:
        polish(problem, np.array(selection), monitor, budget.assignments)
        if monitor.out_of_time():
            return
    polish_twice(problem, monitor, budget.exchanges, budget.assignments)


def terms_of(problem: AssignmentProblem, device: str) -> Terms:
    """The problem's constants in single precision: exchanges only, objectives are in double."""
    return Terms(
        gain=torch.tensor(problem.gain, dtype=torch.float32, device=device),
        redundancy=torch.tensor(problem.redundancy, dtype=torch.float32, device=device),
        bias=torch.tensor(problem.bias, dtype=torch.float32, device=device),
        k=problem.n_per_class,
        total=None if problem.exact_per_class else problem.n_assignments,
    )


def polish(
    problem: AssignmentProblem, selected: np.ndarray, monitor: Monitor, assignments: int
) -> None:
    """Exchanges valued with equation 4, most promising first, until none of them pays.

    Without that equation an exchange is worth at least as much, so one that would not pay even
    then is never assigned. At most ``assignments`` in a row are tried in vain.
    """
    value = _offer(problem, selected, monitor)
    improved = True
    while improved:
        improved = False
        for candidate in _promising(problem, selected, value)[:assignments]:
            if monitor.out_of_time():
                return
            if relaxed(problem, candidate) <= value:
                continue
            worth = _offer(problem, candidate, monitor)
            if worth > value + 1e-9 * abs(value):
                selected, value, improved = candidate, worth, True
                break


def polish_twice(
    problem: AssignmentProblem, monitor: Monitor, exchanges: int, assignments: int
) -> None:
    """Two exchanges at once from the incumbent, as long as that pays.

    For where equation 4 costs much: the best selection may then lie behind worse ones. The first
    exchange is one of the ``exchanges`` best; ``assignments`` pairs are tried in vain.
    """
    improved = True
    while improved:
        improved = False
        assert monitor.selected is not None
        selected, value = monitor.selected, monitor.objective
        if relaxed(problem, selected) <= value + 1e-9 * abs(value):
            return  # equation 4 costs nothing here: the search has been as thorough
        found: dict[Selection, float] = {}
        for between in _promising(problem, selected, -np.inf)[:exchanges]:
            if monitor.out_of_time():
                return
            for candidate in _promising(problem, between, value)[:assignments]:
                key = tuple(np.sort(candidate).tolist())
                if key not in found:
                    found[key] = relaxed(problem, candidate)
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        for selection, bound in ranked[:assignments]:
            if monitor.out_of_time() or bound <= value:
                break
            candidate = np.array(selection)
            if _offer(problem, candidate, monitor) > value + 1e-9 * abs(value):
                polish(problem, candidate, monitor, assignments)
                improved = True
                break


def _offer(problem: AssignmentProblem, selected: np.ndarray, monitor: Monitor) -> float:
    """Z of a selection with its best assignment, which is offered."""
    assignment = assign(problem, selected)
    monitor.offer(selected, assignment)
    return evaluate(problem, selected, assignment)


def _promising(problem: AssignmentProblem, selected: np.ndarray, value: float) -> np.ndarray:
    """(m, n): the selections one exchange away that may exceed ``value``, best first.

    They are valued without equation 4 (and with empty classes, where that is possible), so no
    other one does.
    """
    terms = terms_of(problem, "cpu")
    gains = swap_gains(terms, torch.as_tensor(selected)[None])[0].numpy().astype(np.float64)
    before = relaxed(problem, selected, empty=True)
    # single precision may undervalue an exchange a little
    slack = 1e-5 * (np.abs(problem.gain).max() * problem.n_assignments + abs(before))
    able = np.flatnonzero((gains > value - before - slack) & np.isfinite(gains))
    places, features = np.divmod(
        able[np.argsort(-gains.ravel()[able], kind="stable")], gains.shape[1]
    )
    candidates = np.tile(selected, (len(places), 1))
    candidates[np.arange(len(places)), places] = features
    return candidates


def _breed(
    terms: Terms, elite: list[Selection], n: int, generator: np.random.Generator
) -> np.ndarray:
    """A start from two good selections: most of what both hold, some of what one holds, and for
    the rest whatever adds most."""
    first, second = (elite[i] for i in generator.choice(len(elite), 2, replace=len(elite) == 1))
    common = generator.permutation(np.intersect1d(first, second))
    single = generator.permutation(np.setxor1d(first, second))
    common = common[: int(np.ceil(len(common) * generator.uniform(0.7, 1.0)))]
    fixed = np.concatenate([common, single[: (n - len(common)) // 2]]).astype(np.int64)
    return fill(terms, fixed, n)
