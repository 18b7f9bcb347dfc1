"""The dense classifier's features of all images, streamed to disk, and what maps tell in passing.

Tables are ``.npy`` files, written in row blocks and read as memory maps, so that they may be
larger than memory. The maps themselves are never kept: statistics of where a feature peaks are
summed while they stream by.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.classifier import Classifier, evaluating
from benchmark.contracts import Progress
from benchmark.images import TestBatches
from benchmark.training import Setting, autocast


@dataclass(frozen=True)
class Table:
    """Pooled features of one split: features (N, n_f) float32 memory-mapped, labels (N,)."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Locality:
    """Activation-weighted sums over the N training images, one value per feature (n_f,).

    With f the pooled features, u = f / sum_d f per image, peak the largest value of the spatial
    softmax of the map, edge whether the map's maximum lies on the border, and distance the
    number of places between the maximum and the nearest border:

    * ``activation``: sum f; ``peak``: sum f * peak (equation 8 of the QPM paper);
    * ``centre``: sum f / (1 + distance) (equation 26);
    * ``share_peak``: mean u * peak; ``share_edge``: sum u * edge (the authors' code).
    """

    activation: np.ndarray
    peak: np.ndarray
    centre: np.ndarray
    share_peak: np.ndarray
    share_edge: np.ndarray


@dataclass(frozen=True)
class Features:
    """What the stage "features" leaves: tables of both splits, statistics of the training one."""

    train: Table
    test: Table | None  # None where only the training split was extracted
    mean: np.ndarray  # (n_f,) of the training features
    deviation: np.ndarray  # (n_f,), population, at least 1e-5
    locality: Locality


def extract(
    classifier: Classifier,
    train: TestBatches,
    test: TestBatches | None,
    setting: Setting,
    folder: Path,
    progress: Progress,
) -> None:
    """Stream the splits through the backbone into ``folder``; without ``test`` only the first."""
    sums = _Sums(classifier.backbone.n_features)
    for name, batches, watch in (("train", train, sums.add), ("test", test, None)):
        if batches is None:
            continue
        shape = (len(batches.split), classifier.backbone.n_features)
        table = np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape
        )
        with evaluating(classifier):
            for images, _, indices in progress.track(batches, f"features of {name} images"):
                with autocast(setting):
                    maps = classifier.maps(images).float()
                pooled = maps.mean((2, 3))
                table[indices.numpy()] = pooled.cpu().numpy()
                if watch:
                    watch(maps, pooled)
        table.flush()
        np.save(folder / f"{name}_labels.npy", batches.split.labels)
        if watch:
            np.savez(folder / "statistics.npz", **(sums.result() | _moments(table)))  # type: ignore[arg-type]


def load(folder: Path) -> Features:
    """The tables of a finished stage, memory-mapped."""

    def table(name: str) -> Table:
        return Table(
            np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}_labels.npy")
        )

    with np.load(folder / "statistics.npz") as archive:
        values = {key: archive[key] for key in archive.files}
    mean, deviation = values.pop("mean"), values.pop("deviation")
    test = table("test") if (folder / "test.npy").exists() else None
    return Features(table("train"), test, mean, deviation, Locality(**values))


def _moments(table: np.ndarray, rows: int = 65536) -> dict[str, np.ndarray]:
    """Mean and population deviation per column, in float64, two passes in row blocks."""
    blocks = [table[i : i + rows] for i in range(0, len(table), rows)]
    mean = sum(block.sum(0, dtype=np.float64) for block in blocks) / len(table)
    variance = sum(((block - mean) ** 2).sum(0, dtype=np.float64) for block in blocks) / len(table)
    return {"mean": mean, "deviation": np.maximum(np.sqrt(variance), 1e-5)}


class _Sums:
    """Running sums of :class:`Locality` in float64."""

    def __init__(self, n_features: int) -> None:
        self.n = 0
        self.sums = {
            name: np.zeros(n_features)
            for name in ("activation", "peak", "centre", "share_peak", "share_edge")
        }

    def add(self, maps: torch.Tensor, pooled: torch.Tensor) -> None:
        height, width = maps.shape[2:]
        flat = maps.flatten(2)
        # The largest value of a softmax is exp(max - logsumexp): no softmax map is needed.
        peak = (flat.amax(2) - flat.logsumexp(2)).exp()
        place = flat.argmax(2)
        y, x = place // width, place % width
        distance = torch.stack([x, width - 1 - x, y, height - 1 - y]).amin(0)
        share = pooled / pooled.sum(1, keepdim=True).clamp_min(1e-12)
        for name, values in {
            "activation": pooled,
            "peak": pooled * peak,
            "centre": pooled / (1 + distance),
            "share_peak": share * peak,
            "share_edge": share * (distance == 0),
        }.items():
            self.sums[name] += values.double().sum(0).cpu().numpy()
        self.n += len(maps)

    def result(self) -> dict[str, np.ndarray]:
        return self.sums | {"share_peak": self.sums["share_peak"] / self.n}
