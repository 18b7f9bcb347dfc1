"""The elastic-net penalties: value, proximal step and residual of the optimality conditions.

Weights are (C, k + 1) with the bias in the last column, which is never penalised.

* :class:`Elementwise`: lambda alpha |W|_1 + lambda (1 - alpha)/2 |W|_2^2, the elastic net of
  glm-saga (Wong, Santurkar & Madry 2021, eq. 1).
* :class:`Grouped`: lambda alpha sum_d |w_:d|_2 + lambda (1 - alpha)/2 |W|_2^2 with a feature's
  weights of all classes as one group, the variant with which SLDD-Model selects features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Penalty(Protocol):
    """What the accelerated proximal method must know of a penalty."""

    @property
    def sparsity(self) -> float: ...

    def value(self, x: torch.Tensor) -> float: ...

    def prox(self, x: torch.Tensor, step: float) -> torch.Tensor: ...

    def residual(self, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Elementwise:
    """lambda alpha |W|_1 + lambda (1 - alpha)/2 |W|_2^2.

    >>> penalty = Elementwise(0.5, 1.0)
    >>> penalty.prox(torch.tensor([[2.0, -0.25, 3.0]]), step=1.0)
    tensor([[1.5000, 0.0000, 3.0000]])
    """

    lam: float
    alpha: float

    @property
    def sparsity(self) -> float:
        """Threshold on the gradient below which a weight stays 0."""
        return self.lam * self.alpha

    @property
    def ridge(self) -> float:
        return self.lam * (1 - self.alpha)

    def value(self, x: torch.Tensor) -> float:
        w = x[:, :-1].double()
        return float(self.sparsity * w.abs().sum() + self.ridge / 2 * (w * w).sum())

    def prox(self, x: torch.Tensor, step: float) -> torch.Tensor:
        """argmin_u |u - x|^2 / (2 step) + penalty(u)."""
        threshold = step * self.sparsity
        out = x - x.clamp(-threshold, threshold)
        out /= 1 + step * self.ridge
        out[:, -1] = x[:, -1]
        return out

    def residual(self, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Distance of 0 from the subdifferential, entry by entry: (C, k + 1)."""
        g = gradient + self.ridge * x
        out = torch.where(
            x != 0, (g + self.sparsity * x.sign()).abs(), (g.abs() - self.sparsity).clamp_min(0)
        )
        out[:, -1] = gradient[:, -1].abs()
        return out


@dataclass(frozen=True)
class Grouped:
    """lambda alpha sum_d |w_:d|_2 + lambda (1 - alpha)/2 |W|_2^2.

    >>> penalty = Grouped(1.0, 1.0)
    >>> penalty.prox(torch.tensor([[3.0, 0.3, 1.0], [4.0, 0.4, 1.0]]), step=1.0)
    tensor([[2.4000, 0.0000, 1.0000],
            [3.2000, 0.0000, 1.0000]])
    """

    lam: float
    alpha: float

    @property
    def sparsity(self) -> float:
        """Threshold on a feature's gradient norm below which all its weights stay 0."""
        return self.lam * self.alpha

    @property
    def ridge(self) -> float:
        return self.lam * (1 - self.alpha)

    def value(self, x: torch.Tensor) -> float:
        w = x[:, :-1].double()
        return float(self.sparsity * w.norm(dim=0).sum() + self.ridge / 2 * (w * w).sum())

    def prox(self, x: torch.Tensor, step: float) -> torch.Tensor:
        """argmin_u |u - x|^2 / (2 step) + penalty(u)."""
        norm = x.norm(dim=0)
        kept = (norm - step * self.sparsity).clamp_min(0) / norm.clamp_min(1e-30)
        out = x * (kept / (1 + step * self.ridge))
        out[:, -1] = x[:, -1]
        return out

    def residual(self, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Distance of 0 from the subdifferential, feature by feature: (k + 1,)."""
        g = gradient + self.ridge * x
        norm = x.norm(dim=0)
        out = torch.where(
            norm > 0,
            (g + self.sparsity * x / norm.clamp_min(1e-30)).norm(dim=0),
            (g.norm(dim=0) - self.sparsity).clamp_min(0),
        )
        out[-1] = gradient[:, -1].norm()
        return out
