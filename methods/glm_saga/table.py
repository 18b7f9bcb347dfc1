"""A feature table as the solver reads it: standardised, transposed, in blocks of rows.

Features are standardised with the training table's mean and population standard deviation
(floor 1e-5) and carry one more row of ones, so that the bias is the last column of the weights.
A table that fits the memory budget is standardised once and kept; a larger one, say a
``numpy.memmap``, is read and standardised block by block in every pass, so that memory does not
grow with the number of rows.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

DEVIATION_FLOOR = 1e-5
BLOCK_FEATURES = 2**24  # elements of a block's features: 64 MiB in float32
# Elements of a block's logits: on a CPU as many as its cache holds, for a dozen passes go over
# them; other devices like large blocks.
BLOCK_LOGITS = {"cpu": 2**18}
BLOCK_LOGITS_ELSEWHERE = 2**25
MEMORY = 2**30  # bytes: tables above it are streamed

Features = np.ndarray | torch.Tensor


@dataclass
class Block:
    """Rows of a table: ``z`` (d + 1, m) standardised features over a row of ones, ``y`` (m,)."""

    z: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True)
class Table:
    """Standardised features (n, d) and labels (n,), read by :meth:`blocks`.

    ``columns`` restricts the features that are read; ``kept`` holds the blocks of a table that
    stays in memory, and is None for one that is streamed.
    """

    features: Features
    labels: torch.Tensor  # (n,) int64, on the device
    mean: torch.Tensor  # (d,) float64
    deviation: torch.Tensor  # (d,) float64
    n_classes: int
    rows: int  # of one block
    dtype: torch.dtype = torch.float32
    columns: torch.Tensor | None = None
    kept: tuple[Block, ...] | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def width(self) -> int:
        """Rows of a block's ``z``: the features that are read, and the ones for the bias."""
        return 1 + (len(self.mean) if self.columns is None else len(self.columns))

    def blocks(self) -> Iterator[Block]:
        """All rows once, in order."""
        if self.kept is not None:
            yield from self.kept
        else:
            yield from self._read()

    def _read(self) -> Iterator[Block]:
        mean, scale = self.mean.to(self.dtype), (1 / self.deviation).to(self.dtype)
        if self.columns is not None:
            mean, scale = mean[self.columns], scale[self.columns]
        for start, x in _row_blocks(self.features, self.rows, self.device):
            if self.columns is not None:
                x = x.index_select(1, self.columns)
            rows = torch.ones(len(x), self.width, dtype=self.dtype, device=self.device)
            torch.sub(x.to(self.dtype), mean, out=rows[:, :-1]).mul_(scale)
            yield Block(rows.T, self.labels[start : start + len(x)])

    def keep(self) -> Table:
        """The same table with its blocks in memory."""
        kept = tuple(Block(block.z.contiguous(), block.y) for block in self._read())
        return replace(self, kept=kept)

    def restrict(self, columns: torch.Tensor) -> Table:
        """The same rows with only these features (k,), in this order."""
        kept = None
        if self.kept is not None:
            with_ones = torch.cat([columns, columns.new_tensor([self.width - 1])])
            kept = tuple(Block(block.z[with_ones], block.y) for block in self.kept)
        return replace(self, columns=columns, kept=kept)


def open_table(
    features: Features,
    labels: Any,
    n_classes: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    memory: int = MEMORY,
    moments: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> Table:
    """Check a feature table (n, d) and its labels (n,), and standardise it.

    ``moments`` are the mean and deviation (d,) to standardise with, by default the table's own.
    Tables of more than ``memory`` bytes (as ``dtype``) are streamed.
    Raises ValueError for shapes that do not fit, labels outside [0, n_classes), fewer than two
    classes, no rows, and features that are not finite.
    """
    y = torch.as_tensor(np.asarray(labels) if not isinstance(labels, torch.Tensor) else labels)
    if features.ndim != 2 or y.ndim != 1 or len(features) != len(y):
        raise ValueError(
            f"features must be (n, d) and labels (n,): got {tuple(features.shape)} and "
            f"{tuple(y.shape)}."
        )
    if isinstance(features, torch.Tensor):
        features = features.detach()
    n, d = features.shape
    if n == 0 or d == 0:
        raise ValueError(f"features must have rows and columns: got {n} x {d}.")
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2: got {n_classes}.")
    if int(y.min()) < 0 or int(y.max()) >= n_classes:
        raise ValueError(
            f"labels must lie in [0, {n_classes}): got {int(y.min())} to {int(y.max())}."
        )
    if device is None:
        device = features.device if isinstance(features, torch.Tensor) else "cpu"
    device = torch.device(device)
    logits = BLOCK_LOGITS.get(device.type, BLOCK_LOGITS_ELSEWHERE)
    rows = max(1, min(n, BLOCK_FEATURES // (d + 1), logits // n_classes))
    mean, deviation = moments if moments is not None else _moments(features, rows, device)
    table = Table(
        features=features,
        labels=y.to(device=device, dtype=torch.int64),
        mean=mean.to(device=device, dtype=torch.float64),
        deviation=deviation.to(device=device, dtype=torch.float64),
        n_classes=n_classes,
        rows=rows,
        dtype=dtype,
    )
    return table.keep() if n * (d + 1) * dtype.itemsize <= memory else table


def _moments(
    features: Features, rows: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and population standard deviation (floor 1e-5) of every column, in float64.

    Blocks are merged by their means and sums of squares (Chan, Golub & LeVeque 1983), so that
    no digits cancel.
    """
    count = 0
    mean = squares = torch.zeros(features.shape[1], dtype=torch.float64, device=device)
    for _, x in _row_blocks(features, rows, device):
        x = x.double()
        here, m = x.mean(0), len(x)
        shift, total = here - mean, count + m
        squares = squares + ((x - here) ** 2).sum(0) + shift**2 * (count * m / total)
        mean = mean + shift * (m / total)
        count = total
    if not bool(torch.isfinite(squares).all()):
        raise ValueError("features must be finite: some are NaN or infinite.")
    return mean, (squares / count).sqrt().clamp_min(DEVIATION_FLOOR)


def _row_blocks(
    features: Features, rows: int, device: torch.device
) -> Iterator[tuple[int, torch.Tensor]]:
    """``(first row, rows on the device)``; pages of a memory map are given back once read."""
    release = _page_release(features)
    for start in range(0, len(features), rows):
        part = features[start : start + rows]
        if isinstance(part, np.ndarray):
            part = torch.from_numpy(np.array(part))  # a copy: the map may be read-only
        yield start, part.to(device)
        release()


def _page_release(features: Features) -> Any:
    """A function that drops the resident pages of a memory map; nothing is lost by it.

    Without it a whole mapped file counts as this process's memory after the first pass. A
    copy-on-write map is left alone: its changes live in those pages only.
    """
    if (
        isinstance(features, np.memmap)
        and getattr(features, "mode", "c") != "c"
        and hasattr(mmap, "MADV_DONTNEED")
    ):
        base: Any = features
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        if base is not None:
            return lambda: base.madvise(mmap.MADV_DONTNEED)
    return lambda: None
