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
            break


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
    terms = terms_of(problem, "cpu")
    assignment = assign(problem, selected)
    value = evaluate(problem, selected, assignment)
    monitor.offer(selected, assignment)
    improved = True
    while improved:
        improved = False
        gains = swap_gains(terms, torch.as_tensor(selected)[None])[0].numpy().astype(np.float64)
        # single precision may undervalue an exchange a little
        slack = 1e-5 * (np.abs(problem.gain).max() * problem.n_assignments + abs(value))
        needed = value - relaxed(problem, selected) - slack
        promising = np.flatnonzero(gains.ravel() > needed)
        order = np.argsort(-gains.ravel()[promising], kind="stable")[:assignments]
        for flat in promising[order].tolist():
            if monitor.out_of_time():
                return
            candidate = selected.copy()
            place, candidate_feature = divmod(flat, gains.shape[1])
            candidate[place] = candidate_feature
            if relaxed(problem, candidate) <= value:
                continue
            assignment = assign(problem, candidate)
            worth = evaluate(problem, candidate, assignment)
            if worth > value + 1e-9 * abs(value):
                selected, value, improved = candidate, worth, True
                monitor.offer(selected, assignment)
                break


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
