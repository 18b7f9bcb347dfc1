"""The assignment problem as a linear program over plain arrays, for solvers that take those.

Columns are s (n_f,), x (n_c, n_f) with x_cd = w_cd s_d, and one more for each product that is
linearised: y_de >= s_d + s_e - 1 for a pair of features, z_d >= x_cd + x_c'd - 1 for a pair of
classes. All of them lie in [0, 1].
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from methods.qpm.assignment.problem import AssignmentProblem

Pairs = Iterable[tuple[int, int]]


@dataclass
class Program:
    """Maximise ``cost @ v`` with ``lower <= matrix @ v <= upper`` and 0 <= v <= 1.

    >>> program = Program()
    >>> both = program.add(np.array([1.0, 2.0]), integer=True)
    >>> program.require(both, 1.0, upper=1.0)
    >>> program.matrix.toarray().tolist(), program.upper.tolist()
    ([[1.0, 1.0]], [1.0])
    """

    _costs: list[np.ndarray] = field(default_factory=list)
    _integers: list[np.ndarray] = field(default_factory=list)
    _rows: list[sparse.csr_array] = field(default_factory=list)
    _bounds: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    n_columns: int = 0

    def add(self, cost: np.ndarray, integer: bool | np.ndarray) -> np.ndarray:
        """New columns; returns their places, an array shaped like ``cost``."""
        self._costs.append(cost.ravel())
        self._integers.append(np.broadcast_to(integer, cost.shape).ravel())
        first, self.n_columns = self.n_columns, self.n_columns + cost.size
        return np.arange(first, self.n_columns).reshape(cost.shape)

    def require(
        self,
        columns: np.ndarray,
        values: float | np.ndarray,
        lower: float = -np.inf,
        upper: float = np.inf,
    ) -> None:
        """New rows: one for each row of ``columns`` (m, entries), or a single one of (entries,)."""
        columns = np.atleast_2d(columns)
        m, entries = columns.shape
        values = np.broadcast_to(values, columns.shape).ravel()
        starts = np.arange(0, m * entries + 1, max(entries, 1)) if entries else np.zeros(m + 1, int)
        shape = (m, self.n_columns)
        self._rows.append(sparse.csr_array((values, columns.ravel(), starts), shape=shape))
        self._bounds.append((np.full(m, lower), np.full(m, upper)))

    @property
    def cost(self) -> np.ndarray:
        return np.concatenate(self._costs)

    @property
    def integer(self) -> np.ndarray:
        return np.concatenate(self._integers)

    @property
    def matrix(self) -> sparse.csr_array:
        """(rows, columns), in 64-bit floats."""
        for rows in self._rows:
            rows.resize(rows.shape[0], self.n_columns)
        return sparse.csr_array(sparse.vstack(self._rows, format="csr"))

    @property
    def lower(self) -> np.ndarray:
        return np.concatenate([lower for lower, _ in self._bounds])

    @property
    def upper(self) -> np.ndarray:
        return np.concatenate([upper for _, upper in self._bounds])


@dataclass(frozen=True)
class Columns:
    """Where the unknowns of a problem lie: ``s`` (n_f,) and ``x`` (n_c, n_f)."""

    s: np.ndarray
    x: np.ndarray


def selection(
    program: Program, problem: AssignmentProblem, binary: np.ndarray | bool = True
) -> Columns:
    """Equations 1, 2 and 6: s, n_features of them 1; x at most s.

    ``binary`` (n_c,) tells for which classes x must be whole.
    """
    n_f = problem.similarity.shape[1]
    s = program.add(problem.bias, integer=True)
    whole = np.broadcast_to(np.reshape(binary, (-1, 1)), problem.gain.shape)
    x = program.add(problem.gain, integer=whole)
    program.require(s, 1.0, problem.n_features, problem.n_features)
    under = np.stack([x.ravel(), np.tile(s, problem.n_classes)], axis=1)
    program.require(under, np.array([1.0, -1.0]), upper=0.0)
    assert x.shape == (problem.n_classes, n_f)
    return Columns(s, x)


def counts(program: Program, problem: AssignmentProblem, columns: Columns) -> None:
    """Equation 3; or its average over the classes, with at least one feature each."""
    if problem.exact_per_class:
        program.require(columns.x, 1.0, problem.n_per_class, problem.n_per_class)
    else:
        total(program, problem, columns)
        program.require(columns.x, 1.0, lower=1.0)


def total(program: Program, problem: AssignmentProblem, columns: Columns) -> None:
    """n_per_class features a class, on average only (section 4.1.1)."""
    wanted = problem.n_assignments
    program.require(columns.x.ravel(), 1.0, wanted, wanted)


def penalties(program: Program, problem: AssignmentProblem, columns: Columns) -> None:
    """Equation 5, a product y for each pair of features with a penalty.

    Besides y_de >= s_d + s_e - 1 the sum of these over the neighbours N of a feature d that is
    selected must reach the number of them that are, of which there are at most n_features:
    sum_N y_de >= sum_N s_e - n_features (1 - s_d). With many neighbours that is much stronger.
    """
    d, e = np.nonzero(np.triu(problem.redundancy, 1))
    if not len(d):
        return
    s, n = columns.s, float(problem.n_features)
    y = program.add(-problem.redundancy[d, e], integer=False)
    program.require(np.stack([s[d], s[e], y], axis=1), np.array([1.0, 1.0, -1.0]), upper=1.0)
    neighbours: list[list[int]] = [[] for _ in s]
    for pair, ends in enumerate(zip(d.tolist(), e.tolist(), strict=True)):
        for end in ends:
            neighbours[end].append(pair)
    for feature, pairs in enumerate(neighbours):
        if len(pairs) > n:
            others = np.where(d[pairs] == feature, e[pairs], d[pairs])
            values = np.concatenate([np.ones(len(pairs)), -np.ones(len(pairs)), [-n]])
            entries = np.concatenate([y[pairs], s[others], s[[feature]]])
            program.require(entries, values, lower=-n)


def difference(
    program: Program, problem: AssignmentProblem, columns: Columns, pairs: Pairs, among: np.ndarray
) -> None:
    """Equation 4 for pairs of classes, coincidences counted ``among`` some features only (eq. 10).

    Where all features are counted it says exactly that the two classes differ, given whole x;
    with fewer it says less.
    """
    for c, other in pairs:
        first, second = columns.x[c], columns.x[other]
        z = program.add(np.zeros(len(among)), integer=False)
        products = np.stack([first[among], second[among], z], axis=1)
        program.require(products, np.array([1.0, 1.0, -1.0]), upper=1.0)
        if problem.exact_per_class:
            program.require(z, 1.0, upper=problem.n_per_class - 1.0)
        else:  # sum of x + x' - 2 x x' >= 1: some feature belongs to one of them alone
            values = np.concatenate([np.ones(2 * len(first)), -2 * np.ones(len(z))])
            program.require(np.concatenate([first, second, z]), values, lower=1.0)


def point(
    problem: AssignmentProblem,
    selected: np.ndarray,
    assignment: np.ndarray,
    pairs: Pairs = (),
    among: np.ndarray | None = None,
    penalised: bool = True,
) -> np.ndarray:
    """The values of all columns at a solution, in the order in which they were added."""
    n_c, n_f = problem.similarity.shape
    s = np.zeros(n_f)
    s[selected] = 1.0
    x = np.zeros((n_c, n_f))
    x[:, selected] = assignment
    parts = [s, x.ravel()]
    if penalised:
        d, e = np.nonzero(np.triu(problem.redundancy, 1))
        parts.append(s[d] * s[e])
    parts += [x[c, among] * x[other, among] for c, other in pairs]
    return np.concatenate(parts)


def alike(assignment: np.ndarray) -> set[tuple[int, int]]:
    """The pairs of rows that are the same.

    >>> alike(np.array([[1, 0], [0, 1], [1, 0]], dtype=bool))
    {(0, 2)}
    """
    groups: dict[bytes, list[int]] = {}
    for c, row in enumerate(assignment):
        groups.setdefault(row.tobytes(), []).append(c)
    return {pair for group in groups.values() for pair in itertools.combinations(group, 2)}
