"""The linear relaxation, tightened by the cuts of :mod:`methods.qpm.assignment.cuts`.

Variables: s in [0, 1], for each class its share theta_c of the objective and its number of
features m_c (n_per_class, or at least 1 and that many on average), and y for those pairs of
features that some clique mentions. The linear program is only a means to good multipliers: the
bound that is returned is evaluated from them, in double precision and without trusting the
solver's tolerances, as a Lagrangian function. With multipliers lambda of the shares (one convex
combination per class) and mu of the cliques it is::

    max over m of  sum_c m_c * (sum lambda * price)  +  sum mu * h(h+1)/2
        + sum_pairs max(sum mu - r, 0)
        + the best n_features of  profit_d = b_d + sum lambda * max(a_d - price, 0) - sum mu * h

which no feasible point exceeds whatever lambda and mu are.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from methods.qpm.assignment.cuts import Clique, Share, find_cliques, prices
from methods.qpm.assignment.problem import AssignmentProblem


@dataclass(frozen=True)
class Point:
    """A bound on all selections within the fixings, the fractional selection ``s`` (n_f,) at it,
    and ``profit`` (n_f,): the bound's linear function of s."""

    bound: float
    s: np.ndarray
    profit: np.ndarray


class Relaxation:
    """A linear program that grows by cuts and keeps them: later solves start from them."""

    def __init__(self, problem: AssignmentProblem) -> None:
        self.problem = problem
        self.gain = problem.gain
        n_c, n_f = self.gain.shape
        k, n = problem.n_per_class, problem.n_features
        self.smallest, self.largest = (k, k) if problem.exact_per_class else (1, n)
        # (n_c,): no selection gives a class more
        ranked = -np.sort(-self.gain, axis=1)[:, : self.largest]
        self.ceiling = ranked.cumsum(1)[:, self.smallest - 1 :].max(1)
        self.cuts: list[Share | Clique] = []
        self.idle = np.zeros(0, dtype=np.int64)  # for how many solves each cut did not matter
        self.columns: dict[tuple[int, int], int] = {}  # pair of features -> column of its y
        self.fixed = np.full(n_f, -1, dtype=np.int8)
        self.model = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
            self.model.setOptionValue(name, value)
        self._add_columns(-problem.bias, np.zeros(n_f), np.ones(n_f))
        self._add_columns(-np.ones(n_c), np.full(n_c, -highspy.kHighsInf), self.ceiling)
        ones = np.ones(n_c)
        self._add_columns(np.zeros(n_c), ones * self.smallest, ones * self.largest)
        self._add_rows(
            [
                (n, n, np.arange(n_f), np.ones(n_f)),
                (n_c * k, n_c * k, np.arange(n_f + n_c, n_f + 2 * n_c), ones),
            ]
        )

    def fix(self, ones: np.ndarray, zeros: np.ndarray) -> None:
        """Select the features ``ones``, exclude ``zeros``, free all others."""
        fixed = np.full(len(self.fixed), -1, dtype=np.int8)
        fixed[ones], fixed[zeros] = 1, 0
        changed = np.flatnonzero(fixed != self.fixed).astype(np.int32)
        if len(changed):
            lower, upper = (fixed[changed] == 1) * 1.0, (fixed[changed] != 0) * 1.0
            self.model.changeColsBounds(len(changed), changed, lower, upper)
        self.fixed = fixed

    def solve(self, rounds: int, enough: float = -np.inf, least: float = 1e-3) -> Point | None:
        """Solve, add violated cuts, and so on, ``rounds`` times at most.

        Ends early where nothing is violated by more than ``least``, or the bound falls below
        ``enough``. None where the fixings leave no selection.
        """
        best: Point | None = None
        for _ in range(rounds):
            self.model.run()
            if self.model.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
                return None
            solution = self.model.getSolution()
            values = np.array(solution.col_value)
            multiplier = np.maximum(-np.array(solution.row_dual)[2:], 0)
            self.idle = np.where(multiplier > 0, 0, self.idle + 1)
            point = self._point(values, multiplier)
            if best is None or point.bound < best.bound:
                best = point
            if best.bound <= enough or not self._cut(values, least):
                break
        return best

    def add(self, cuts: list[Share | Clique]) -> None:
        """Put inequalities into the program."""
        n_c, n_f = self.gain.shape
        pairs = {
            pair: None
            for cut in cuts
            if isinstance(cut, Clique)
            for pair in _pairs(cut)
            if pair not in self.columns
        }
        if pairs:
            first = n_f + 2 * n_c + len(self.columns)
            self.columns |= {pair: first + i for i, pair in enumerate(pairs)}
            costs = np.array([self.problem.redundancy[pair] for pair in pairs])
            self._add_columns(costs, np.zeros(len(pairs)), np.ones(len(pairs)))
        rows = []
        for cut in cuts:
            if isinstance(cut, Share):
                profit = np.maximum(self.gain[cut.c] - cut.price, 0)
                at = np.flatnonzero(profit)
                index = np.append(at, [n_f + cut.c, n_f + n_c + cut.c])
                rows.append((-np.inf, 0.0, index, np.append(-profit[at], [1.0, -cut.price])))
            else:
                ys = [self.columns[pair] for pair in _pairs(cut)]
                index = np.array([*cut.features, *ys])
                value = np.repeat([float(cut.h), -1.0], [len(cut.features), len(ys)])
                rows.append((-np.inf, cut.h * (cut.h + 1) / 2, index, value))
        self._add_rows(rows)
        self.cuts += cuts
        self.idle = np.append(self.idle, np.zeros(len(cuts), dtype=np.int64))

    def trim(self, idle: int) -> None:
        """Drop the cuts that did not matter in the last ``idle`` solves."""
        gone = np.flatnonzero(self.idle >= idle)
        if len(gone):
            self.model.deleteRows(len(gone), (gone + 2).astype(np.int32))
            self.cuts = [cut for cut, age in zip(self.cuts, self.idle, strict=True) if age < idle]
            self.idle = self.idle[self.idle < idle]

    # ------------------------------------------------------------------------------- internals

    def _cut(self, values: np.ndarray, least: float) -> bool:
        """Add what the fractional point violates; whether there was anything."""
        n_c, n_f = self.gain.shape
        s = np.clip(values[:n_f], 0, 1)
        s[s < 1e-7] = 0
        theta, size = values[n_f : n_f + n_c], values[n_f + n_c : n_f + 2 * n_c]
        price = prices(self.gain, s, size)
        support = np.flatnonzero(s)
        surplus = np.maximum(self.gain[:, support] - price[:, None], 0) @ s[support]
        excess = theta - (size * price + surplus)
        cuts: list[Share | Clique] = [
            Share(int(c), float(price[c])) for c in np.flatnonzero(excess > 0.01 * least)
        ]
        y = np.zeros((len(support), len(support)))
        where = {d: i for i, d in enumerate(support.tolist())}
        for (d, e), column in self.columns.items():
            if d in where and e in where and values[column] > 0:
                y[where[d], where[e]] = y[where[e], where[d]] = values[column]
        redundancy = self.problem.redundancy[np.ix_(support, support)]
        for clique in find_cliques(redundancy, s[support], y, least, most=300):
            features = tuple(support[list(clique.features)].tolist())
            cuts.append(Clique(features, clique.h))
        if cuts:
            self.add(cuts)
        return bool(cuts)

    def _point(self, values: np.ndarray, multiplier: np.ndarray) -> Point:
        """The Lagrangian bound at the solver's multipliers, mended to satisfy their signs."""
        problem = self.problem
        n_c, n_f = self.gain.shape
        shares = [(cut, w) for cut, w in zip(self.cuts, multiplier, strict=True) if w > 0]
        total = np.zeros(n_c)
        for cut, weight in shares:
            if isinstance(cut, Share):
                total[cut.c] += weight
        excess = np.maximum(total, 1.0)  # more than a convex combination: scale down
        constant = float(((1 - total / excess) * self.ceiling).sum())
        profit = problem.bias.copy()
        price = np.zeros(n_c)
        pair_weight: dict[tuple[int, int], float] = {}
        for cut, weight in shares:
            if isinstance(cut, Share):
                weight /= excess[cut.c]
                price[cut.c] += weight * cut.price
                profit += weight * np.maximum(self.gain[cut.c] - cut.price, 0)
            else:
                constant += weight * cut.h * (cut.h + 1) / 2
                profit[list(cut.features)] -= weight * cut.h
                for pair in _pairs(cut):
                    pair_weight[pair] = pair_weight.get(pair, 0.0) + weight
        constant += sum(
            max(0.0, weight - problem.redundancy[pair]) for pair, weight in pair_weight.items()
        )
        # sizes: each class its least, what is left to the classes that pay most
        left = problem.n_assignments - n_c * self.smallest
        constant += price.sum() * self.smallest
        for value in -np.sort(-price):
            more = min(left, self.largest - self.smallest)
            constant, left = constant + more * value, left - more
        wanted = problem.n_features - int((self.fixed == 1).sum())
        free = np.sort(profit[self.fixed == -1])
        bound = constant + profit[self.fixed == 1].sum() + free[len(free) - wanted :].sum()
        return Point(float(bound), values[:n_f], profit)

    def _add_columns(self, costs: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        nothing = np.array([], dtype=np.int32)
        self.model.addCols(
            len(costs), costs, lower, upper, 0, nothing, nothing, np.array([], dtype=np.float64)
        )

    def _add_rows(self, rows: list[tuple[float, float, np.ndarray, np.ndarray]]) -> None:
        lower, upper, index, value = (list(part) for part in zip(*rows, strict=True))
        starts = np.cumsum([0] + [len(part) for part in index[:-1]])
        self.model.addRows(
            len(rows),
            np.array(lower),
            np.array(upper),
            int(sum(map(len, index))),
            starts.astype(np.int32),
            np.concatenate(index).astype(np.int32),
            np.concatenate(value).astype(np.float64),
        )


def _pairs(cut: Clique) -> list[tuple[int, int]]:
    features = cut.features
    return [(d, e) for i, d in enumerate(features) for e in features[i + 1 :]]
