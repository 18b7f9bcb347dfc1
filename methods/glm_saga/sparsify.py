"""From a dense point of the path to a sparse layer: the rules of glm-saga_5, SLDD and Q-SENN.

Each rule is right by default; ``as_published=True`` repeats the authors' code with its faults,
so that it can be compared with what they published:

* Q-SENN, largest weight negative: its sign is flipped and it is left out of the level's mean;
* Q-SENN, fewer nonzero weights than asked for: the smallest is kept only if it is negative;
* Q-SENN, equal counts in all classes: every bias is NaN;
* SLDD: 5 weights per class are kept whatever ``n_per_class``, and the first point of the path
  is never chosen unless no point is sparse enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from methods.glm_saga.path import count_nonzeros
from methods.glm_saga.solver import evaluate
from methods.glm_saga.table import Table

SLDD_KEPT_AS_PUBLISHED = 5


class Solutions(Protocol):
    """What is read of a path: ``weights`` (L, C, d) and ``biases`` (L, C)."""

    @property
    def weights(self) -> np.ndarray: ...

    @property
    def biases(self) -> np.ndarray: ...


def densest_with_at_most(path: Solutions, n_per_class: float) -> int:
    """Index of the point with the most nonzero weights among those with at most
    ``n_per_class`` per class on average; the first of equals.

    Raises ValueError if no point is that sparse.
    """
    counts = count_nonzeros(path.weights) / path.weights.shape[1]
    allowed = counts <= n_per_class
    if not allowed.any():
        raise ValueError(
            f"no point of the path has at most {n_per_class} weights per class: the sparsest has "
            f"{counts.min():.1f}; start the path at a larger lambda."
        )
    return int(np.argmax(np.where(allowed, counts, -1.0)))


def denser_than(n_per_class: float) -> Callable[[np.ndarray], bool]:
    """A ``stop`` for a path: True for weights (C, d) with more than that many per class.

    The point at which it stops is the path's last; the number of weights hardly ever falls
    again after it.

    >>> denser_than(1)(np.array([[1.0, 1.0], [0.0, 0.0]])), denser_than(1)(np.ones((2, 2)))
    (False, True)
    """
    return lambda weights: bool(count_nonzeros(weights) > n_per_class * len(weights))


def sldd_cut(
    path: Solutions, n_per_class: int, *, as_published: bool = False
) -> tuple[np.ndarray, np.ndarray, int]:
    """SLDD-Model's sparse layer: ``(weight (C, d), bias (C,), index)``.

    The densest point with at most ``2 n_per_class`` weights per class on average (the first
    point if there is none), of which the ``n_per_class * C`` largest in magnitude are kept.
    """
    counts = count_nonzeros(path.weights) / path.weights.shape[1]
    allowed = counts <= 2 * n_per_class
    if as_published:
        allowed[0] = False
    index = int(np.argmax(np.where(allowed, counts, -1.0))) if allowed.any() else 0
    weight, bias = path.weights[index], path.biases[index]
    kept = _largest(weight, (SLDD_KEPT_AS_PUBLISHED if as_published else n_per_class) * len(weight))
    return np.where(kept, weight, 0), bias.copy(), index


def ternary(
    weight: np.ndarray, bias: np.ndarray, n_per_class: int, *, as_published: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Q-SENN's quantisation: weights (C, d) in {-a, 0, a} and biases (C,).

    The ``n_per_class * C`` largest weights in magnitude keep their sign and get the mean of
    their magnitudes, a. With q_c the positive minus the negative weights of class c and m the
    largest magnitude among the biases, a class's bias is m - 2 m (q_c - min q) / (max q - min q):
    a class with more positive features needs no head start. Equal counts give equal biases, m.

    >>> w, b = ternary(np.array([[3.0, -1.0, 0.1], [0.2, 2.0, 2.0]]), np.array([0.5, -1.0]), 2)
    >>> w.tolist(), b.tolist()
    ([[2.0, -2.0, 0.0], [0.0, 2.0, 2.0]], [1.0, -1.0])
    """
    if as_published:
        signs, level = _published_bins(weight, n_per_class * len(weight))
    else:
        kept = _largest(weight, n_per_class * len(weight))
        signs = np.where(kept, np.sign(weight), 0)
        level = np.abs(weight[kept]).mean() if kept.any() else weight.dtype.type(0)
    balance = signs.sum(1)
    balance = balance - balance.min()
    most = np.abs(bias).max()
    if as_published:
        with np.errstate(divide="ignore", invalid="ignore"):
            ramp = balance * (2 * most / balance.max())
    else:
        ramp = balance * (2 * most / max(balance.max(), 1))
    return (signs * level).astype(weight.dtype), (most - ramp).astype(bias.dtype)


def ternary_layer(
    path: Solutions, table: Table, n_per_class: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Q-SENN's sparse layer of a path: ``(weight (C, d), bias (C,), index)``.

    Of the points with at least ``n_per_class`` weights per class on average (the last one if there
    is none) the one whose :func:`ternary` layer has the least cross-entropy on ``table``, the
    training data. The authors take the last point, where their solver, stopped early, leaves
    biases of about 1. At the optimum they go on growing as lambda falls, the more so since nothing
    penalises them, and the ramp of biases that they span drowns the features.
    """
    counts = count_nonzeros(path.weights)
    enough = np.flatnonzero(counts >= n_per_class * path.weights.shape[1])
    best: tuple[float, int, tuple[np.ndarray, np.ndarray]] | None = None
    for index in enough if len(enough) else [len(counts) - 1]:
        layer = ternary(path.weights[index], path.biases[index], n_per_class)
        x = torch.as_tensor(np.column_stack(layer), device=table.device)
        loss = evaluate(table, x, gradient=False, dtype=table.dtype).loss
        if best is None or loss < best[0]:
            best = loss, int(index), layer
    assert best is not None
    return *best[2], best[1]


def _largest(weight: np.ndarray, k: int) -> np.ndarray:
    """Mask of the ``k`` largest nonzero magnitudes; of equals the first in reading order."""
    order = np.argsort(-np.abs(weight), axis=None, kind="stable")[:k]
    mask = np.zeros(weight.size, dtype=bool)
    mask[order] = True
    return mask.reshape(weight.shape) & (weight != 0)


def _published_bins(weight: np.ndarray, k: int) -> tuple[np.ndarray, np.floating]:
    """Signs and level of the authors' bins (-max, -t], (-t, t], (t, max]: an entry equal to
    -max falls below them all and comes out positive, uncounted in the level."""
    magnitudes = np.sort(np.abs(weight[weight != 0]))[::-1]
    threshold = (magnitudes[k - 1] + magnitudes[k]) / 2 if len(magnitudes) > k else magnitudes[-1]
    lost = weight == -magnitudes[0]
    positive, negative = weight > threshold, (weight <= -threshold) & ~lost
    level = np.abs(weight[positive | negative]).mean()
    return np.where(positive | lost, 1, np.where(negative, -1, 0)), level
