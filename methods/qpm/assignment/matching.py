"""Different sets of features for all classes at least loss: a matching over sets in order of loss.

:func:`separate` is exact for any lists of sets that come in order of what they lose; those of a
given size are :func:`sets_by_loss`, those of any size :func:`sets_by_flips`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import numpy as np

Sets = tuple[int, ...]


def separate(chosen: list[Sets], options: list[Options], losses: list[float]) -> None:
    """Replace entries of ``chosen`` in place so that all differ, at least total loss.

    ``chosen`` holds the first option of each class, ``losses`` what that one loses. A matching of
    classes with sets by shortest augmenting paths. Each class has more sets than can be listed,
    but in order of loss, so a path asks only for those it may use.
    """
    owner: dict[Sets, int] = {}
    alike = []
    for c, features in enumerate(chosen):
        if owner.setdefault(features, c) != c:
            alike.append(c)
    # Dual prices: price[s] <= 0 of a set, wage[c] of a class; loss - wage - price is never
    # negative, and 0 for a class with its set.
    wage = dict(enumerate(losses))
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


class Options:
    """The sets of one class in order of loss, found when asked for.

    ``source`` yields (loss, places); ``order`` (n,) has the feature at each place.
    """

    def __init__(self, source: Iterator[tuple[float, Sets]], order: np.ndarray) -> None:
        self._source = source
        self._order = order
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


def sets_by_flips(worth: np.ndarray) -> Iterator[tuple[float, Sets]]:
    """All sets but the empty one, in order of what they lose on the best (where worth is > 0).

    Lazily, best first: the places to flip are the next larger subset of the sorted magnitudes.

    >>> [(float(loss), places) for loss, places in sets_by_flips(np.array([2.0, -1.0]))]
    [(0.0, (0,)), (1.0, (0, 1)), (3.0, (1,))]
    """
    order = np.argsort(np.abs(worth), kind="stable").tolist()
    costs = np.abs(worth)[order].tolist()
    best = frozenset(np.flatnonzero(worth > 0).tolist())
    if best:
        yield 0.0, tuple(sorted(best))
    heap: list[tuple[float, Sets]] = [(costs[0], (0,))]  # flips, as places in the order of cost
    while heap:
        loss, flips = heapq.heappop(heap)
        features = best.symmetric_difference(order[i] for i in flips)
        if features:
            yield loss, tuple(sorted(features))
        last = flips[-1] + 1
        if last < len(costs):
            heapq.heappush(heap, (loss + costs[last], (*flips, last)))
            heapq.heappush(heap, (loss + costs[last] - costs[last - 1], (*flips[:-1], last)))
