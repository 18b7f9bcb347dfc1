"""Accelerated proximal gradient for softmax regression with a simple penalty.

Minimises (1/n) sum_i CE(softmax(W z_i + b), y_i) + penalty(W) by FISTA with backtracking (Beck &
Teboulle 2009: F(x_k) - F* <= 2 L |x_0 - x*|^2 / (k + 1)^2) and adaptive restart (O'Donoghue &
Candès 2015). The step may grow only where the momentum restarts, so that the rate holds between
restarts. A pass over the data costs two matrix products (one forward, one back); nothing of size
n x C x d is ever formed.

The step test F(x) <= model(x) is done on its exact equivalent, the Bregman distance of the
cross-entropy, log sum_c p_c exp(u_c) with u the centred change of the logits: the difference of
two objectives would drown in float32 noise long before the solution is reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from methods.glm_saga.penalty import Penalty
from methods.glm_saga.table import Table

GROWTH = 0.9  # of the Lipschitz estimate where momentum restarts, so that steps may grow again


@dataclass
class Evaluation:
    """The smooth part at one point: ``gradient`` (C, d + 1), mean cross-entropy, accuracy."""

    gradient: torch.Tensor
    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    table: Table, x: torch.Tensor, *, gradient: bool = True, dtype: torch.dtype = torch.float64
) -> Evaluation:
    """Loss, accuracy (fraction) and, unless told otherwise, gradient in ``dtype``, in one pass.

    ``x`` is (C, table.width), the bias last. Computed in float64 by default: what the solver
    claims of its own residual does not rest on the precision in which it iterates.
    """
    used = torch.nonzero((x != 0).any(0)).flatten()
    weight = x[:, used].to(dtype)
    total = torch.zeros(x.shape, dtype=dtype, device=x.device)
    loss = torch.zeros((), dtype=torch.float64, device=x.device)
    correct = torch.zeros((), dtype=torch.int64, device=x.device)
    for block in table.blocks():
        z = block.z.to(dtype)
        logits = weight @ z.index_select(0, used)
        normaliser = logits.logsumexp(0)
        true = logits.gather(0, block.y[None])[0]
        loss += (normaliser - true).sum(dtype=torch.float64)
        correct += (logits.argmax(0) == block.y).sum()
        if gradient:
            probabilities = torch.exp_(logits - normaliser)
            _subtract_labels(probabilities, block.y)
            total += probabilities @ z.T
    return Evaluation(total / table.n, float(loss) / table.n, float(correct) / table.n)


def _subtract_labels(probabilities: torch.Tensor, y: torch.Tensor) -> None:
    """Probabilities (C, m) minus the labels' one-hot columns, in place."""
    probabilities.scatter_add_(0, y[None], probabilities.new_full((1, 1), -1.0).expand(1, len(y)))


@dataclass
class _Kept:
    """Logits of one block that the next pass would compute again: three (C, m)."""

    current: torch.Tensor  # of the current iterate
    point: torch.Tensor  # of the point at which the gradient was taken
    probabilities: torch.Tensor  # at that point


class _Passes:
    """Passes over a table that remember the logits of the last one where memory allows."""

    def __init__(self, table: Table):
        self.table = table
        self.kept: list[_Kept] = []
        self.fresh: list[_Kept] = []

    def gradient(
        self,
        new: torch.Tensor,
        current: torch.Tensor,
        point: torch.Tensor | None,
        momentum: float,
    ) -> tuple[float, torch.Tensor]:
        """One pass: the Bregman distance of ``new`` from ``point`` (0 where that is None), and
        the gradient at ``new + momentum (new - current)``."""
        table = self.table
        distance = torch.zeros((), dtype=torch.float64, device=new.device)
        total = torch.zeros_like(new)
        self.fresh = []
        for index, block in enumerate(table.blocks()):
            if self.kept:
                logits, kept = new @ block.z, self.kept[index]
            else:
                logits, kept = _all_logits(block.z, new, current, point)
            if point is not None:
                distance += _bregman(kept.probabilities, kept.point, logits)
            ahead = torch.lerp(kept.current, logits, 1 + momentum)
            probabilities = ahead.softmax(0)
            if table.kept is not None:
                self.fresh.append(_Kept(logits, ahead, probabilities.clone()))
            _subtract_labels(probabilities, block.y)
            total.addmm_(probabilities, block.z.T)
        return float(distance) / table.n, total / table.n

    def accept(self) -> None:
        self.kept = self.fresh


def _all_logits(
    z: torch.Tensor, new: torch.Tensor, current: torch.Tensor, point: torch.Tensor | None
) -> tuple[torch.Tensor, _Kept]:
    """Logits of ``new``, and what would have been kept of the others, in one product."""
    if point is None:
        logits, now = (torch.cat([new, current]) @ z).chunk(2)
        return logits, _Kept(now, now, now)
    logits, now, there = (torch.cat([new, current, point]) @ z).chunk(3)
    return logits, _Kept(now, there, there.softmax(0))


def _bregman(p: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Sum over samples of CE(after) - CE(before) - <gradient at before, after - before>."""
    u = after - before
    u -= (p * u).sum(0)
    return torch.expm1_(u).mul_(p).sum(0).log1p_().sum(dtype=torch.float64)


@dataclass
class Minimum:
    """Where the iteration stopped: weights (C, width), Lipschitz estimate, number of passes."""

    x: torch.Tensor
    lipschitz: float
    iterations: int


@torch.no_grad()
def minimise(
    table: Table,
    penalty: Penalty,
    start: torch.Tensor,
    *,
    tolerance: float,
    lipschitz: float,
    before: torch.Tensor | None = None,
    momentum: float = 0.0,
    max_iterations: int = 2000,
) -> Minimum:
    """FISTA from ``start`` (C, table.width) until no entry of the gradient mapping exceeds
    ``tolerance``.

    ``before`` and ``momentum`` make the first gradient one at ``start + momentum (start -
    before)``: along a path the last step taken predicts the next. ``lipschitz`` > 0 is the first
    estimate of the gradient's local Lipschitz constant; the last is returned.
    """
    passes = _Passes(table)
    lipschitz *= GROWTH
    x = start
    before = start if before is None else before
    _, gradient = passes.gradient(x, before, None, momentum)
    passes.accept()
    point = x + momentum * (x - before)
    t = 1.0
    iterations = 1
    while iterations < max_iterations:
        new = penalty.prox(point - gradient / lipschitz, 1 / lipschitz)
        step = new - point
        # The gradient scheme of O'Donoghue & Candès: momentum that points uphill is dropped.
        uphill = float(((point - new) * (new - x)).sum()) > 0
        t_next = 1.0 if uphill else (1 + math.sqrt(1 + 4 * t * t)) / 2
        beta = 0.0 if uphill else (t - 1) / t_next
        distance, next_gradient = passes.gradient(new, x, point, beta)
        iterations += 1
        model = lipschitz / 2 * float((step.double() ** 2).sum())
        if not distance <= 1.001 * model + 1e-15:
            growth = distance / model if model > 0 and math.isfinite(distance) else 2.0
            lipschitz *= min(max(1.1, growth), 2.0)
            continue
        passes.accept()
        if lipschitz * float(step.abs().max()) <= tolerance:
            return Minimum(new, lipschitz, iterations)
        point = new + beta * (new - x)
        x, gradient, t = new, next_gradient, t_next
        if uphill:
            lipschitz *= GROWTH
    return Minimum(x, lipschitz, iterations)
