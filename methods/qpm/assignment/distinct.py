"""The best assignment of given features to classes, no two classes alike (equations 3 and 4).

Without equation 4 every class takes its ``n_per_class`` most similar features. Classes left alike
are separated at least cost: each class lists its sets of features in order of what they lose, and
a matching of classes with different sets of least total loss is exact (the paper's own scheme,
equations 19-25, changes one pair of classes at a time and need not be).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import numpy as np

from methods.qpm.assignment.problem import AssignmentProblem

Sets = tuple[int, ...]


def assign(problem: AssignmentProblem, selected: np.ndarray) -> np.ndarray:
    """(n_c, n*) bool: the features of each class, column j for feature ``selected[j]``.

    Exact for ``exact_per_class``; on average (appendix G) it is exact where no two classes come
    out alike, and otherwise repaired greedily.

    >>> problem = AssignmentProblem([[3.0, 2.0, 0.0], [3.0, 1.0, 0.5]], None, None, 3, 1)
    >>> assign(problem, np.arange(3)).astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    gain = problem.gain[:, selected]
    if problem.exact_per_class:
        return _exactly(gain, problem.n_per_class)
    return _on_average(gain, problem.n_assignments)


def relaxed(problem: AssignmentProblem, selected: np.ndarray) -> float:
    """Z of a selection when classes may be alike: never below what :func:`assign` reaches."""
    gain = problem.gain[:, selected]
    if problem.exact_per_class:
        k = problem.n_per_class
        total = np.partition(gain, gain.shape[1] - k, axis=1)[:, gain.shape[1] - k :].sum()
    else:
        total = gain[_most_similar(gain, problem.n_assignments)].sum()
    pairs = problem.redundancy[np.ix_(selected, selected)].sum() / 2
    return float(total - pairs + problem.bias[selected].sum())


# ------------------------------------------------------------------------- exactly n_per_class


def _exactly(gain: np.ndarray, k: int) -> np.ndarray:
    n_c, n = gain.shape
    order = np.argsort(-gain, axis=1, kind="stable")
    chosen: list[Sets] = [tuple(sorted(row)) for row in order[:, :k].tolist()]
    if len(set(chosen)) < n_c:
        ranked = np.take_along_axis(gain, order, axis=1)
        _separate(chosen, ranked, order, k)
    assignment = np.zeros((n_c, n), dtype=bool)
    assignment[np.arange(n_c)[:, None], np.array(chosen)] = True
    return assignment


def _separate(chosen: list[Sets], ranked: np.ndarray, order: np.ndarray, k: int) -> None:
    """Replace entries of ``chosen`` in place so that all differ, at least total loss.

    A matching of classes with sets by shortest augmenting paths. Each class has more sets than
    can be listed, but in order of loss, so a path asks only for those it may use.
    """
    owner: dict[Sets, int] = {}
    alike = []
    for c, features in enumerate(chosen):
        if owner.setdefault(features, c) != c:
            alike.append(c)
    options = [_Options(ranked[c], order[c], k) for c in range(len(chosen))]
    # Dual prices: price[s] <= 0 of a set, wage[c] of a class; loss - wage - price is never
    # negative, and 0 for a class with its set.
    wage = dict.fromkeys(range(len(chosen)), 0.0)
    price: dict[Sets, float] = {}
    for start in alike:
        distance = {start: 0.0}  # of the classes reached
        reached: dict[Sets, float] = {}
        came_from: dict[Sets, int] = {}
        # (key, tie break, class, its option, the set once its price is in the key)
        heap: list[tuple[float, int, int, int, Sets | None]] = []
        ticket = itertools.count()

        def ask(
            c: int,
            i: int,
            distance: dict[int, float] = distance,
            heap: list[tuple[float, int, int, int, Sets | None]] = heap,
            ticket: Iterator[int] = ticket,
        ) -> None:
            option = options[c][i]
            if option is not None:
                key = distance[c] + option[0] - wage[c]
                heapq.heappush(heap, (key, next(ticket), c, i, None))

        ask(start, 0)
        while True:
            key, _, c, i, target = heapq.heappop(heap)
            if target is None:
                option = options[c][i]
                assert option is not None
                ask(c, i + 1)
                target = option[1]
                if target in reached:
                    continue
                if price.get(target):
                    key -= price[target]
                    heapq.heappush(heap, (key, next(ticket), c, i, target))
                    continue
            if target in reached:
                continue
            reached[target] = key
            came_from[target] = c
            if target not in owner:
                break
            distance[owner[target]] = key
            ask(owner[target], 0)
        for c, far in distance.items():
            wage[c] += reached[target] - far
        for features, far in reached.items():
            price[features] = price.get(features, 0.0) - (reached[target] - far)
        while True:
            c = came_from[target]
            owner[target], chosen[c], target = c, target, chosen[c]
            if c == start:
                break


