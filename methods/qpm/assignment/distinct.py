"""The best assignment of given features to classes, no two classes alike (equations 3 and 4).

Without equation 4 every class takes its ``n_per_class`` most similar features. Classes left alike
are separated at least cost: each class lists its sets of features in order of what they lose, and
a matching of classes with different sets of least total loss is exact (the paper's own scheme,
equations 19-25, changes one pair of classes at a time and need not be).
"""

from __future__ import annotations

import numpy as np

from methods.qpm.assignment.average import most_similar, on_average
from methods.qpm.assignment.matching import Options, Sets, separate, sets_by_loss
from methods.qpm.assignment.problem import AssignmentProblem


def assign(problem: AssignmentProblem, selected: np.ndarray) -> np.ndarray:
    """(n_c, n*) bool: the features of each class, column j for feature ``selected[j]``.

    Exact for ``exact_per_class``; for the average :mod:`methods.qpm.assignment.average`.

    >>> problem = AssignmentProblem([[3.0, 2.0, 0.0], [3.0, 1.0, 0.5]], None, None, 3, 1)
    >>> assign(problem, np.arange(3)).astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    gain = problem.gain[:, selected]
    if problem.exact_per_class:
        return _exactly(gain, problem.n_per_class)
    return on_average(gain, problem.n_assignments)


def relaxed(problem: AssignmentProblem, selected: np.ndarray, *, empty: bool = False) -> float:
    """Z of a selection when classes may be alike: never below what :func:`assign` reaches.

    With ``empty`` classes may also go without a feature where the number is an average.
    """
    gain = problem.gain[:, selected]
    if problem.exact_per_class:
        k = problem.n_per_class
        total = np.partition(gain, gain.shape[1] - k, axis=1)[:, gain.shape[1] - k :].sum()
    elif empty:
        total = np.sort(gain, axis=None)[-problem.n_assignments :].sum()
    else:
        total = gain[most_similar(gain, problem.n_assignments)].sum()
    pairs = problem.redundancy[np.ix_(selected, selected)].sum() / 2
    return float(total - pairs + problem.bias[selected].sum())


def _exactly(gain: np.ndarray, k: int) -> np.ndarray:
    n_c, n = gain.shape
    order = np.argsort(-gain, axis=1, kind="stable")
    chosen: list[Sets] = [tuple(sorted(row)) for row in order[:, :k].tolist()]
    if len(set(chosen)) < n_c:
        ranked = np.take_along_axis(gain, order, axis=1)
        options = [
            Options(sets_by_loss(values, k), features)
            for values, features in zip(ranked, order, strict=True)
        ]
        separate(chosen, options, [0.0] * n_c)
    assignment = np.zeros((n_c, n), dtype=bool)
    assignment[np.arange(n_c)[:, None], np.array(chosen)] = True
    return assignment
