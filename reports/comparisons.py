"""What tells two similar classes apart: the features that both have and those of one alone.

Drawn for every classifier whose run left ``comparisons.json`` and ``comparisons.npz`` among its
artifacts (those with binary weights do), as figure 1 of the QPM paper: two rows, one for each
class, and a column for each feature, with its heat map over an example image.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmark.contracts import UserError
from reports.style import INK, MUTED, SERIES, SURFACE

TILE = 224  # pixels of a tile's longer side; two device pixels for each one on the page


@dataclass(frozen=True)
class Tile:
    """A feature over a class's example image. ``pixels`` (H, W, 3) uint8; ``assigned`` says
    whether the class's score contains the feature."""

    pixels: np.ndarray
    assigned: bool


@dataclass(frozen=True)
class FeatureColumn:
    """A feature: its number, its colour, and its tile for the first and the second class."""

    feature: int
    colour: str
    group: str
    tiles: tuple[Tile, Tile]


@dataclass(frozen=True)
class Comparison:
    """Two classes side by side. ``examples`` are their images, (H, W, 3) uint8."""

    names: tuple[str, str]
    similarity: float | None
    examples: tuple[np.ndarray, np.ndarray]
    columns: tuple[FeatureColumn, ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Neighbouring columns of one kind: what they have in common and how many they are."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

    def described(self) -> str:
        """One sentence on what is shared and what differs."""
        both = sum(a.assigned and b.assigned for a, b in (c.tiles for c in self.columns))
        own = [sum(c.tiles[i].assigned for c in self.columns) - both for i in (0, 1)]
        return (
            f"{_counted(both)} {'is' if both == 1 else 'are'} shared; {_counted(own[0])} "
            f"only {self.names[0]} has, {_counted(own[1])} only {self.names[1]}."
        )


def _counted(n: int) -> str:
    return f"{n} feature" if n == 1 else f"{n} features"


def read(artifacts: Path, limit: int = 3) -> list[Comparison]:
    """The comparisons among a cell's artifacts, most similar classes first; empty without any.

    Raises :class:`UserError` naming the file if it cannot be understood.
    """
    index, arrays = artifacts / "comparisons.json", artifacts / "comparisons.npz"
    if not (index.exists() and arrays.exists()):
        return []
    try:
        entries = list(enumerate(json.loads(index.read_text(encoding="utf-8"))))
        entries.sort(key=lambda entry: -(entry[1].get("similarity") or 0.0))
        with np.load(arrays, allow_pickle=False) as archive:
            return [_comparison(place, entry, archive) for place, entry in entries[:limit]]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"The class comparisons in {artifacts} cannot be read ({type(error).__name__}: "
            f"{error}): delete that folder and run again to have them written anew."
        ) from error


def _comparison(place: int, entry: dict, archive: np.lib.npyio.NpzFile) -> Comparison:
    images = [archive[f"image_{place}_{side}"] for side in (0, 1)]
    maps = normalised(*(archive[f"maps_{place}_{side}"] for side in (0, 1)))
    names = (readable(entry["names"][0]), readable(entry["names"][1]))
    titles = {(True, False): f"only {names[0]}", (False, True): f"only {names[1]}"}
    columns = []
    for i, feature in enumerate(entry["features"]):
        assigned = (bool(feature["first"]), bool(feature["second"]))
        colour = SERIES[i % len(SERIES)]
        tiles = [
            Tile(overlay(images[side], maps[side][i], colour), assigned[side]) for side in (0, 1)
        ]
        group = titles.get(assigned, "shared by both")
        columns.append(FeatureColumn(int(feature["feature"]), colour, group, (tiles[0], tiles[1])))
    examples = (enlarged(images[0]), enlarged(images[1]))
    return Comparison(names, entry.get("similarity"), examples, tuple(columns))


def readable(name: str) -> str:
    """A class's name as people write it, without the number and the underscores of a folder.

    >>> readable("005.Crested_Auklet"), readable("Golden Delicious")
    ('Crested Auklet', 'Golden Delicious')
    """
    return re.sub(r"^\d+\.", "", str(name)).replace("_", " ") or str(name)


def normalised(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps (k, h, w) of two images brought to [0, 1] for each feature over both images together,
    so that a feature which only one of them shows stays dark on the other.

    >>> a, b = normalised(np.array([[[0.0, 4.0]]]), np.array([[[1.0, 2.0]]]))
    >>> a.tolist(), b.tolist()
    ([[[0.0, 1.0]]], [[[0.25, 0.5]]])
    """
    stacked = np.stack([first, second], axis=1).astype(np.float64)  # (k, 2, h, w)
    low = stacked.min(axis=(1, 2, 3), keepdims=True)
    span = stacked.max(axis=(1, 2, 3), keepdims=True) - low
    scaled = np.divide(stacked - low, span, out=np.zeros_like(stacked), where=span > 0)
    return scaled[:, 0], scaled[:, 1]


def enlarged(image: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) uint8 with its longer side at :data:`TILE` pixels (Lanczos)."""
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def overlay(image: np.ndarray, heat: np.ndarray, colour: str) -> np.ndarray:
    """The image (H, W, 3) uint8 in pale grey, tinted by the heat map (h, w) in [0, 1].

    The map is enlarged bilinearly. The tint keeps light and shade, so that what the feature looks
    at stays recognisable beneath it.
    """
    picture = enlarged(image).astype(np.float64)
    size = (picture.shape[1], picture.shape[0])
    heat_map = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    strength = 0.85 * np.clip(np.asarray(heat_map, dtype=np.float64), 0.0, 1.0)[..., None]
    grey = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    tint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)
    pale = 0.65 * grey + 84.0
    tinted = tint * (0.5 + 0.75 * grey / 255)
    mixed = (1 - strength) * pale + strength * tinted
    return mixed.clip(0, 255).astype(np.uint8)


def figure(comparison: Comparison) -> Figure:
    """The comparison as a figure for print."""
    n = len(comparison.columns)
    result = Figure(figsize=(1.2 * (n + 1), 3.5), layout="constrained")
    grid = result.subplots(2, n + 1, squeeze=False)
    for row, example in enumerate(comparison.examples):
        grid[row, 0].imshow(example)
        grid[row, 0].set_xlabel(_wrapped(comparison.names[row]), fontsize=7, color=INK)
        grid[row, 0].spines[:].set_visible(False)
        for place, column in enumerate(comparison.columns, 1):
            tile, axes = column.tiles[row], grid[row, place]
            axes.imshow(tile.pixels, alpha=1.0 if tile.assigned else 0.45)
            axes.set_xlabel("" if tile.assigned else "not assigned", fontsize=7, color=MUTED)
            if row == 0:
                title = f"feature {column.feature}\n{_wrapped(column.group)}"
                axes.set_title(title, fontsize=7, color=column.colour)
            for spine in axes.spines.values():
                spine.set(color=column.colour, linewidth=2.0 if tile.assigned else 0.8)
                spine.set_linestyle("-" if tile.assigned else ":")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], facecolor=SURFACE)
    return result


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, width=18, max_lines=2, placeholder=" …"))
