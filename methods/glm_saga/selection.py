"""Selecting n_f* features by the group elastic net, one at a time (SLDD-Model, Q-SENN).

All weights of a feature form one group: the penalty is lambda alpha sum_d |w_:d|_2 +
lambda (1 - alpha)/2 |W|_2^2. Going down a path of lambdas, the feature that enters is the one
whose gradient norm exceeds lambda alpha the most, given the solution over the features selected
so far; after each entry the path starts again at its largest lambda.

Solved exactly, a restart changes nothing: at a lambda above that of the last entry the new
feature's optimal weights are 0, so every lambda passed before is passed again. So the engine
"fast" goes on where it is: one solution per entry and per lambda, instead of one per pair of
both. The engine "package" does not reach its optimum, so there the restarts matter, and it makes
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from benchmark.contracts import Progress, Silent
from methods.glm_saga import package
from methods.glm_saga.fast import lambda_grid, null_model
from methods.glm_saga.penalty import Grouped
from methods.glm_saga.solver import evaluate, minimise
from methods.glm_saga.table import MEMORY, Features, Table, open_table

# Solves over the table's features from weights (C, width) at one penalty.
Solve = Callable[[Table, Grouped, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Selection:
    """The selected features, in the order in which they entered."""

    order: np.ndarray  # (n_features,) int64, indices of features, first entered first
    lambda_index: np.ndarray  # (n_features,) int64, place on the path at which each entered
    lambdas: np.ndarray  # (L,) the path
    seconds: float

    @property
    def indices(self) -> np.ndarray:
        """The selected features (n_features,), ascending."""
        return np.sort(self.order)


def select_features(
    features: Features,
    labels: Any,
    n_classes: int,
    n_features: int,
    *,
    engine: Literal["fast", "package"] = "fast",
    alpha: float = 0.8,
    discount: float = 0.1,
    n_lambdas: int = 100,
    ratio: float = 1e-3,
    start: Literal["standardised", "raw"] | float = "standardised",
    tolerance: float = 0.01,
    max_iterations: int = 2000,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
    progress: Progress | None = None,
) -> Selection:
    """Select ``n_features`` of the d columns of ``features`` (n, d).

    engine: what solves over the selected features: ours, to the optimum, or the ``glm-saga``
        package with its early stop and the restarts, as SLDD-Model's authors have it
    alpha: share of the group norm in the penalty, in (0, 1]
    discount: the path starts at this share of the smallest lambda that keeps all weights 0
    start: what that lambda is taken from: "standardised", the features as they are used, or
        "raw", as the authors' code does, so that the selection changes with the features' unit;
        or a number, the path's first lambda itself (discount is then not used)
    tolerance: residual allowed to the fast engine, as a share of lambda alpha
    seed: of the package's order of batches

    The path has ``n_lambdas`` values down to ``ratio`` times the first, then 0, at which the
    largest gradient always enters. Raises ValueError where ``n_features`` is not in [1, d].

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> x = rng.normal(size=(60, 5))
    >>> x[:, 3] += 3 * (y == 1)
    >>> x[:, 1] += 2 * (y == 2)
    >>> select_features(x, y, 3, 2).order.tolist()
    [3, 1]
    """
    if not 1 <= n_features <= features.shape[1]:
        raise ValueError(
            f"n_features must lie in [1, {features.shape[1]}], the number of features: "
            f"got {n_features}."
        )
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1]: got {alpha}.")
    started = time.perf_counter()
    table = open_table(features, labels, n_classes, device=device, dtype=dtype, memory=memory)
    first = start if isinstance(start, float) else discount * _largest(table, start) / alpha
    lambdas = np.append(lambda_grid(first, n_lambdas, ratio), 0.0)
    solve = (
        _fast(tolerance, max_iterations, n_classes) if engine == "fast" else package.solver(seed)
    )
    walk = _Walk(table, alpha, lambdas, solve, restarts=engine == "package")
    with (progress or Silent()).bar("feature selection", total=n_features) as advance:
        while len(walk.selected) < n_features:
            walk.admit_next()
            advance(1, note=f"lambda {walk.lambdas[walk.at]:.2g}")
    return Selection(
        order=np.array(walk.selected),
        lambda_index=np.array(walk.entered),
        lambdas=lambdas,
        seconds=time.perf_counter() - started,
    )


def _largest(table: Table, start: str) -> float:
    """The largest gradient norm of a feature where all weights are 0."""
    gradient = evaluate(table, null_model(table)).gradient[:, :-1]
    # Of the raw features: their centring drops out, as the residuals sum to 0.
    scale = {"standardised": torch.ones_like(table.deviation), "raw": table.deviation}[start]
    return float((gradient.norm(dim=0) * scale).max())


def _fast(tolerance: float, max_iterations: int, n_classes: int) -> Solve:
    """Our solver, which remembers its step from call to call."""
    lipschitz = 1 / n_classes

    def solve(table: Table, penalty: Grouped, x: torch.Tensor) -> torch.Tensor:
        nonlocal lipschitz
        found = minimise(
            table,
            penalty,
            x,
            tolerance=max(tolerance * penalty.sparsity, 1e-6),
            lipschitz=lipschitz,
            max_iterations=max_iterations,
        )
        lipschitz = found.lipschitz
        return found.x

    return solve


class _Walk:
    """The way down the path: the selected features, their weights, and the place reached."""

    def __init__(
        self,
        table: Table,
        alpha: float,
        lambdas: np.ndarray,
        solve: Solve,
        *,
        restarts: bool = False,
    ) -> None:
        self.table, self.alpha, self.lambdas, self.solve = table, alpha, lambdas, solve
        self.restarts = restarts
        self.selected: list[int] = []
        self.entered: list[int] = []
        self.at = 0
        self.x = null_model(table)[:, -1:]  # (C, selected + 1), the bias last

    def admit_next(self) -> None:
        """Go down until a feature wants to enter, and let the one with the largest norm in."""
        if self.restarts:
            self.at = 0
        while True:
            penalty = Grouped(float(self.lambdas[self.at]), self.alpha)
            columns = torch.tensor(self.selected, dtype=torch.int64, device=self.table.device)
            if self.selected:
                self.x = self.solve(self.table.restrict(columns), penalty, self.x)
            norms = self._gradient_norms(columns)
            best = int(norms.argmax())
            if float(norms[best]) > penalty.sparsity or self.at == len(self.lambdas) - 1:
                break
            self.at += 1
        self.selected.append(best)
        self.entered.append(self.at)
        weights, bias = self.x[:, :-1], self.x[:, -1:]
        self.x = torch.cat([weights, torch.zeros_like(bias), bias], 1)

    def _gradient_norms(self, columns: torch.Tensor) -> torch.Tensor:
        """Norm of each feature's gradient (d,); -1 for those that are selected."""
        x = self.x.new_zeros(len(self.x), self.table.width)
        x[:, columns] = self.x[:, :-1]
        x[:, -1] = self.x[:, -1]
        gradient = evaluate(self.table, x, dtype=self.table.dtype).gradient
        norms = gradient[:, :-1].norm(dim=0)
        norms[columns] = -1
        return norms
