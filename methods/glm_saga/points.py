"""One lambda's solution as arrays, and the path that they make: shared by both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from methods.glm_saga.path import NONZERO, ElasticNetPath
from methods.glm_saga.penalty import Penalty
from methods.glm_saga.solver import Evaluation, evaluate
from methods.glm_saga.table import Features, Table, open_table

Labelled = tuple[Features, Any]  # features (n, d), labels (n,)
Point = dict[str, np.ndarray]  # "x" (C, d + 1) with the bias last, and what was measured there


def open_held_out(
    train: Table, validation: Labelled | None, test: Labelled | None, **options: Any
) -> dict[str, Table]:
    """The given tables by name, standardised as the training table is."""
    return {
        name: open_table(
            *data,
            train.n_classes,
            moments=(train.mean, train.deviation),
            device=train.device,
            **options,
        )
        for name, data in (("validation", validation), ("test", test))
        if data is not None
    }


def describe(
    train: Table,
    held_out: dict[str, Table],
    x: torch.Tensor,
    penalty: Penalty,
    seconds: float,
    at_x: Evaluation | None = None,
) -> Point:
    """Losses, accuracies, nonzeros and optimality residual of weights ``x`` (C, d + 1)."""
    at_x = at_x or evaluate(train, x)
    point: dict[str, Any] = {
        "x": x.cpu().numpy().copy(),
        "objective": at_x.loss + penalty.value(x),
        "train_loss": at_x.loss,
        "train_accuracy": at_x.accuracy,
        "nonzeros": int((x[:, :-1].abs() > NONZERO).sum()),
        "kkt": float(penalty.residual(x.double(), at_x.gradient).max()),
        "seconds": seconds,
    }
    for name, table in held_out.items():
        there = evaluate(table, x, gradient=False, dtype=table.dtype)
        point |= {f"{name}_loss": there.loss, f"{name}_accuracy": there.accuracy}
    return {name: np.asarray(value) for name, value in point.items()}


def assemble(
    points: list[Point], lambdas: np.ndarray, train: Table, alpha: float, engine: str
) -> ElasticNetPath:
    """The path through these points."""
    columns = {name: np.stack([point[name] for point in points]) for name in points[0]}
    x = columns.pop("x")
    return ElasticNetPath(
        lambdas=lambdas,
        weights=np.ascontiguousarray(x[:, :, :-1]),
        biases=np.ascontiguousarray(x[:, :, -1]),
        mean=train.mean.cpu().numpy(),
        deviation=train.deviation.cpu().numpy(),
        alpha=alpha,
        engine=engine,
        **columns,
    )