class _Options:
    """The sets of one class in order of loss, found when asked for."""

    def __init__(self, ranked: np.ndarray, order: np.ndarray, k: int) -> None:
        self._order = order
        self._source = sets_by_loss(ranked, k)
        self._known: list[tuple[float, Sets]] = []

    def __getitem__(self, i: int) -> tuple[float, Sets] | None:
        while len(self._known) <= i:
            loss, places = next(self._source, (0.0, None))
            if places is None:
                return None
            self._known.append((loss, tuple(sorted(self._order[list(places)].tolist()))))
        return self._known[i]


def sets_by_loss(ranked: np.ndarray, k: int) -> Iterator[tuple[float, Sets]]:
    """The k-subsets of places of decreasing values, in order of what they lose on the first k.

    Lazily, best first: from each set one place moves on by one.

    >>> [(float(loss), places) for loss, places in sets_by_loss(np.array([3.0, 2.0, 0.0]), 2)]
    [(0.0, (0, 1)), (2.0, (0, 2)), (3.0, (1, 2))]
    """
    values = ranked.tolist()
    first = tuple(range(k))
    heap: list[tuple[float, Sets]] = [(0.0, first)]
    seen = {first}
    while heap:
        loss, places = heapq.heappop(heap)
        yield loss, places
        for j in range(k):
            place = places[j] + 1
            if place < len(values) and (j + 1 == k or places[j + 1] != place):
                moved = (*places[:j], place, *places[j + 1 :])
                if moved not in seen:
                    seen.add(moved)
                    heapq.heappush(heap, (loss + values[place - 1] - values[place], moved))


# --------------------------------------------------------------------------------- on average


def _most_similar(gain: np.ndarray, total: int) -> np.ndarray:
    """The ``total`` best entries, at least one in each row."""
    n_c, n = gain.shape
    assignment = np.zeros((n_c, n), dtype=bool)
    first = gain.argmax(1)
    assignment[np.arange(n_c), first] = True
    rest = np.where(assignment, -np.inf, gain).ravel()
    if total > n_c:
        assignment.ravel()[np.argpartition(-rest, total - n_c - 1)[: total - n_c]] = True
    return assignment


def _on_average(gain: np.ndarray, total: int) -> np.ndarray:
    """Resolve one class that is like an earlier one at a time, by the cheapest of three moves."""
    assignment = _most_similar(gain, total)
    sets = [row.tobytes() for row in assignment]
    while len(set(sets)) < len(sets):
        c = next(c for c, key in enumerate(sets) if key in sets[:c])
        loss, changes = _cheapest_change(gain, assignment, set(sets), c)
        if not np.isfinite(loss):
            raise ValueError(
                "no move separates two classes that are alike; raise n_features or n_per_class"
            )
        for row, column in changes:
            assignment[row, column] ^= True
            sets[row] = assignment[row].tobytes()
    return assignment


def _cheapest_change(
    gain: np.ndarray, assignment: np.ndarray, taken: set[bytes], c: int
) -> tuple[float, list[tuple[int, int]]]:
    """Exchange a feature of class c, or give it one / take one and make up for it elsewhere."""

    def changed(row: int, *columns: int) -> bytes | None:
        """The set after the change, None where it would be empty or another class's."""
        features = assignment[row].copy()
        features[list(columns)] ^= True
        key = features.tobytes()
        return key if features.any() and key not in taken else None

    best: tuple[float, list[tuple[int, int]]] = (np.inf, [])
    own, other = np.flatnonzero(assignment[c]), np.flatnonzero(~assignment[c])
    for d in own.tolist():
        for e in other.tolist():
            loss = gain[c, d] - gain[c, e]
            if loss < best[0] and changed(c, d, e):
                best = (loss, [(c, d), (c, e)])
    for columns, sign in ((other, -1), (own, 1)):
        # sign -1: class c gains a feature, some other class loses one; 1: the other way round
        mine = sorted(columns.tolist(), key=lambda column: sign * gain[c, column])
        elsewhere = np.argwhere(assignment if sign < 0 else ~assignment)
        elsewhere = elsewhere[elsewhere[:, 0] != c]
        order = np.argsort(-sign * gain[elsewhere[:, 0], elsewhere[:, 1]], kind="stable")
        for column in mine:
            key = changed(c, column)
            if key is None:
                continue
            for row, place in elsewhere[order].tolist():
                loss = sign * (gain[c, column] - gain[row, place])
                if loss >= best[0]:
                    break
                if changed(row, place) not in (None, key):
                    best = (loss, [(c, column), (row, place)])
                    break
    return best
