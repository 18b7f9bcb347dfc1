"""One picture of a bird, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from datasets.toybirds import scenery
from datasets.toybirds.bird import extent, paint_bird
from datasets.toybirds.canvas import NUMBER, REGIONS, Canvas
from datasets.toybirds.pose import draw_pose, feet, fitted, part_places
from datasets.toybirds.species import Species

Box = tuple[float, float, float, float]

# Which of the map's regions show what a group of attributes speaks of.
SHOWN_BY: dict[str, tuple[str, ...]] = {region: (region,) for region in REGIONS[1:]} | {
    "head": ("head", "crown", "eye"),
}


@dataclass(frozen=True)
class Rendered:
    """A picture and its annotations, in final pixels.

    ``box`` is x, y, width, height of the bird; ``parts`` the places of those of CUB's parts that
    are visible; ``visible`` the share of each region that nothing hides.
    """

    picture: Image.Image
    box: Box
    parts: dict[str, tuple[float, float]]
    visible: dict[str, float]


def zoom_of(pixels: int) -> int:
    """How many times finer than the final picture is painted."""
    return 3 if pixels <= 160 else 2


def render(species: Species, pixels: int, rng: np.random.Generator) -> Rendered:
    """Paint one bird of a species.

    Args:
        species: what it looks like and what must not be hidden.
        pixels: side of the square picture.
        rng: decides pose, place, light, scenery and what is in the way.
    """
    zoom = zoom_of(pixels)
    side = pixels * zoom
    pose = draw_pose(rng)
    pose = fitted(
        pose, extent(species.looks, pose), side, rng.uniform(0.62, 0.90), rng.uniform(0, 1, 2)
    )
    canvas = Canvas(scenery.background(rng, pixels), zoom)
    scenery.perch(canvas, rng, feet(pose), pose.scale)
    paint_bird(canvas, species.looks, pose, rng)

    regions = np.asarray(canvas.regions)
    bird = regions > 0
    rows, columns = np.flatnonzero(bird.any(1)), np.flatnonzero(bird.any(0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    keep = np.isin(regions, [NUMBER[name] for name in SHOWN_BY.get(species.shown, ())])
    covered = scenery.foreground(canvas, rng, (left, top, right, bottom), pose.scale, keep)

    before = np.bincount(regions.ravel(), minlength=len(REGIONS))
    after = np.bincount(regions[~covered], minlength=len(REGIONS))
    visible = {
        name: sum(after[NUMBER[r]] for r in shown) / max(1, sum(before[NUMBER[r]] for r in shown))
        for name, shown in SHOWN_BY.items()
    }
    parts = {}
    for name, at in part_places(pose).items():
        if at is not None and not covered[min(side - 1, int(at[1])), min(side - 1, int(at[0]))]:
            parts[name] = (at[0] / zoom, at[1] / zoom)
    box = _by_hand((left / zoom, top / zoom, right / zoom, bottom / zoom), pixels, rng)
    return Rendered(_lit(canvas, bird & ~covered, rng), box, parts, visible)


def _by_hand(tight: Box, pixels: int, rng: np.random.Generator) -> Box:
    """x, y, width, height as someone draws a box: round the bird, on no side quite tight.

    Of left, top, right, bottom each moves outwards by up to 22 % of the bird's extent.
    """
    left, top, right, bottom = tight
    dx, dy = right - left, bottom - top
    a, b, c, d = rng.uniform(0, 0.22, 4)
    left, top = max(0, left - a * dx), max(0, top - b * dy)
    right, bottom = min(pixels, right + c * dx), min(pixels, bottom + d * dy)
    return left, top, right - left, bottom - top


def _lit(canvas: Canvas, bird: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """The final picture: roundness of the bird, light, haze and the grain of a camera."""
    picture = canvas.picture.reduce(canvas.zoom)
    size = picture.width
    shape = Image.fromarray(bird.astype(np.uint8) * 255).reduce(canvas.zoom)
    mask = np.asarray(shape, dtype=np.float32) / 255
    height = np.asarray(shape.filter(ImageFilter.GaussianBlur(0.05 * size)), np.float32) / 255
    down, right = np.gradient(height, 1 / size)
    angle = rng.uniform(-0.7, 0.7)  # of the sun from above
    relief = (np.cos(angle) * down + np.sin(angle) * right) * 0.11
    feathers = scenery.noise(rng, size, ((size // 2, size // 3),)) * 0.035
    round_bird = 1 + mask * np.clip(relief + feathers, -0.35, 0.35)

    gain = (
        rng.uniform(0.60, 1.2)
        * (1 + 0.22 * rng.uniform(0, 1) * scenery.noise(rng, size, ((4, 4), (8, 8))))[..., None]
    )
    warmth = rng.normal(0, 0.11)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], dtype=np.float32) * gain
    contrast, haze = rng.uniform(0.80, 1.08), rng.uniform(0, 18)
    pixels = np.asarray(picture, dtype=np.float32) * round_bird[..., None] * tint
    pixels = (pixels - 110) * contrast + 110 + haze
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(1.0, 4.0)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
