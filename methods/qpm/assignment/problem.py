"""The selection-and-assignment problem of QPM as plain data, its objective and its checks.

Source: equations 1-7 and 17 of "QPM: Discrete Optimization for Globally Interpretable Image
Classification". Choose ``n_features`` of ``n_f`` features and give each of ``n_c`` classes
``n_per_class`` of them, no two classes the same set, to maximise::

    Z = 1000 / (n_per_class n_c) sum_c sum_{d in S_c} a_cd
        - sum_{d < d'} r_dd' s_d s_d' + sum_d b_d s_d

Equation 5 as printed counts each unordered pair twice; its authors' program counts it once, and
so does this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class AssignmentProblem:
    """Which features, and which of them for which class?

    Args:
        similarity: A, (n_c, n_f), any finite values; row c holds how well each feature speaks
            for class c. Not yet scaled by equation 17.
        redundancy: R, (n_f, n_f), symmetric, at least 0, zero diagonal; None for no such term.
        bias: b, (n_f,), any finite values; None for no such term.
        n_features: how many features to select, at most n_f.
        n_per_class: how many features each class gets, at most ``n_features``.
        exact_per_class: True for exactly ``n_per_class`` in every class (equation 3); False for
            that many on average over the classes, at least one each (appendix G, table 7).

    Raises:
        ValueError: shapes that disagree, NaN or infinite values, counts that cannot be met.

    >>> problem = AssignmentProblem([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]], None, None, 2, 1)
    >>> problem.n_classes, problem.scale
    (2, 500.0)
    """

    similarity: np.ndarray
    redundancy: np.ndarray  # None is taken for zeros, and is an array from then on
    bias: np.ndarray  # likewise
    n_features: int
    n_per_class: int
    exact_per_class: bool = True

    def __post_init__(self) -> None:
        similarity = _array("similarity", self.similarity, 2)
        n_c, n_f = similarity.shape
        if n_c < 1 or n_f < 1:
            raise ValueError(f"similarity must have classes and features, not shape {n_c, n_f}")
        redundancy = np.zeros((n_f, n_f)) if self.redundancy is None else self.redundancy
        redundancy = _array("redundancy", redundancy, 2)
        bias = _array("bias", np.zeros(n_f) if self.bias is None else self.bias, 1)
        if redundancy.shape != (n_f, n_f):
            raise ValueError(
                f"redundancy must be {n_f} x {n_f} like the features of similarity, "
                f"not {' x '.join(map(str, redundancy.shape))}"
            )
        if bias.shape != (n_f,):
            raise ValueError(f"bias must have one entry per feature, {n_f}, not {len(bias)}")
        if (redundancy < 0).any():
            raise ValueError("redundancy must not be negative: rectify it first (section 3.3)")
        if np.diagonal(redundancy).any():
            raise ValueError("redundancy must have a zero diagonal (section 3.3)")
        if not np.array_equal(redundancy, redundancy.T):
            if not np.allclose(redundancy, redundancy.T, rtol=1e-5, atol=1e-8):
                raise ValueError("redundancy must be symmetric; give the full matrix")
            redundancy = (redundancy + redundancy.T) / 2
        for name in ("n_features", "n_per_class"):
            if int(getattr(self, name)) != getattr(self, name) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1")
            object.__setattr__(self, name, int(getattr(self, name)))
        if self.n_features > n_f:
            raise ValueError(f"n_features = {self.n_features} exceeds the {n_f} features there are")
        if self.n_per_class > self.n_features:
            raise ValueError(
                f"n_per_class = {self.n_per_class} exceeds n_features = {self.n_features}"
            )
        _check_distinct(n_c, self.n_features, self.n_per_class, self.exact_per_class)
        object.__setattr__(self, "similarity", similarity)
        object.__setattr__(self, "redundancy", redundancy)
        object.__setattr__(self, "bias", bias)

    @property
    def n_classes(self) -> int:
        """n_c."""
        return len(self.similarity)

    @property
    def scale(self) -> float:
        """The factor of equation 17: 1 for 200 classes with 5 features each."""
        return 1000.0 / (self.n_per_class * self.n_classes)

    @cached_property
    def gain(self) -> np.ndarray:
        """(n_c, n_f): what an assignment adds to the objective, ``scale * similarity``."""
        return self.similarity * self.scale

    @property
    def n_assignments(self) -> int:
        """How many (class, feature) pairs a solution has."""
        return self.n_classes * self.n_per_class


@dataclass(frozen=True, eq=False)
class Solution:
    """A feasible point, and how far from the best it can be at most.

    ``selected`` (n_features,) int64, increasing; ``assignment`` (n_c, n_features) bool, column j
    belongs to feature ``selected[j]``; ``objective`` Z; ``upper_bound`` no feasible point exceeds
    it; ``gap`` = (upper_bound - objective) / \\|objective\\|; ``seconds`` of wall time; ``history``
    one (seconds, objective, upper bound) per improvement; ``hit_time_limit`` whether the time
    limit, not the budget, ended the search.
    """

    selected: np.ndarray
    assignment: np.ndarray
    objective: float
    upper_bound: float
    seconds: float
    solver: str
    history: list[tuple[float, float, float]] = field(default_factory=list)
    hit_time_limit: bool = False

    @property
    def gap(self) -> float:
        return relative_gap(self.objective, self.upper_bound)


def relative_gap(objective: float, upper_bound: float) -> float:
    """(bound - objective) / |objective|, at least 0; infinite where the objective is 0 or unknown.

    >>> relative_gap(100.0, 103.0)
    0.03
    """
    if not math.isfinite(objective) or objective == 0:
        return 0.0 if upper_bound == objective else math.inf
    return max(0.0, (upper_bound - objective) / abs(objective))


def evaluate(problem: AssignmentProblem, selected: np.ndarray, assignment: np.ndarray) -> float:
    """Z (equations 1, 5-7, 17) of a selection (n*,) and an assignment (n_c, n*).

    >>> problem = AssignmentProblem([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]], None, [1.0, 0, 0], 2, 1)
    >>> evaluate(problem, np.array([0, 2]), np.eye(2, dtype=bool))
    1001.0
    """
    pairs = problem.redundancy[np.ix_(selected, selected)].sum() / 2
    similarity = problem.similarity[:, selected][assignment].sum() * problem.scale
    return float(similarity - pairs + problem.bias[selected].sum())


def verify(problem: AssignmentProblem, solution: Solution, tolerance: float = 1e-9) -> None:
    """Check every constraint and recompute the objective; return nothing.

    Raises:
        ValueError: naming the first thing that is wrong. ``tolerance`` is relative, for the
            objective and for a bound below it.
    """
    selected, assignment = np.asarray(solution.selected), np.asarray(solution.assignment)
    n_c, n_f = problem.similarity.shape
    if selected.shape != (problem.n_features,) or not np.issubdtype(selected.dtype, np.integer):
        raise ValueError(f"selected must hold {problem.n_features} whole numbers (equation 2)")
    if len(selected) and (selected.min() < 0 or selected.max() >= n_f):
        raise ValueError(f"selected must lie in 0 ... {n_f - 1}")
    if len(np.unique(selected)) != len(selected):
        raise ValueError("a feature is selected twice (equation 2)")
    if assignment.shape != (n_c, problem.n_features) or assignment.dtype != bool:
        raise ValueError(f"assignment must be booleans of shape {n_c} x {problem.n_features}")
    counts = assignment.sum(1)
    if problem.exact_per_class and (counts != problem.n_per_class).any():
        wrong = int(np.flatnonzero(counts != problem.n_per_class)[0])
        raise ValueError(
            f"class {wrong} has {counts[wrong]} features, not {problem.n_per_class} (equation 3)"
        )
    if not problem.exact_per_class:
        if counts.sum() != problem.n_assignments:
            raise ValueError(
                f"{counts.sum()} assignments, not {problem.n_assignments} (appendix G)"
            )
        if counts.min() < 1:
            raise ValueError(f"class {int(counts.argmin())} has no feature")
    if len(np.unique(assignment, axis=0)) != n_c:
        raise ValueError("two classes have the same features (equation 4)")
    objective = evaluate(problem, selected, assignment)
    slack = tolerance * max(1.0, abs(objective))
    if not abs(objective - solution.objective) <= slack:
        raise ValueError(f"the objective is {objective}, not {solution.objective}")
    if not solution.upper_bound >= objective - slack:
        raise ValueError(f"the bound {solution.upper_bound} lies below the objective {objective}")


def _array(name: str, values: object, dimensions: int) -> np.ndarray:
    array = np.ascontiguousarray(np.asarray(values, dtype=np.float64))
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimensions, not {array.ndim}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values; a constant feature gives NaN in A")
    return array


def _check_distinct(n_c: int, n_features: int, n_per_class: int, exact: bool) -> None:
    """Equation 4 needs as many different sets as there are classes."""
    sizes = [n_per_class] if exact else list(range(1, n_features + 1))
    available = sum(math.comb(n_features, size) for size in sizes)
    if available < n_c:
        raise ValueError(
            f"{n_features} features give only {available} different sets for {n_c} classes; "
            "raise n_features or change n_per_class"
        )
    if exact:
        return
    # On average: the n_c smallest different sets must not need more assignments than there are,
    # nor the n_c largest fewer.
    for order, name in ((sizes, "few"), (sizes[::-1], "many")):
        left, total = n_c, 0
        for size in order:
            take = min(left, math.comb(n_features, size))
            left, total = left - take, total + take * size
        wanted = n_per_class * n_c
        if (name == "few" and total > wanted) or (name == "many" and total < wanted):
            raise ValueError(
                f"n_per_class = {n_per_class} is too {name} to tell {n_c} classes apart with "
                f"{n_features} features; change n_features or n_per_class"
            )
