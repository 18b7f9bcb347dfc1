"""The assignment of given features where classes get n_per_class of them on average (appendix G).

At a price for each assignment, every class takes the features worth more, and classes left alike
are separated at least loss, which is exact (:mod:`methods.qpm.assignment.matching`). The price at
which that spends exactly the assignments there are gives an optimum. Where the spending jumps over
that number, solutions from both sides of the jump, worth the same at its price, are mixed. Where
no mixture meets it either (few features, many classes), the nearest solutions are adjusted and
improved by exchanges of two entries, which need not reach the optimum.
"""

from __future__ import annotations

import math

import numpy as np

from methods.qpm.assignment.matching import Options, Sets, separate, sets_by_flips, sets_by_loss


def most_similar(gain: np.ndarray, total: int) -> np.ndarray:
    """The ``total`` best entries, at least one in each row; rows may be alike."""
    n_c, n = gain.shape
    assignment = np.zeros((n_c, n), dtype=bool)
    first = gain.argmax(1)
    assignment[np.arange(n_c), first] = True
    rest = np.where(assignment, -np.inf, gain).ravel()
    if total > n_c:
        assignment.ravel()[np.argpartition(-rest, total - n_c - 1)[: total - n_c]] = True
    return assignment


def on_average(gain: np.ndarray, total: int) -> np.ndarray:
    """(n_c, n) bool with ``total`` entries, no row empty, no two rows alike, of most gain.

    Finds a solution wherever there is one, mostly an optimum (see the module).

    >>> on_average(np.array([[3.0, 2.0], [3.0, 1.5]]), 3).astype(int)
    array([[1, 1],
           [1, 0]])
    """
    assignment = most_similar(gain, total)
    if len(np.unique(assignment, axis=0)) == len(gain):
        return assignment
    rich, poor = _spending(gain, total, float(gain[assignment].min()))
    mixed = _mixture(rich, poor, total)
    if mixed is not None:
        return _matrix(mixed, gain.shape)
    near = [_adjusted(gain, _matrix(sets, gain.shape), total) for sets in (rich, poor)]
    starts = [start for start in near if start is not None] or [_of_sizes(gain, total)]
    return max((_exchanged(gain, start) for start in starts), key=lambda a: float(gain[a].sum()))


def _spending(gain: np.ndarray, total: int, price: float) -> tuple[list[Sets], list[Sets]]:
    """Sets that spend ``total`` or more, and ``total`` or less, at nearly the same price.

    Looked for from ``price`` on; where a price spends just ``total`` both are its sets.
    """
    step = max(float(np.ptp(gain)), 1e-9) / gain.size
    rich: list[Sets] = []
    poor: list[Sets] = []
    low = high = price
    while True:
        sets = _at_price(gain, price)
        spent = sum(map(len, sets))
        if spent >= total:
            rich, low = sets, price
        if spent <= total:
            poor, high = sets, price
        if spent == total:
            return sets, sets
        if not rich:
            price, step = high - step, 2 * step
        elif not poor:
            price, step = low + step, 2 * step
        else:
            price = (low + high) / 2
            if high - low <= 1e-12 * (1 + abs(price)):
                return rich, poor


def _at_price(gain: np.ndarray, price: float) -> list[Sets]:
    """Different sets for all classes, none empty, of most gain less the price of their sizes."""
    order = np.arange(gain.shape[1])
    options = [Options(sets_by_flips(row), order) for row in gain - price]
    first = [option[0] for option in options]
    chosen = [best[1] for best in first if best is not None]
    if len(set(chosen)) < len(chosen):
        separate(chosen, options, [best[0] for best in first if best is not None])
    return chosen


