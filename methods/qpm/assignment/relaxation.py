"""The linear relaxation, tightened by the cuts of :mod:`methods.qpm.assignment.cuts`.

Variables: s in [0, 1], for each class its share theta_c of the objective and, where it varies, its
number of features m_c (at least 1, n_per_class on average), and y for those pairs of features
that some crowd mentions. The linear program is only a means to good multipliers: the bound that
is returned is evaluated from them, in double precision and without trusting the solver's
tolerances, as a Lagrangian function. With multipliers lambda of the shares (one convex
combination per class), mu of the crowds and nu of the selections seen it is::

    max over m of  sum_c m_c * (sum lambda * price)
        + sum mu * alpha h(h+1)/2  +  sum_pairs max(sum mu - r, 0)  +  sum nu * (n_features - 1)
        + the best n_features of
              profit_d = b_d + sum lambda * max(a_d - price, 0) - sum mu * h - sum nu

which no feasible point exceeds whatever the multipliers are. It is over all features, so that the
program itself may leave out those that are not worth a column; one whose profit makes it one of
the best is taken in.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np

from methods.qpm.assignment.cuts import Crowd, Cut, Seen, Share, find_crowds, prices
from methods.qpm.assignment.problem import AssignmentProblem

MOST_CROWDS = 200  # added in one round
LEAST_CROWD, LEAST_SHARE = 1e-3, 1e-4  # violations that count
MOST_COLUMNS = 50  # taken in at once
# not scaled: all coefficients are of one size, and it is 15 % faster
OPTIONS = {"output_flag": False, "threads": 1, "random_seed": 0, "simplex_scale_strategy": 0}


def _solver() -> highspy.Highs:
    solver = highspy.Highs()
    for name, value in OPTIONS.items():
        solver.setOptionValue(name, value)
    return solver


@dataclass(frozen=True)
class Point:
    """A bound on all selections within the fixings, the fractional selection ``s`` (n_f,) at it,
    and ``profit`` (n_f,): the bound's linear function of s."""

    bound: float
    s: np.ndarray
    profit: np.ndarray

    def fractional(self) -> np.ndarray:
        """The features that are neither selected nor excluded."""
        return np.flatnonzero((self.s > 1e-6) & (self.s < 1 - 1e-6))


