"""The elastic-net path of the pip package ``glm-saga``, as published: engine "package".

It is imported only here and only when asked for. Its stochastic solver stops early: what it
returns lies above the optimum, by up to 47 % at small lambdas, with more weights than needed.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmark.contracts import Progress, Silent, UserError
from methods.glm_saga.path import ElasticNetPath
from methods.glm_saga.penalty import Elementwise, Grouped
from methods.glm_saga.points import Labelled, Point, assemble, describe, open_held_out
from methods.glm_saga.table import Features, Table, open_table

MESSAGE = "The engine 'package' needs the glm-saga package: pip install glm-saga tqdm"


def load_package() -> ModuleType:
    """The package's module. Raises UserError where it, or tqdm that it needs, is missing."""
    try:
        from glm_saga import elasticnet
    except ImportError as error:
        raise UserError(MESSAGE) from error
    return elasticnet


class _Standardised(Dataset):
    """A table's rows as the package wants them: (features, label, index)."""

    def __init__(self, table: Table):
        blocks = list(table.keep().blocks())
        self.x = torch.cat([block.z[:-1].T for block in blocks]).contiguous().cpu()
        self.y = table.labels.cpu()

    def __len__(self) -> int:
        return len(self.y)

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, ...]]:
        index = torch.tensor(indices)
        return [(self.x[index], self.y[index], index)]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return self.__getitems__([index])[0]


def loader(table: Table, batch_size: int, seed: int, *, shuffle: bool = True) -> DataLoader:
    """Batches (features, labels, indices) of a table, gathered at once, in a seeded order."""
    return DataLoader(
        _Standardised(table),
        batch_size=batch_size,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=lambda batches: batches[0],
    )


def elastic_net_path(
    features: Features,
    labels: Any,
    n_classes: int,
    *,
    alpha: float = 0.99,
    n_lambdas: int = 100,
    ratio: float = 1e-3,
    zero: bool = False,
    learning_rate: float = 0.1,
    batch_size: int = 256,
    max_epochs: int = 2000,
    lookbehind: int | None = 5,
    tolerance: float = 1e-4,
    seed: int = 0,
    validation: Labelled | None = None,
    test: Labelled | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    stop: Callable[[np.ndarray], bool] | None = None,
) -> ElasticNetPath:
    """The package's path, as the same object as the fast engine's.

    learning_rate, batch_size, max_epochs, lookbehind, tolerance: the package's own, by default
        those of the authors of SLDD-Model and Q-SENN (stop after 5 epochs without an improvement
        of 1e-4); ``lookbehind=None`` stops when a step changes the weights by at most
        ``tolerance``
    seed: of the order in which batches are drawn

    The other arguments are those of :func:`methods.glm_saga.fast.elastic_net_path`. The package's
    solver is called lambda by lambda, as its own ``glm_saga`` does, so that a bar can be shown
    and a path stopped; objective and residual are computed here, in float64.
    Raises UserError where the package is missing.
    """
    module = load_package()
    train = open_table(features, labels, n_classes, device=device)
    held_out = open_held_out(train, validation, test)
    batches = loader(train, batch_size, seed)
    linear = torch.nn.Linear(train.width - 1, n_classes).to(train.device)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    with _quiet():
        largest = module.maximum_reg_loader(batches, group=False) / max(0.001, alpha)
    lambdas = torch.logspace(math.log10(largest), math.log10(ratio * largest), n_lambdas)
    if zero:
        lambdas = torch.cat([lambdas, lambdas.new_zeros(1)])
    state = None
    points: list[Point] = []
    with (progress or Silent()).bar("elastic-net path (package)", total=len(lambdas)) as advance:
        for lam in lambdas:
            started = time.perf_counter()
            with _quiet():
                state = module.train_saga(
                    linear,
                    batches,
                    torch.tensor(learning_rate),
                    max_epochs,
                    lam,
                    alpha,
                    group=False,
                    state=state,
                    n_ex=train.n,
                    n_classes=n_classes,
                    tol=tolerance,
                    lookbehind=lookbehind,
                )
            spent = time.perf_counter() - started
            x = torch.cat([linear.weight, linear.bias[:, None]], 1).detach()
            points.append(describe(train, held_out, x, Elementwise(float(lam), alpha), spent))
            advance(1, note=f"lambda {float(lam):.2g}, {int(points[-1]['nonzeros'])} weights")
            if stop is not None and stop(points[-1]["x"][:, :-1]):
                break
    return assemble(points, lambdas[: len(points)].double().numpy(), train, alpha, "package")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The package reports with print and warns of its own use of torch."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def solver(
    seed: int,
    *,
    learning_rate: float = 0.1,
    batch_size: int = 256,
    max_epochs: int = 2000,
    lookbehind: int = 3,
    tolerance: float = 1e-4,
) -> Callable[[Table, Grouped, torch.Tensor], torch.Tensor]:
    """The package's solver of the group elastic net: (table, penalty, weights) -> weights.

    Weights are (C, width), the bias last. Stops after ``lookbehind`` epochs without an
    improvement of ``tolerance``, as SLDD-Model's authors have it.
    """
    module = load_package()

    def solve(table: Table, penalty: Grouped, x: torch.Tensor) -> torch.Tensor:
        linear = torch.nn.Linear(table.width - 1, len(x)).to(x.device)
        with torch.no_grad():
            linear.weight.copy_(x[:, :-1])
            linear.bias.copy_(x[:, -1])
        with _quiet():
            module.train_saga(
                linear,
                loader(table, batch_size, seed),
                torch.tensor(learning_rate),
                max_epochs,
                penalty.lam,
                penalty.alpha,
                group=True,
                n_ex=table.n,
                n_classes=len(x),
                tol=tolerance,
                lookbehind=lookbehind,
            )
        return torch.cat([linear.weight, linear.bias[:, None]], 1).detach()

    return solve
