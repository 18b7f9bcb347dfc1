"""The elastic-net path of softmax regression: engine "fast".

Minimises, for a falling sequence of lambdas and features standardised to z,

    (1/n) sum_i CE(softmax(W z_i + b), y_i) + lambda (alpha |W|_1 + (1 - alpha)/2 |W|_2^2)

with b free: the objective, grid and standardisation of the ``glm-saga`` package (Wong, Santurkar
& Madry, Leveraging Sparse Linear Layers for Debuggable Deep Networks, ICML 2021, eq. 1). The
package stops early; this engine goes on until the optimality conditions hold.

For each lambda: screen features by the sequential strong rule (Tibshirani et al. 2012), minimise
over the rest by FISTA (``solver.py``) from the last solution, with a first step extrapolated
along the path, then check the optimality conditions of all features in float64 and go on where
they do not hold yet. Screening is thereby safe: what it dropped wrongly comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.contracts import Progress, Silent, UserError
from methods.glm_saga.path import ElasticNetPath, save_arrays
from methods.glm_saga.penalty import Elementwise
from methods.glm_saga.points import Labelled, Point, assemble, describe, open_held_out
from methods.glm_saga.solver import Evaluation, evaluate, minimise
from methods.glm_saga.table import MEMORY, Features, Table, open_table

RESIDUAL = 1e-4  # no residual is larger, whatever the tolerance
ROUNDS = 10  # of screening, minimising and checking, per lambda
EXTRAPOLATION = 0.9  # of the last step along the path, which the first gradient looks ahead


def lambda_grid(largest: float, n_lambdas: int, ratio: float) -> np.ndarray:
    """``n_lambdas`` values, equally far apart in logarithm, from ``largest`` to its ``ratio``.

    >>> lambda_grid(1.0, 4, 1e-3).round(6).tolist()
    [1.0, 0.1, 0.01, 0.001]
    """
    return largest * np.logspace(0.0, np.log10(ratio), n_lambdas)


def elastic_net_path(
    features: Features,
    labels: Any,
    n_classes: int,
    *,
    alpha: float = 0.99,
    n_lambdas: int = 100,
    ratio: float = 1e-3,
    zero: bool = False,
    tolerance: float = 0.01,
    max_iterations: int = 2000,
    validation: Labelled | None = None,
    test: Labelled | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[np.ndarray], bool] | None = None,
) -> ElasticNetPath:
    """The path from the largest lambda, at which all weights are 0, down to its ``ratio``.

    features: (n, d), array, tensor or ``numpy.memmap``; raw, they are standardised here
    labels: (n,) integers in [0, n_classes)
    alpha: share of the L1 norm in the penalty, in (0, 1]
    zero: end with lambda = 0, as the package does on request
    tolerance: the optimality residual allowed, as a share of lambda alpha (and 1e-4 at most,
        also where lambda is 0)
    max_iterations: passes over the data per lambda; what is reached by then is kept, and its
        residual ``kkt`` tells
    validation, test: (features, labels), evaluated at every lambda
    memory: bytes above which a table is streamed in row blocks instead of kept
    checkpoint: folder with one file per lambda; a path that was interrupted continues there
    stop: called with the weights (C, d) at each lambda; the path ends where it returns True

    Raises ValueError for tables and numbers out of range, UserError for a checkpoint of another
    problem.

    >>> x = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> path = elastic_net_path(x, [0, 0, 1, 1], 2, n_lambdas=3, ratio=0.01)
    >>> path.nonzeros.tolist(), path.train_accuracy.tolist()
    ([0, 2, 2], [0.5, 1.0, 1.0])
    """
    _check(alpha, n_lambdas, ratio, tolerance)
    options: dict[str, Any] = {"dtype": dtype, "memory": memory}
    train = open_table(features, labels, n_classes, device=device, **options)
    held_out = open_held_out(train, validation, test, **options)
    x = null_model(train)
    at_null = evaluate(train, x)
    largest = float(at_null.gradient[:, :-1].abs().max()) / max(alpha, 1e-3)
    lambdas = lambda_grid(largest, n_lambdas, ratio)
    if zero:
        lambdas = np.append(lambdas, 0.0)
    store = None if checkpoint is None else _Checkpoint.open(checkpoint, train, alpha, lambdas)
    points = store.read() if store else []
    walk = _Walk(train, alpha, tolerance, max_iterations, lambdas, x, x, at_null, 1 / n_classes)
    walk.go_on_from(points)
    with (progress or Silent()).bar("elastic-net path", total=len(lambdas)) as advance:
        advance(len(points))
        for index in range(len(points), len(lambdas)):
            if stop is not None and points and stop(points[-1]["x"][:, :-1]):
                break
            point = walk.step(index, held_out)
            if store:
                store.write(index, point)
            points.append(point)
            advance(1, note=f"lambda {lambdas[index]:.2g}, {int(point['nonzeros'])} weights")
    for point in points:
        point.pop("lipschitz")
    return assemble(points, lambdas[: len(points)], train, alpha, "fast")


def null_model(table: Table) -> torch.Tensor:
    """Weights (C, width) that use no feature: the biases are the logarithms of the classes'
    shares, that of a class without samples taken as 1e-6."""
    counts = torch.bincount(table.labels, minlength=table.n_classes).double()
    log_share = (counts / table.n).clamp_min(1e-6).log()
    x = torch.zeros(table.n_classes, table.width, dtype=table.dtype, device=table.device)
    x[:, -1] = log_share - log_share.mean()
    return x


def _check(alpha: float, n_lambdas: int, ratio: float, tolerance: float) -> None:
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1]: got {alpha}.")
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1: got {n_lambdas}.")
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1]: got {ratio}.")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie in (0, 1): got {tolerance}.")


@dataclass
class _Walk:
    """Where the path has come to: the last two solutions, and the gradient at the last."""

    table: Table
    alpha: float
    tolerance: float
    max_iterations: int
    lambdas: np.ndarray
    x: torch.Tensor
    before: torch.Tensor
    at_x: Evaluation
    lipschitz: float

    def go_on_from(self, points: list[Point]) -> None:
        """Continue after points that a checkpoint held."""
        if not points:
            return
        self.x = torch.from_numpy(points[-1]["x"]).to(self.x)
        if len(points) > 1:
            self.before = torch.from_numpy(points[-2]["x"]).to(self.x)
        self.lipschitz = float(points[-1]["lipschitz"])
        self.at_x = evaluate(self.table, self.x)

    def step(self, index: int, held_out: dict[str, Table]) -> Point:
        """Solve for ``lambdas[index]`` and describe the solution."""
        started = time.perf_counter()
        penalty = Elementwise(float(self.lambdas[index]), self.alpha)
        self._solve(penalty, float(self.lambdas[max(index - 1, 0)]))
        spent = time.perf_counter() - started
        point = describe(self.table, held_out, self.x, penalty, spent, self.at_x)
        return point | {"lipschitz": np.asarray(self.lipschitz)}

    def _solve(self, penalty: Elementwise, last_lam: float) -> None:
        """Move to the solution for this penalty."""
        allowed = min(RESIDUAL, self.tolerance * penalty.sparsity) if penalty.lam else RESIDUAL
        threshold = max(2 * penalty.lam - last_lam, 0.0) * self.alpha
        x, before, at_x = self.x, self.before, self.at_x
        left, inner, momentum = self.max_iterations, 0.9 * allowed, EXTRAPOLATION
        for _ in range(ROUNDS):
            residual = float(penalty.residual(x.double(), at_x.gradient).max())
            if residual <= allowed or left <= 0:
                break
            columns = _columns(x, before, at_x.gradient, threshold)
            found = minimise(
                self.table if columns is None else self.table.restrict(columns),
                penalty,
                _take(x, columns),
                before=_take(before, columns),
                momentum=momentum,
                tolerance=inner,
                lipschitz=self.lipschitz,
                max_iterations=left,
            )
            x, self.lipschitz = _put(found.x, columns, self.table.width), found.lipschitz
            at_x = evaluate(self.table, x)
            left -= found.iterations
            before, momentum, inner = x, 0.0, inner / 2
        self.before, self.x, self.at_x = self.x, x, at_x


def _columns(
    x: torch.Tensor, before: torch.Tensor, gradient: torch.Tensor, threshold: float
) -> torch.Tensor | None:
    """Features (k,) that the strong rule cannot rule out; None where that is nearly all."""
    active = ((x != 0) | (before != 0) | (gradient.abs() >= threshold)).any(0)[:-1]
    if float(active.double().mean()) > 0.8:
        return None
    return torch.nonzero(active).flatten()


def _take(x: torch.Tensor, columns: torch.Tensor | None) -> torch.Tensor:
    """These features' weights and the bias."""
    return x if columns is None else torch.cat([x[:, columns], x[:, -1:]], 1)


