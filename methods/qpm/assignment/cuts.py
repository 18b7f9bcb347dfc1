"""Linear inequalities that every feasible selection satisfies, found where a fractional one fails.

Two families bound the two nonlinear terms of the objective by linear functions of the selection
s (n_f,):

* **Shares.** The assignment is a transport problem: class c takes at most s_d of feature d and m_c
  in all. By linear-programming duality its similarity is at most ``m_c u + sum_d max(a_cd - u, 0)
  s_d`` for every price u, as in the Lagrangian relaxation of the p-median problem (Cornuejols,
  Fisher and Nemhauser 1977, "Location of bank accounts to optimize float", Management Science
  23), and the best u is where the class, taking its most similar features first, is full.
* **Cliques.** Let y_dd' >= 0 stand for s_d s_d'. In a set Q whose m selected features are all
  pairwise redundant there are m(m-1)/2 pairs, and since (m - h)(m - h - 1) >= 0 for whole h,
  ``sum_{pairs in Q} y >= h sum_{d in Q} s_d - h(h+1)/2`` (the clique inequalities of the Boolean
  quadric polytope: Padberg 1989, Mathematical Programming 45). Cliques overlap freely, so that
  graded redundancies are used up to their full weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """``theta_c <= price * m_c + sum_d max(gain_cd - price, 0) s_d`` for one class c."""

    c: int
    price: float


@dataclass(frozen=True)
class Clique:
    """``sum_{pairs in features} y >= h * sum s - h(h+1)/2``; ``features`` increasing."""

    features: tuple[int, ...]
    h: int


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


def find_cliques(
    redundancy: np.ndarray, s: np.ndarray, y: np.ndarray, least: float, most: int
) -> list[Clique]:
    """Violated clique inequalities, most violated first.

    ``redundancy`` and ``y`` (m, m) and ``s`` (m,) are of the m features worth looking at; the
    cliques' features are positions among them. From every feature, and for h = 1, 2, 3, a clique
    grows by the feature that adds most to the violation; the best prefix counts.
    """
    m = len(s)
    together = redundancy > 0
    found: dict[Clique, float] = {}
    starts = np.flatnonzero(together.any(1))
    for h in (1, 2, 3):
        members = np.zeros((len(starts), m), dtype=bool)
        row = np.arange(len(starts))
        members[row, starts] = True
        candidates = together[starts]
        cost = y[starts].copy()  # (starts, m): what y a further member brings
        violation = h * s[starts] - h * (h + 1) / 2
        best_violation, best_members = violation.copy(), members.copy()
        active = row
        while len(active):
            # ties (all is zero beside an integral s) go to what keeps many candidates
            worth = np.where(candidates[active], h * s - cost[active], -np.inf)
            chosen = worth.argmax(1)
            gain = worth[np.arange(len(active)), chosen]
            grows = gain > 1e-7
            active, chosen, gain = active[grows], chosen[grows], gain[grows]
            members[active, chosen] = True
            candidates[active] &= together[chosen]
            cost[active] += y[chosen]
            violation[active] += gain
            better = active[violation[active] > best_violation[active] + 1e-9]
            best_violation[better] = violation[better]
            best_members[better] = members[better]
        for i in np.flatnonzero(best_violation > least):
            clique = Clique(tuple(np.flatnonzero(best_members[i]).tolist()), h)
            found[clique] = best_violation[i]
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0].features, item[0].h))
    return [clique for clique, _ in ranked[:most]]
