"""Drawing with shapes: smooth outlines, a picture, and a map of which region shows where."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
REGIONS = (
    "nothing", "bill", "crown", "head", "eye", "throat", "breast", "belly", "back", "wing",
    "tail", "leg",
)  # fmt: skip
NUMBER = {name: number for number, name in enumerate(REGIONS)}


@cache
def _spline(points: int, steps: int) -> np.ndarray:
    """(points * steps, points): closed Catmull-Rom curve as a linear map of its points."""
    t = np.arange(steps) / steps
    weights = 0.5 * np.stack([
        -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3,
    ])  # fmt: skip
    matrix = np.zeros((points, steps, points))
    for i in range(points):
        for offset in range(4):
            matrix[i, :, (i + offset - 1) % points] += weights[offset]
    return matrix.reshape(points * steps, points)


def smooth(points: Sequence[Sequence[float]] | np.ndarray, steps: int = 6) -> np.ndarray:
    """A smooth closed outline through points.

    >>> smooth([(0, 0), (1, 0), (1, 1), (0, 1)], steps=2)[:3].tolist()
    [[0.0, 0.0], [0.5, -0.125], [1.0, 0.0]]
    """
    points = np.asarray(points, dtype=float)
    return _spline(len(points), steps) @ points


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """``share`` of another colour mixed in.

    >>> mix((0, 0, 0), (200, 100, 0), 0.5)
    (100, 50, 0)
    """
    red, green, blue = (
        round(a + (b - a) * share) for a, b in zip(colour, other, strict=True)
    )  # fmt: skip
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """Lighter (above 1) or darker, kept within bytes.

    >>> shade((100, 200, 50), 1.5)
    (150, 255, 75)
    """
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


class Canvas:
    """A picture at several times its final size, and beside it the region of each pixel."""

    def __init__(self, background: Image.Image, zoom: int) -> None:
        self.zoom = zoom
        size = (background.width * zoom, background.height * zoom)
        self.picture = background.resize(size, Image.Resampling.BILINEAR)
        self.regions = Image.new("L", size, 0)
        self._draw = ImageDraw.Draw(self.picture)
        self._draw_region = ImageDraw.Draw(self.regions)

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size

    def polygon(self, outline: np.ndarray, colour: Colour, region: str = "") -> None:
        """Fill an outline of (n, 2) canvas pixels; without a region the map stays as it is."""
        flat = outline.ravel().tolist()
        self._draw.polygon(flat, fill=colour)
        if region:
            self._draw_region.polygon(flat, fill=NUMBER[region])

    def line(self, points: np.ndarray, colour: Colour, width: float, region: str = "") -> None:
        """A line with round ends through (n, 2) canvas pixels."""
        flat, thick = points.ravel().tolist(), max(1, round(width))
        for draw, fill in ((self._draw, colour), (self._draw_region, NUMBER.get(region, 0))):
            if draw is self._draw or region:
                draw.line(flat, fill=fill, width=thick, joint="curve")
                if thick > 2:
                    for x, y in (points[0], points[-1]):
                        r = thick / 2 - 0.5
                        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def disc(self, centre: np.ndarray, radius: float, colour: Colour, region: str = "") -> None:
        """A filled circle."""
        (x, y), r = centre, radius
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        if region:
            self._draw_region.ellipse((x - r, y - r, x + r, y + r), fill=NUMBER[region])

    def mask(self, *outlines: np.ndarray) -> Image.Image:
        """White inside the outlines, black elsewhere."""
        mask = Image.new("L", self.size, 0)
        draw = ImageDraw.Draw(mask)
        for outline in outlines:
            draw.polygon(outline.ravel().tolist(), fill=255)
        return mask

    def covered(self, outline: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
        """Where an outline lies: the rows and columns around it, and a boolean for each pixel."""
        low = np.maximum(np.floor(outline.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(outline.max(0)) + 1, self.size).astype(int)
        width, height = np.maximum(high - low, 0).tolist()
        shape = Image.new("L", (width, height), 0)
        if width and height:
            ImageDraw.Draw(shape).polygon((outline - low).ravel().tolist(), fill=255)
        where = slice(int(low[1]), int(low[1]) + height), slice(int(low[0]), int(low[0]) + width)
        return where, np.asarray(shape) > 0

    def stamp(self, mask: Image.Image, colour: Colour, region: str = "") -> None:
        """Paint through a mask (white paints)."""
        where = mask.getbbox()
        if where is None:
            return
        part = mask.crop(where)
        self.picture.paste(colour, where, part)
        if region:
            sharp = part.point(_HALF)
            self.regions.paste(NUMBER[region], where, sharp)


_HALF = [255 * (value > 127) for value in range(256)]


def both(mask: Image.Image, other: Image.Image) -> Image.Image:
    """Where two masks agree."""
    return ImageChops.darker(mask, other)