def _mixture(rich: list[Sets], poor: list[Sets], total: int) -> list[Sets] | None:
    """Sets of one or the other solution, ``total`` in all, if any mixture without twins has that.

    Classes stay together where one takes in ``poor`` what the other has in ``rich``.
    """
    group = list(range(len(rich)))

    def root(c: int) -> int:
        while group[c] != c:
            c = group[c]
        return c

    owner = {features: c for c, features in enumerate(rich)}
    for c, features in enumerate(poor):
        if features in owner:
            group[root(c)] = root(owner[features])
    change: dict[int, int] = {}
    for c, features in enumerate(poor):
        change[root(c)] = change.get(root(c), 0) + len(features) - len(rich[c])
    reached: dict[int, tuple[int, ...]] = {sum(map(len, rich)): ()}
    for key, by in change.items():
        reached = {spent + by: (*keys, key) for spent, keys in reached.items()} | reached
    if total not in reached:
        return None
    taken = set(reached[total])
    return [poor[c] if root(c) in taken else rich[c] for c in range(len(rich))]


def _adjusted(gain: np.ndarray, assignment: np.ndarray, total: int) -> np.ndarray | None:
    """Entries taken away or added, the best one at a time; None where none can be."""
    while (missing := total - int(assignment.sum())) != 0:
        open_ = np.argwhere(assignment if missing < 0 else ~assignment)
        worth = np.sign(missing) * gain[tuple(open_.T)]
        for entry in map(tuple, open_[np.argsort(-worth, kind="stable")]):
            changed = assignment.copy()
            changed[entry] ^= True
            if _valid(changed):
                assignment = changed
                break
        else:
            return None
    return assignment


def _valid(assignment: np.ndarray) -> bool:
    """No row empty, no two alike."""
    return bool(assignment.any(1).all()) and len(np.unique(assignment, axis=0)) == len(assignment)


def _of_sizes(gain: np.ndarray, total: int) -> np.ndarray:
    """Some solution: sizes first, then sets of each by mean gain."""
    n_c, n = gain.shape
    free = [0, *(math.comb(n, size) for size in range(1, n + 1))]
    sizes: list[int] = []
    for size in range(1, n + 1):
        sizes += [size] * min(free[size], n_c - len(sizes))
    # the smallest sets, then one of them larger by one at a time: that meets every total
    for _ in range(total - sum(sizes)):
        grown = next(
            i
            for i in reversed(range(n_c))
            if sizes[i] < n and sizes.count(sizes[i] + 1) < free[sizes[i] + 1]
        )
        sizes[grown] += 1
        sizes.sort()
    order = np.argsort(-gain.mean(0), kind="stable")
    ranked = gain.mean(0)[order]
    sets: list[Sets] = []
    for size in sorted(set(sizes)):
        best = Options(sets_by_loss(ranked, size), order)
        for i in range(sizes.count(size)):
            option = best[i]
            assert option is not None
            sets.append(option[1])
    return _matrix(sets, gain.shape)


def _exchanged(gain: np.ndarray, assignment: np.ndarray) -> np.ndarray:
    """Improved until neither giving the sets to other classes pays nor exchanging two entries."""
    from scipy.optimize import linear_sum_assignment

    while True:
        assignment = assignment[linear_sum_assignment(gain @ assignment.T, maximize=True)[1]]
        better = _best_exchange(gain, assignment)
        if better is None:
            return assignment
        assignment = better


def _best_exchange(gain: np.ndarray, assignment: np.ndarray) -> np.ndarray | None:
    """One entry more and one less, anywhere, that gains most; None where none gains."""
    more, less = np.argwhere(~assignment), np.argwhere(assignment)
    more = more[np.argsort(-gain[~assignment], kind="stable")]
    less = less[np.argsort(gain[assignment], kind="stable")]
    best, most = None, 1e-12 * np.abs(gain).max()
    for enter in map(tuple, more):
        for leave in map(tuple, less):
            if gain[enter] - gain[leave] <= most:
                break
            changed = assignment.copy()
            changed[enter], changed[leave] = True, False
            if _valid(changed):
                best, most = changed, gain[enter] - gain[leave]
                break
    return best


def _matrix(sets: list[Sets], shape: tuple[int, ...]) -> np.ndarray:
    assignment = np.zeros(shape, dtype=bool)
    for c, features in enumerate(sets):
        assignment[c, list(features)] = True
    return assignment
