"""The regularisation path as plain data: what both engines return, saved without pickle."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

# The package counts a weight as nonzero from here on; ours are exactly 0 or well above.
NONZERO = 1e-5


@dataclass(frozen=True)
class ElasticNetPath:
    """Solutions of the elastic net from the largest lambda down, on standardised features.

    L lambdas, C classes, d features, all NumPy arrays. With z = (x - mean) / deviation the
    logits of a sample are ``weights[l] @ z + biases[l]``. Losses are mean cross-entropies,
    accuracies fractions; those of the validation and test data are None where none were given.
    """

    lambdas: np.ndarray  # (L,) float64, descending
    weights: np.ndarray  # (L, C, d) float32
    biases: np.ndarray  # (L, C) float32
    mean: np.ndarray  # (d,) float64
    deviation: np.ndarray  # (d,) float64, population, at least 1e-5
    alpha: float  # share of the L1 norm in the penalty
    objective: np.ndarray  # (L,) cross-entropy + penalty on the training data
    train_loss: np.ndarray  # (L,)
    train_accuracy: np.ndarray  # (L,)
    nonzeros: np.ndarray  # (L,) int64
    kkt: np.ndarray  # (L,) largest violation of the optimality conditions, in float64
    seconds: np.ndarray  # (L,)
    engine: str
    validation_loss: np.ndarray | None = None
    validation_accuracy: np.ndarray | None = None
    test_loss: np.ndarray | None = None
    test_accuracy: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lambdas)

    def save(self, file: Path | str) -> None:
        """Write a compressed ``.npz``, whole or not at all; the name is kept as it is given."""
        file = Path(file)
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        save_arrays(file, {k: np.asarray(v) for k, v in arrays.items() if v is not None})

    @classmethod
    def load(cls, file: Path | str) -> ElasticNetPath:
        """Read what :meth:`save` wrote. Raises ValueError if the file holds something else."""
        with np.load(Path(file), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        known = {f.name for f in fields(cls)}
        missing = known - set(arrays) - {f.name for f in fields(cls) if f.default is None}
        if missing or set(arrays) - known:
            raise ValueError(f"{file} holds no elastic-net path: {sorted(arrays)}")
        values = {k: v.item() if v.ndim == 0 else v for k, v in arrays.items()}
        return cls(**values)


def save_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """A compressed ``.npz`` that is there whole or not at all."""
    temporary = file.with_name(file.name + ".new")
    with open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    os.replace(temporary, file)


def count_nonzeros(weights: np.ndarray) -> np.ndarray:
    """Weights above 1e-5 in magnitude, over the last two axes.

    >>> count_nonzeros(np.array([[1.0, 0.0], [1e-6, -2.0]])).item()
    2
    """
    return (np.abs(weights) > NONZERO).sum((-2, -1))
