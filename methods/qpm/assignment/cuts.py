"""Linear inequalities that every feasible selection satisfies, found where a fractional one fails.

Three families; the first two bound the two nonlinear terms of the objective by linear functions
of the selection s (n_f,):

* **Shares.** The assignment is a transport problem: class c takes at most s_d of feature d and m_c
  in all. By linear-programming duality its similarity is at most ``m_c u + sum_d max(a_cd - u, 0)
  s_d`` for every price u, as in the Lagrangian relaxation of the p-median problem (Cornuejols,
  Fisher and Nemhauser 1977, "Location of bank accounts to optimize float", Management Science
  23), and the best u is where the class, taking its most similar features first, is full.
* **Crowds.** Let y_dd' >= 0 stand for s_d s_d'. Of the m features selected from a set Q in which
  no alpha + 1 are free of redundancies among each other, at least as many pairs are redundant as
  lie inside alpha groups of even size (Turan 1941), and since (m - h)(m - h - 1) >= 0 in each
  group, ``sum_{redundant pairs in Q} y >= h sum_{d in Q} s_d - alpha h(h+1)/2`` for every h. With
  alpha = 1 these are the clique inequalities of the Boolean quadric polytope (Padberg 1989,
  Mathematical Programming 45), with h = 1 and y = 0 the rank inequalities of stable sets. Crowds
  overlap freely, so that graded redundancies are used up to their full weight.
* **Seen.** A selection whose worth is known already need not be bounded again: any other one lacks
  one of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Share:
    """``theta_c <= price * m_c + sum_d max(gain_cd - price, 0) s_d`` for one class c."""

    c: int
    price: float


@dataclass(frozen=True)
class Crowd:
    """``sum_{pairs} y >= h * sum_{features} s - alpha h(h+1)/2``.

    ``pairs`` are the redundant ones among ``features``, the smaller feature first.
    """

    features: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    h: int
    alpha: int

    @property
    def constant(self) -> float:
        return self.alpha * self.h * (self.h + 1) / 2

    @cached_property
    def members(self) -> np.ndarray:
        """``features`` as an array."""
        return np.array(self.features, dtype=np.int64)

    @cached_property
    def ends(self) -> np.ndarray:
        """``pairs`` as an array (pairs, 2)."""
        return np.array(self.pairs, dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Seen:
    """``sum_{d in features} s_d <= len(features) - 1``."""

    features: tuple[int, ...]


Cut = Share | Crowd | Seen

KINDS = ((1, 1), (1, 2), (1, 3))  # (alpha, h) of the crowds looked for everywhere
MORE_KINDS = ((2, 1), (2, 2))  # where the search is thorough
PARTNERS = 3  # starts with alpha = 2 per feature
DRAWS = 5  # repetitions of a thorough search, each from numbers that are off
NOISE = 0.4  # by so much of themselves


def prices(gain: np.ndarray, s: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The prices (n_c,) at which each class's bound is least.

    ``gain`` (n_c, n_f), ``s`` (n_f,) in [0, 1], ``size`` (n_c,) how many features a class gets.

    >>> prices(np.array([[3.0, 2.0, 1.0]]), np.array([0.5, 0.5, 1.0]), np.array([1.0]))
    array([2.])
    """
    support = np.flatnonzero(s > 0)
    values = gain[:, support]
    order = np.argsort(-values, axis=1, kind="stable")
    filled = np.cumsum(s[support][order], axis=1)
    place = np.minimum((filled < size[:, None] - 1e-9).sum(1), values.shape[1] - 1)
    row = np.arange(len(values))
    return values[row, order[row, place]]


