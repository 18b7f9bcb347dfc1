"""Feeding images to a network: batches in a fixed order for evaluation, shuffled ones for training.

Each random choice about an image comes from (seed, epoch, its index) alone, so that numbers
depend neither on the number of worker processes nor on where an interrupted epoch began.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmark.contracts import Split
from benchmark.store import derive_seed
from datasets.transforms import Preprocessing, normalise, test_image, train_image

KEEP_BYTES = 1 << 30  # decoded test images up to this size stay in memory


def workers() -> int:
    """Worker processes for decoding: the cores that the network does not need.

    Two cores or fewer are best left to the network.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(12, (available or 1) - 2))


class _TestImages(TorchDataset):
    def __init__(self, split: Split, preprocessing: Preprocessing) -> None:
        self.split, self.preprocessing = split, preprocessing

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> torch.Tensor:
        box = None if self.split.boxes is None else self.split.boxes[index]
        return test_image(self.split.paths[index], box, self.preprocessing)


class _TrainImages(_TestImages):
    def __init__(self, split: Split, preprocessing: Preprocessing, augment: Any, seed: int) -> None:
        super().__init__(split, preprocessing)
        self.augment, self.seed = augment, seed

    def __getitem__(self, index: int) -> torch.Tensor:
        box = None if self.split.boxes is None else self.split.boxes[index]
        seed = derive_seed(self.seed, index)
        return train_image(
            self.split.paths[index], box, self.preprocessing, augment=self.augment, seed=seed
        )


class TestBatches:
    """All images of a split with the test transform, in order, normalised, on a device.

    Iterating yields ``(images (N, 3, s, s), labels (N,), indices (N,))``. Small splits are
    decoded once and kept as bytes; no image is ever dropped.
    """

    __test__ = False  # not a test of pytest's

    def __init__(
        self,
        split: Split,
        preprocessing: Preprocessing,
        device: torch.device,
        batch_size: int = 100,
    ) -> None:
        self.split, self.preprocessing = split, preprocessing
        self.device, self.batch_size = device, batch_size
        self._decoded: torch.Tensor | None = None

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        kept: list[torch.Tensor] | None = [] if self._keeps() else None
        start = 0
        for pixels in self._pixels():
            if kept is not None and self._decoded is None:
                kept.append(pixels)
            indices = torch.arange(start, start + len(pixels))
            labels = torch.from_numpy(self.split.labels[indices.numpy()])
            start += len(pixels)
            yield self.to_device(pixels), labels.to(self.device), indices
        if kept and self._decoded is None:
            self._decoded = torch.cat(kept)

    def to_device(self, pixels: torch.Tensor) -> torch.Tensor:
        """Bytes (N, 3, s, s) to normalised images on the device."""
        pixels = pixels.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        return normalise(pixels, self.preprocessing)

    def pixels(self, index: int) -> torch.Tensor:
        """One image's bytes (3, s, s) after the test transform."""
        return _TestImages(self.split, self.preprocessing)[index]

    def _pixels(self) -> Iterator[torch.Tensor]:
        if self._decoded is not None:
            yield from self._decoded.split(self.batch_size)
            return
        yield from DataLoader(
            _TestImages(self.split, self.preprocessing),
            batch_size=self.batch_size,
            num_workers=workers(),
            pin_memory=self.device.type == "cuda",
        )

    def _keeps(self) -> bool:
        return len(self.split) * 3 * self.preprocessing.size**2 <= KEEP_BYTES


def train_batches(
    split: Split,
    preprocessing: Preprocessing,
    device: torch.device,
    *,
    augment: str,
    batch_size: int,
    seed: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of shuffled, augmented batches; ``seed`` names the run and the epoch.

    Every image is seen once; a last batch of one image joins the one before it, since batch
    normalisation has nothing to go by in a batch of one.
    """
    order = np.random.default_rng(seed).permutation(len(split))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    loader = DataLoader(
        _TrainImages(split, preprocessing, augment, seed),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers(),
        pin_memory=device.type == "cuda",
    )
    for indices, pixels in zip(batches, loader, strict=True):
        pixels = pixels.to(device, memory_format=torch.channels_last, non_blocking=True)
        labels = torch.from_numpy(split.labels[indices]).to(device)
        yield normalise(pixels, preprocessing), labels