class Relaxation:
    """A linear program that grows by cuts and keeps them: later solves start from them.

    ``features``: those that have a column from the start, by default all.
    """

    def __init__(self, problem: AssignmentProblem, features: np.ndarray | None = None) -> None:
        self.problem = problem
        self.gain = problem.gain
        n_c, n_f = self.gain.shape
        k, n = problem.n_per_class, problem.n_features
        self.varies = not problem.exact_per_class
        self.smallest, self.largest = (1, n) if self.varies else (k, k)
        # (n_c,): no selection gives a class more
        ranked = -np.sort(-self.gain, axis=1)[:, : self.largest]
        self.ceiling = ranked.cumsum(1)[:, self.smallest - 1 :].max(1)
        self.cuts: list[Cut] = []
        self.idle = np.zeros(0, dtype=np.int64)  # for how many solves each cut did not matter
        self.fixed = np.full(n_f, -1, dtype=np.int8)
        self._model: highspy.Highs | None = _solver()
        self._resting: tuple[highspy.HighsLp, highspy.HighsBasis] | None = None
        # column numbers: theta, m, s (-1: none), and y by its pair of features
        self.theta = np.arange(n_c)
        self.size = np.arange(n_c, 2 * n_c) if self.varies else np.zeros(0, dtype=np.int64)
        self.s = np.full(n_f, -1, dtype=np.int64)
        self.y: dict[tuple[int, int], int] = {}
        ones = np.ones(n_c)
        self._add_columns(-ones, -highspy.kHighsInf * ones, self.ceiling)
        if self.varies:
            self._add_columns(0 * ones, ones * self.smallest, ones * self.largest)
            self._add_rows([(n_c * k, n_c * k, self.size, ones)])
        self._add_rows([(n, n, np.array([], dtype=np.int64), np.array([]))])
        self.first_cut = self.model.getNumRow()  # row of the first cut
        self._take_in(np.arange(n_f) if features is None else features)

    def copy(self, features: np.ndarray | None = None) -> Relaxation:
        """The same cuts; columns for ``features`` and those in crowds only, if given."""
        if features is not None:
            members = [cut.features for cut in self.cuts if not isinstance(cut, Share)]
            features = np.unique(np.concatenate([features, *map(np.array, members)]).astype(int))
            other = Relaxation(self.problem, features)
            other.add(self.cuts)
            return other
        other = copy.copy(self)  # what never changes is shared
        other._model, other._resting = None, self._program()
        other.cuts, other.idle = list(self.cuts), self.idle.copy()
        other.s, other.y, other.fixed = self.s.copy(), dict(self.y), self.fixed.copy()
        return other

    @property
    def model(self) -> highspy.Highs:
        """The solver with the program in it."""
        if self._model is None:
            assert self._resting is not None
            program, basis = self._resting
            self._model, self._resting = _solver(), None
            self._model.passModel(program)
            self._model.setBasis(basis)
        return self._model

    def rest(self) -> None:
        """Give up the solver, whose memory is ten times the program's, until it is needed again.

        What it found is lost, but for the basis that the next solve starts from.
        """
        if self._model is not None:
            self._model, self._resting = None, self._program()

    def fix(self, ones: np.ndarray, zeros: np.ndarray) -> None:
        """Select the features ``ones``, exclude ``zeros``, free all others."""
        fixed = np.full(len(self.fixed), -1, dtype=np.int8)
        fixed[ones], fixed[zeros] = 1, 0
        self._take_in(ones[self.s[ones] < 0])
        changed = np.flatnonzero((fixed != self.fixed) & (self.s >= 0))
        if len(changed):
            lower, upper = (fixed[changed] == 1) * 1.0, (fixed[changed] != 0) * 1.0
            columns = self.s[changed].astype(np.int32)
            self.model.changeColsBounds(len(changed), columns, lower, upper)
        self.fixed = fixed

    def solve(self) -> Point | None:
        """The bound within the fixings, None where they leave no selection.

        Solves again while features without a column would be among the best.
        """
        while True:
            self.model.run()
            if self.model.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
                without = self._absent()
                if not len(without):
                    return None
                self._take_in(without[:MOST_COLUMNS])
                continue
            dual = np.array(self.model.getSolution().row_dual)[self.first_cut :]
            multiplier = np.maximum(-dual, 0)
            point, threshold = self._point(multiplier)
            without = self._absent()
            better = without[point.profit[without] > threshold + 1e-7]
            if not len(better):
                self.idle = np.where(multiplier > 0, 0, self.idle + 1)
                return point
            self._take_in(better[np.argsort(-point.profit[better])[:MOST_COLUMNS]])

    def cut(self, generator: np.random.Generator | None = None) -> bool:
        """Add what the last solve's point violates; whether there was anything.

        With a ``generator`` the search for cuts is thorough.
        """
        values = np.array(self.model.getSolution().col_value)
        s, theta = self._selection(values), values[self.theta]
        size = values[self.size] if self.varies else np.full(len(theta), float(self.largest))
        price = prices(self.gain, s, size)
        support = np.flatnonzero(s)
        surplus = np.maximum(self.gain[:, support] - price[:, None], 0) @ s[support]
        excess = theta - (size * price + surplus)
        cuts: list[Cut] = [
            Share(int(c), float(price[c])) for c in np.flatnonzero(excess > LEAST_SHARE)
        ]
        y = np.zeros((len(support), len(support)))
        if self.y:
            where = np.full(len(s), -1)
            where[support] = np.arange(len(support))
            pairs = where[np.fromiter(itertools.chain(*self.y), np.int64).reshape(-1, 2)]
            worth = values[np.fromiter(self.y.values(), np.int64)]
            known = (pairs >= 0).all(1) & (worth > 0)
            d, e = pairs[known].T
            y[d, e] = y[e, d] = worth[known]
        redundancy = self.problem.redundancy[np.ix_(support, support)]
        crowds = find_crowds(redundancy, s[support], y, LEAST_CROWD, MOST_CROWDS, generator)
        for places, h, alpha in crowds:
            features = support[places].tolist()
            inside = np.argwhere(np.triu(redundancy[np.ix_(places, places)] > 0))
            redundant = tuple((features[i], features[j]) for i, j in inside.tolist())
            cuts.append(Crowd(tuple(features), redundant, h, alpha))
        self.add(cuts)
        return bool(cuts)

    def nonzeros(self) -> int:
        """How many coefficients are not zero; the program's memory grows with them."""
        return int(self.model.getNumNz())

    def basis(self) -> highspy.HighsBasis:
        """Where the last solve ended, to :meth:`restore`."""
        return self.model.getBasis()

    def restore(self, basis: highspy.HighsBasis) -> None:
        """Start the next solve from ``basis``, unless columns have been taken in since."""
        if len(basis.col_status) == self.model.getNumCol():
            self.model.setBasis(basis)

    def add(self, cuts: Sequence[Cut]) -> None:
        """Put inequalities into the program."""
        crowds = [cut for cut in cuts if isinstance(cut, Crowd)]
        members = {d for cut in cuts if not isinstance(cut, Share) for d in cut.features}
        self._take_in(np.array(sorted(d for d in members if self.s[d] < 0), dtype=np.int64))
        pairs = {pair: None for cut in crowds for pair in cut.pairs if pair not in self.y}
        if pairs:
            first = self.model.getNumCol()
            self.y |= {pair: first + i for i, pair in enumerate(pairs)}
            costs = np.array([self.problem.redundancy[pair] for pair in pairs])
            self._add_columns(costs, np.zeros(len(pairs)), np.ones(len(pairs)))
        if cuts:
            self._add_rows([self._row(cut) for cut in cuts])
        self.cuts += cuts
        self.idle = np.append(self.idle, np.zeros(len(cuts), dtype=np.int64))

    def trim(self, idle: int) -> None:
        """Drop the cuts that did not matter in the last ``idle`` solves, and the columns that
        only they used when these are many. Selections seen stay seen."""
        seen = np.array([isinstance(cut, Seen) for cut in self.cuts], dtype=bool)
        stays = (self.idle < idle) | seen
        if not stays.all():
            gone = np.flatnonzero(~stays) + self.first_cut
            self.model.deleteRows(len(gone), gone.astype(np.int32))
            self.cuts = list(itertools.compress(self.cuts, stays))
            self.idle = self.idle[stays]
        used = {p for cut in self.cuts if isinstance(cut, Crowd) for p in cut.pairs}
        if len(self.y) > 1.5 * len(used):
            stale = np.array([i for pair, i in self.y.items() if pair not in used])
            self.model.deleteCols(len(stale), stale.astype(np.int32))
            kept = np.ones(self.model.getNumCol() + len(stale), dtype=bool)
            kept[stale] = False
            number = np.cumsum(kept) - 1
            self.y = {pair: int(number[i]) for pair, i in self.y.items() if kept[i]}
            self.s[self.s >= 0] = number[self.s[self.s >= 0]]

    # ------------------------------------------------------------------------------- internals

    def _program(self) -> tuple[highspy.HighsLp, highspy.HighsBasis]:
        return self._resting or (self.model.getLp(), self.model.getBasis())

    def _absent(self) -> np.ndarray:
        return np.flatnonzero((self.s < 0) & (self.fixed != 0))

    def _take_in(self, features: np.ndarray) -> None:
        """Give features a column, with their coefficients in the rows there are."""
        if not len(features):
            return
        self.s[features] = self.model.getNumCol() + np.arange(len(features))
        shares = [(i, cut) for i, cut in enumerate(self.cuts) if isinstance(cut, Share)]
        rows = np.array([i + self.first_cut for i, _ in shares], dtype=np.int32)
        classes = np.array([cut.c for _, cut in shares], dtype=np.int64)
        price = np.array([cut.price for _, cut in shares])
        starts = [0]
        index: list[np.ndarray] = []
        value: list[np.ndarray] = []
        for d in features:
            profit = np.maximum(self.gain[classes, d] - price, 0)
            at = np.flatnonzero(profit)
            index += [np.array([self.first_cut - 1]), rows[at]]
            value += [np.ones(1), -profit[at]]
            starts.append(starts[-1] + 1 + len(at))
        self.model.addCols(
            len(features),
            -self.problem.bias[features],
            (self.fixed[features] == 1) * 1.0,
            (self.fixed[features] != 0) * 1.0,
            starts[-1],
            np.array(starts[:-1], dtype=np.int32),
            np.concatenate(index).astype(np.int32),
            np.concatenate(value).astype(np.float64),
        )

    def _row(self, cut: Cut) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Lower and upper end, columns and coefficients of an inequality."""
        if isinstance(cut, Share):
            profit = np.maximum(self.gain[cut.c] - cut.price, 0)
            at = np.flatnonzero((profit > 0) & (self.s >= 0))
            columns, values = np.append(self.s[at], self.theta[cut.c]), np.append(-profit[at], 1.0)
            if not self.varies:
                return -np.inf, self.largest * cut.price, columns, values
            return -np.inf, 0.0, np.append(columns, self.size[cut.c]), np.append(values, -cut.price)
        if isinstance(cut, Seen):
            columns = self.s[list(cut.features)]
            return -np.inf, len(columns) - 1.0, columns, np.ones(len(columns))
        columns = self.s[cut.members]
        ys = [self.y[pair] for pair in cut.pairs]
        values = np.repeat([float(cut.h), -1.0], [len(columns), len(ys)])
        return (
            -np.inf,
            cut.constant,
            np.concatenate([columns, np.array(ys, dtype=np.int64)]),
            values,
        )

    def _selection(self, values: np.ndarray) -> np.ndarray:
        """s (n_f,) of a point of the program."""
        s = np.where(self.s >= 0, np.clip(values[self.s], 0, 1), 0.0)
        s[s < 1e-7] = 0
        return s

    def _point(self, multiplier: np.ndarray) -> tuple[Point, float]:
        """The Lagrangian bound at the solver's multipliers, mended to satisfy their signs, and
        the profit of the last feature that it counts."""
        problem = self.problem
        n_c = len(self.gain)
        active = [(cut, w) for cut, w in zip(self.cuts, multiplier, strict=True) if w > 0]
        total, price = np.zeros(n_c), np.zeros(n_c)
        constant, profit = 0.0, problem.bias.copy()
        crowds: list[Crowd] = []
        weights: list[float] = []
        for cut, weight in active:
            if isinstance(cut, Share):
                total[cut.c] += weight
                price[cut.c] += weight * cut.price
            elif isinstance(cut, Seen):
                constant += weight * (len(cut.features) - 1)
                profit[list(cut.features)] -= weight
            else:
                crowds.append(cut)
                weights.append(weight)
        if crowds:
            mu = np.array(weights)
            constant += float(mu @ [crowd.constant for crowd in crowds])
            members = np.concatenate([crowd.members for crowd in crowds])
            paid = np.repeat(mu * [crowd.h for crowd in crowds], [len(c.members) for c in crowds])
            profit -= np.bincount(members, paid, minlength=len(profit))
            ends = np.concatenate([crowd.ends for crowd in crowds])
            pairs, which = np.unique(ends @ [len(profit), 1], return_inverse=True)
            total_mu = np.bincount(which, np.repeat(mu, [len(c.ends) for c in crowds]))
            surplus = total_mu - problem.redundancy.ravel()[pairs]
            constant += float(np.maximum(surplus, 0).sum())
        # one price for each class, the mean of its cuts' prices: never worse, by convexity
        share = np.minimum(total, 1.0)
        price /= np.maximum(total, 1e-300)
        constant += float(((1 - share) * self.ceiling).sum())
        profit += share @ np.maximum(self.gain - price[:, None], 0)
        price *= share
        # sizes: each class its least, what is left to the classes that pay most
        left = problem.n_assignments - n_c * self.smallest
        constant += price.sum() * self.smallest
        for value in -np.sort(-price):
            more = min(left, self.largest - self.smallest)
            constant, left = constant + more * value, left - more
        wanted = problem.n_features - int((self.fixed == 1).sum())
        free = np.sort(profit[self.fixed == -1])
        bound = constant + profit[self.fixed == 1].sum() + free[len(free) - wanted :].sum()
        threshold = float(free[len(free) - wanted]) if wanted else np.inf
        values = np.array(self.model.getSolution().col_value)
        return Point(float(bound), self._selection(values), profit), threshold

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