def _put(x: torch.Tensor, columns: torch.Tensor | None, width: int) -> torch.Tensor:
    """Weights of all features from those of some."""
    if columns is None:
        return x
    out = x.new_zeros(len(x), width)
    out[:, columns] = x[:, :-1]
    out[:, -1] = x[:, -1]
    return out


class _Checkpoint:
    """A folder with one file per lambda that is done, for one problem only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path, train: Table, alpha: float, lambdas: np.ndarray) -> _Checkpoint:
        """Make the folder, or check that it belongs to this problem."""
        problem = {
            "lambdas": lambdas,  # the first comes from all features and labels
            "alpha": np.asarray(alpha),
            "mean": train.mean.cpu().numpy(),
            "deviation": train.deviation.cpu().numpy(),
            "classes": torch.bincount(train.labels, minlength=train.n_classes).cpu().numpy(),
        }
        file = folder / "problem.npz"
        if file.exists():
            with np.load(file, allow_pickle=False) as there:
                same = set(there.files) == set(problem) and all(
                    np.array_equal(there[name], value) for name, value in problem.items()
                )
            if not same:
                raise UserError(
                    f"The checkpoint in {folder} belongs to another elastic-net path: "
                    "delete that folder or name another."
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            save_arrays(file, problem)
        return cls(folder)

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:04d}.npz"

    def read(self) -> list[Point]:
        """All points from the first lambda on that are there without a gap."""
        points: list[Point] = []
        while (file := self._file(len(points))).exists():
            with np.load(file, allow_pickle=False) as archive:
                points.append({name: archive[name] for name in archive.files})
        return points

    def write(self, index: int, point: Point) -> None:
        save_arrays(self._file(index), point)