def find_crowds(
    redundancy: np.ndarray,
    s: np.ndarray,
    y: np.ndarray,
    least: float,
    most: int,
    generator: np.random.Generator | None = None,
) -> list[tuple[np.ndarray, int, int]]:
    """Violated crowds as (features, h, alpha), most violated first.

    ``redundancy`` and ``y`` (m, m) and ``s`` (m,) are of the m features worth looking at; the
    crowds' features are positions among them. With a ``generator`` the search is thorough: greedy
    growth is repeated under noise, which leads it to crowds that it passes by otherwise.

    >>> find_crowds(1.0 - np.eye(3), np.full(3, 0.5), np.zeros((3, 3)), least=0.1, most=10)
    [(array([0, 1, 2]), 1, 1)]
    >>> ring = np.array([[0, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1],
    ...                  [1, 0, 0, 1, 0]])
    >>> generator = np.random.default_rng(0)
    >>> find_crowds(ring, np.full(5, 0.5), np.zeros((5, 5)), 0.1, 10, generator)
    [(array([0, 1, 2, 3, 4]), 1, 2)]
    """
    together = redundancy > 0
    if generator is None:
        found = _grow(together, s, y, KINDS)
    else:
        kinds = KINDS + MORE_KINDS
        found = _grow(together, s, y, kinds)
        for _ in range(DRAWS):
            noise = 1 + NOISE * generator.normal(size=y.shape)
            guess = np.clip(s * (1 + NOISE * generator.normal(size=len(s))), 0, 1)
            found |= _grow(together, guess, y * (noise + noise.T) / 2, kinds)
    crowds = []
    for key, h, alpha in found:
        places = np.flatnonzero(np.frombuffer(key, dtype=bool))
        paid = y[np.ix_(places, places)].sum() / 2
        violation = h * s[places].sum() - alpha * h * (h + 1) / 2 - paid
        if violation > least:
            crowds.append((-violation, h, alpha, places.tolist()))
    return [(np.array(places), h, alpha) for _, h, alpha, places in sorted(crowds)[:most]]


def _grow(
    together: np.ndarray, s: np.ndarray, y: np.ndarray, kinds: Sequence[tuple[int, int]]
) -> set[tuple[bytes, int, int]]:
    """Crowds (members as bytes of booleans, h, alpha), the best on the way of each growth.

    From every feature, or pair of features that are free of redundancy, a crowd grows by the
    feature that adds most to the violation.
    """
    apart = (~together).astype(np.float32)
    np.fill_diagonal(apart, 0)
    singles = np.flatnonzero(together.any(1))[:, None]
    starts = {1: singles}
    if any(alpha == 2 for alpha, _ in kinds):
        starts[2] = _partners(together, apart, s)
    found: set[tuple[bytes, int, int]] = set()
    for alpha, h in kinds:
        first = starts[alpha]
        if not len(first):
            continue
        row = np.arange(len(first))
        members = np.zeros((len(first), len(s)), dtype=bool)
        members[row[:, None], first] = True
        candidates = together[first].any(1) & ~members
        cost = y[first].sum(1)  # (starts, m): what y a further member brings
        violation = h * s[first].sum(1) - alpha * h * (h + 1) / 2
        best_violation, best_members = violation.copy(), members.copy()
        active = row
        while len(active):
            worth = np.where(candidates[active], h * s - cost[active], -np.inf)
            chosen = worth.argmax(1)
            gain = worth[np.arange(len(active)), chosen]
            grows = gain > 1e-7
            active, chosen, gain = active[grows], chosen[grows], gain[grows]
            allowed = together[chosen]
            if alpha == 2:  # or redundant with all that the new member is free of
                free_of = (members[active] & ~together[chosen]).astype(np.float32)
                allowed = allowed | (free_of @ apart == 0)
            members[active, chosen] = True
            candidates[active] &= allowed
            candidates[active, chosen] = False
            cost[active] += y[chosen]
            violation[active] += gain
            better = active[violation[active] > best_violation[active] + 1e-9]
            best_violation[better] = violation[better]
            best_members[better] = members[better]
        found |= {(best_members[i].tobytes(), h, alpha) for i in np.flatnonzero(best_violation > 0)}
    return found


def _partners(together: np.ndarray, apart: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Pairs (p, 2) without redundancy that have most in common, a few for every feature."""
    common = np.where(apart > 0, (together * s) @ together.T, 0)
    near = np.argsort(-common, axis=1, kind="stable")[:, :PARTNERS]
    pairs = np.stack([np.repeat(np.arange(len(s)), near.shape[1]), near.ravel()], axis=1)
    pairs = pairs[common[pairs[:, 0], pairs[:, 1]] > 0]
    return np.unique(np.sort(pairs, axis=1), axis=0)
