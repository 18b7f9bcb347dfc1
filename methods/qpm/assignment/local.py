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
from methods.qpm.assignment.problem import AssignmentProblem
from methods.qpm.assignment.search import fill, walk_all


@dataclass(frozen=True)
class Budget:
    """How much is searched. ``patience`` rounds in a row without a better selection end it."""

    walkers: int = 8
    rounds: int = 12
    patience: int = 4
    moves_per_feature: int = 4  # a round's moves, times n_features


def search(
    problem: AssignmentProblem,
    monitor: Monitor,
    seed: int,
    progress: Progress,
    device: str = "cpu",
    budget: Budget | None = None,
) -> None:
    """Find good selections and their best assignments; offers them to ``monitor``.

    The search itself lets classes be alike (their separation costs little); the best selections
    are then assigned with equation 4 and improved by exchanges valued with it.
    """
    budget = budget or Budget()
    generator = np.random.default_rng(seed)
    n_f = problem.similarity.shape[1]
    if problem.n_features == n_f:
        everything = np.arange(n_f)
        monitor.offer(everything, assign(problem, everything))
        return
    terms = terms_of(problem, device)
    starts = _starts(problem, budget.walkers, generator)
    elite: dict[tuple[int, ...], float] = {}
    moves = budget.moves_per_feature * problem.n_features + 20
    workers = max(1, min(len(starts), os.cpu_count() or 1))
    stale, best = 0, -np.inf
    with progress.bar("selecting features", total=budget.rounds) as advance:
        for _ in range(budget.rounds):
            found = walk_all(terms, starts, moves, generator, monitor.out_of_time, workers)
            for selected in np.sort(found, axis=1):
                elite.setdefault(tuple(selected.tolist()), relaxed(problem, selected))
            elite = dict(sorted(elite.items(), key=lambda item: (-item[1], item[0]))[:16])
            stale, best, before = stale + 1, max(elite.values()), best
            if best > before + 1e-9 * abs(best):
                stale = 0
            advance(note=f"{best:.4g}")
            if stale >= budget.patience or monitor.out_of_time():
                break
            starts = _breed(problem, list(elite), len(starts), generator)
    for selected in list(elite)[:4]:
        polish(problem, np.array(selected), monitor)
        if monitor.out_of_time():
            break


def terms_of(problem: AssignmentProblem, device: str) -> Terms:
    """The problem's constants in single precision (exchanges only; objectives are in double)."""
    return Terms(
        gain=torch.tensor(problem.gain, dtype=torch.float32, device=device),
        redundancy=torch.tensor(problem.redundancy, dtype=torch.float32, device=device),
        bias=torch.tensor(problem.bias, dtype=torch.float32, device=device),
        k=problem.n_per_class,
        total=None if problem.exact_per_class else problem.n_assignments,
    )


def polish(problem: AssignmentProblem, selected: np.ndarray, monitor: Monitor) -> None:
    """Steepest exchanges valued with equation 4.

    Without that equation an exchange is worth at least as much, so those that would not even then
    pay are never assigned.
    """
    terms = terms_of(problem, "cpu")
    assignment = assign(problem, selected)
    monitor.offer(selected, assignment)
    value = _value(problem, selected, assignment)
    while not monitor.out_of_time():
        gains = swap_gains(terms, torch.as_tensor(selected)[None])[0].numpy().astype(np.float64)
        reachable = relaxed(problem, selected) + gains
        floor = value + 1e-9 * abs(value)
        # single precision may undervalue an exchange a little
        places = np.flatnonzero(reachable.ravel() > floor - 1e-5 * abs(value))
        best, best_selected = floor, None
        for flat in places[np.argsort(-reachable.ravel()[places], kind="stable")].tolist():
            if reachable.flat[flat] + 1e-5 * abs(value) <= best:
                break
            place, entering = divmod(flat, gains.shape[1])
            candidate = selected.copy()
            candidate[place] = entering
            worth = _value(problem, candidate, assign(problem, candidate))
            if worth > best:
                best, best_selected = worth, candidate
        if best_selected is None:
            return
        value, selected = best, best_selected
        monitor.offer(selected, assign(problem, selected))


def _value(problem: AssignmentProblem, selected: np.ndarray, assignment: np.ndarray) -> float:
    from methods.qpm.assignment.problem import evaluate

    return evaluate(problem, selected, assignment)


def _starts(problem: AssignmentProblem, walkers: int, generator: np.random.Generator) -> np.ndarray:
    """One greedy selection, and others that are greedy after a random third."""
    n_f, n = problem.similarity.shape[1], problem.n_features
    starts = []
    for walker in range(walkers):
        fixed = generator.choice(n_f, size=n // 3, replace=False) if walker else np.array([], int)
        starts.append(_fill(problem, fixed, None))
    return np.stack(starts)


def _breed(
    problem: AssignmentProblem,
    elite: list[tuple[int, ...]],
    walkers: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Starts from pairs of good selections: what both hold, three in four of it, and then greedily
    from anything; single selections lose a random third instead."""
    n = problem.n_features
    starts = []
    for walker in range(walkers):
        first, second = generator.choice(len(elite), 2, replace=len(elite) == 1)
        common = np.intersect1d(elite[first], elite[second])
        keep = generator.random(len(common)) < (0.75 if walker % 2 else 0.95)
        union = np.union1d(elite[first], elite[second])
        fixed = common[keep]
        allowed = None
        if walker % 2 == 0 and len(union) >= n + 2:
            # random halves of the union's rest, so that brothers differ
            rest = np.setdiff1d(union, fixed)
            extra = generator.permutation(rest)[: max(0, (n - len(fixed)) // 2)]
            fixed = np.concatenate([fixed, extra])
        starts.append(_fill(problem, fixed, allowed))
    return np.stack(starts)


def _fill(problem: AssignmentProblem, fixed: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    return fill(
        problem.gain,
        problem.redundancy,
        problem.bias,
        problem.n_per_class,
        problem.n_features,
        fixed,
        allowed,
    )
