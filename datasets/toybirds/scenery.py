"""What is behind, below and in front of a bird; none of it depends on the species."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from datasets.toybirds.canvas import Canvas, Colour, mix, shade, smooth

GREENS: tuple[Colour, ...] = (
    (66, 104, 48),
    (96, 132, 58),
    (128, 158, 72),
    (48, 84, 56),
    (150, 166, 88),
)
AUTUMN: tuple[Colour, ...] = ((190, 112, 40), (206, 150, 56), (156, 74, 36), (122, 92, 48))
BLOSSOM: tuple[Colour, ...] = ((232, 170, 186), (244, 214, 220), (216, 120, 150), (240, 224, 150))
BARK: tuple[Colour, ...] = ((96, 74, 56), (118, 98, 80), (78, 66, 58), (140, 126, 110))
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((92, 146, 206), (186, 214, 232)),
    ((150, 178, 200), (222, 226, 224)),
    ((204, 148, 122), (246, 216, 164)),
    ((120, 128, 146), (178, 182, 190)),
    ((70, 106, 160), (226, 190, 176)),
)
WATERS: tuple[tuple[Colour, Colour], ...] = (
    ((58, 98, 118), (134, 168, 178)),
    ((72, 96, 84), (150, 160, 130)),
    ((110, 132, 152), (190, 198, 200)),
)
EARTHS: tuple[Colour, ...] = (
    (150, 128, 96),
    (112, 98, 78),
    (176, 164, 140),
    (226, 228, 232),
    (116, 132, 66),
    (190, 152, 104),
)
ROCKS: tuple[Colour, ...] = ((138, 134, 128), (108, 104, 102), (168, 156, 138), (122, 126, 116))


def choose(rng: np.random.Generator, options: Sequence):
    """One of several, all alike likely."""
    return options[int(rng.integers(len(options)))]


def noise(rng: np.random.Generator, size: int, cells: Sequence[tuple[int, int]]) -> np.ndarray:
    """(size, size) smooth noise of about unit strength: grids of (columns, rows), each finer one
    of half the weight."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave, (columns, rows) in enumerate(cells):
        grid = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
        fine = grid.resize((size, size), Image.Resampling.BICUBIC)
        total += np.asarray(fine) * 0.5**octave
    return total


def _blend(low: Colour, high: Colour, share: np.ndarray) -> np.ndarray:
    """Colours between two, by a (h, w) share that is clipped to [0, 1]."""
    share = np.clip(share, 0, 1)[..., None].astype(np.float32)
    return np.asarray(low, np.float32) * (1 - share) + np.asarray(high, np.float32) * share


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _down(size: int) -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, size, dtype=np.float32)[:, None], (size, size))


# ------------------------------------------------------------------------------------ backgrounds


def _sky(rng: np.random.Generator, size: int) -> Image.Image:
    top, bottom = choose(rng, SKIES)
    pixels = _blend(top, bottom, _down(size) + rng.uniform(-0.2, 0.2))
    clouds = noise(rng, size, ((3, 4), (6, 8), (12, 16))) - rng.uniform(0.2, 1.2)
    return _picture(pixels + np.clip(clouds, 0, 1)[..., None] * (245 - pixels) * 0.8)


def _spots_of_light(
    picture: Image.Image, rng: np.random.Generator, colours: Sequence[Colour], count: int
) -> Image.Image:
    draw = ImageDraw.Draw(picture, "RGBA")
    size = picture.width
    for _ in range(count):
        x, y = rng.uniform(-0.1, 1.1, 2) * size
        r = rng.uniform(0.03, 0.13) * size
        draw.ellipse(
            (x - r, y - r, x + r, y + r), fill=(*choose(rng, colours), int(rng.integers(70, 190)))
        )
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.012, 0.035) * size))


def _foliage(rng: np.random.Generator, size: int) -> Image.Image:
    colours = choose(rng, (GREENS, GREENS, AUTUMN))
    low, high = shade(choose(rng, colours), rng.uniform(0.4, 0.8)), choose(rng, colours)
    base = _picture(_blend(low, high, 0.5 + 0.5 * noise(rng, size, ((3, 3), (7, 7)))))
    lights = [shade(colour, rng.uniform(0.6, 1.5)) for colour in (*colours, choose(rng, SKIES)[1])]
    return _spots_of_light(base, rng, lights, 26)


def _blossoms(rng: np.random.Generator, size: int) -> Image.Image:
    base = _picture(
        _blend((64, 92, 56), (150, 172, 110), 0.5 + 0.5 * noise(rng, size, ((3, 3), (6, 6))))
    )
    return _spots_of_light(base, rng, (*BLOSSOM, (120, 150, 80)), 34)


def _woodland(rng: np.random.Generator, size: int) -> Image.Image:
    low, high = choose(rng, (((34, 46, 34), (104, 128, 84)), ((60, 54, 46), (168, 156, 132))))
    base = _picture(_blend(low, high, 0.5 + 0.5 * noise(rng, size, ((3, 2), (8, 5)))))
    draw = ImageDraw.Draw(base)
    for _ in range(int(rng.integers(2, 6))):
        x, width, lean = (
            rng.uniform(0, size),
            rng.uniform(0.03, 0.14) * size,
            rng.normal(0, 0.06) * size,
        )
        draw.line((x, -2, x + lean, size + 2), fill=shade(choose(rng, BARK), rng.uniform(0.5, 1.0)),
                  width=max(1, int(width)))  # fmt: skip
    return base.filter(ImageFilter.GaussianBlur(rng.uniform(0.008, 0.025) * size))


def _water(rng: np.random.Generator, size: int) -> Image.Image:
    low, high = choose(rng, WATERS)
    waves = noise(rng, size, ((2, 14), (4, 30), (8, 48)))
    return _picture(_blend(low, high, 0.9 - 0.8 * _down(size) + 0.3 * waves))


def _meadow(rng: np.random.Generator, size: int) -> Image.Image:
    far = choose(rng, SKIES)[1]
    low, high = choose(rng, (GREENS, GREENS, AUTUMN))[:2]
    share = _down(size) * 2.5 - rng.uniform(0.1, 1.0) + 0.12 * noise(rng, size, ((4, 3), (9, 4)))
    pixels = _blend(far, mix(low, far, 0.25), share)
    blades = noise(rng, size, ((size // 3, 5), (size // 2, 9)))
    pixels += np.clip(share - 0.5, 0, 1)[..., None] * blades[..., None] * (
        np.asarray(high, np.float32) - 60) * 0.22  # fmt: skip
    return _picture(pixels)


def _rock(rng: np.random.Generator, size: int) -> Image.Image:
    colour = choose(rng, ROCKS + EARTHS)
    rough = noise(rng, size, ((4, 4), (9, 9), (20, 20), (40, 40)))
    return _picture(_blend(shade(colour, 0.55), shade(colour, 1.25), 0.5 + 0.35 * rough))


BACKGROUNDS: tuple[Callable[[np.random.Generator, int], Image.Image], ...] = (
    _sky, _sky, _foliage, _foliage, _foliage, _blossoms, _woodland, _water, _meadow, _rock,
)  # fmt: skip


def background(rng: np.random.Generator, size: int) -> Image.Image:
    """A landscape out of focus, ``size`` pixels square."""
    return choose(rng, BACKGROUNDS)(rng, size)


# ------------------------------------------------------------------------------------------ perches


def _branch(canvas: Canvas, rng: np.random.Generator, feet: np.ndarray, unit: float) -> None:
    side = canvas.size[0]
    near, far = feet
    slope = float(np.clip((near[1] - far[1]) / (near[0] - far[0] or 1.0), -0.5, 0.5))
    middle = feet.mean(0)
    width = rng.uniform(0.08, 0.17) * unit
    bend = rng.normal(0, 0.10) * unit
    x = np.linspace(-0.1 * side, 1.1 * side, 9)
    away = (x - middle[0]) / side
    y = middle[1] + 0.45 * width + slope * (x - middle[0]) + bend * (away**2) * 4
    line = np.stack([x, y], 1)
    colour = choose(rng, BARK)
    for _ in range(int(rng.integers(0, 4))):
        root = line[int(rng.integers(1, 8))]
        tip = root + rng.normal(0, 0.4, 2) * unit - (0, 0.2 * unit)
        canvas.line(np.array([root, tip]), shade(colour, 0.85), 0.35 * width)
        for _ in range(int(rng.integers(0, 3))):
            _paint_leaf(canvas, tip, rng.uniform(0, 6.3), 0.30 * unit, choose(rng, GREENS + AUTUMN))
    canvas.line(line, shade(colour, 0.7), width)
    canvas.line(line - (0, 0.12 * width), colour, 0.72 * width)
    canvas.line(line - (0, 0.28 * width), shade(colour, 1.25), 0.22 * width)


def _ground(canvas: Canvas, rng: np.random.Generator, feet: np.ndarray, unit: float) -> None:
    side = canvas.size[0]
    colour = choose(rng, EARTHS)
    level = feet[:, 1].max() - 0.06 * unit
    x = np.linspace(-0.05 * side, 1.05 * side, 7)
    edge = np.stack([x, level + np.abs(rng.normal(0, 0.02, 7)) * unit], 1)
    for step, light in ((0.0, 1.0), (0.10, 0.93), (0.24, 0.86)):
        layer = edge + np.array((0, step * unit))
        below = [(1.1 * side, 1.1 * side), (-0.1 * side, 1.1 * side)]
        canvas.polygon(np.concatenate([layer, below]), shade(colour, light))
    for _ in range(14):
        at = np.array(
            [rng.uniform(0, side), rng.uniform(level + 0.05 * unit, max(side, level + unit))]
        )
        canvas.disc(at, rng.uniform(0.012, 0.04) * unit, shade(colour, rng.uniform(0.7, 1.2)))
    middle = feet.mean(0)
    shadow = middle + smooth([(-0.5, 0), (0, -0.06), (0.5, 0), (0, 0.08)]) * unit
    canvas.polygon(shadow, shade(colour, 0.68))


def _boulder(canvas: Canvas, rng: np.random.Generator, feet: np.ndarray, unit: float) -> None:
    middle = feet.mean(0) - np.array((0, 0.03 * unit))
    outline = np.array([
        (-0.75, 0.10), (-0.3, 0.0), (0.0, -0.01), (0.3, 0.0), (0.7, 0.06), (1.1, 0.35), (1.5, 1.0),
        (1.9, 3.0), (-1.8, 3.0), (-1.4, 0.9), (-1.1, 0.40),
    ]) * (rng.uniform(0.6, 1.4), 1)  # fmt: skip
    outline[[0, 4, 5, 6, 9, 10]] += rng.normal(0, 0.06, (6, 2))
    colour = choose(rng, ROCKS)
    canvas.polygon(middle + smooth(outline) * unit, colour)
    for step, light in ((0.16, 0.88), (0.36, 0.76)):
        lower = outline * (1, 1) + (rng.normal(0, 0.1), step + 0.05)
        canvas.polygon(middle + smooth(lower) * unit, shade(colour, light))
    for _ in range(18):
        at = middle + np.array((rng.normal(0, 0.6), rng.uniform(0.08, 1.2))) * unit
        canvas.disc(at, rng.uniform(0.01, 0.03) * unit, shade(colour, rng.uniform(0.6, 1.15)))


def _wire(canvas: Canvas, rng: np.random.Generator, feet: np.ndarray, unit: float) -> None:
    side, middle = canvas.size[0], feet.mean(0)
    slope = rng.normal(0, 0.05)
    ends = np.array([(-side, -side * slope), (side, side * slope)]) + middle + (0, 0.02 * unit)
    canvas.line(ends, shade(choose(rng, ROCKS), 0.5), 0.05 * unit)


PERCHES: tuple[Callable[[Canvas, np.random.Generator, np.ndarray, float], None], ...] = (
    _branch, _branch, _branch, _ground, _boulder, _wire,
)  # fmt: skip


def perch(canvas: Canvas, rng: np.random.Generator, feet: np.ndarray, unit: float) -> None:
    """Something to stand on under (2, 2) feet; ``unit`` is the bird's scale in pixels."""
    choose(rng, PERCHES)(canvas, rng, feet, unit)


# ------------------------------------------------------------------------------ what is in the way

_LEAF = np.array([(0, 0), (0.3, 0.20), (0.65, 0.17), (1, 0), (0.65, -0.17), (0.3, -0.20)])


def leaf(root: np.ndarray, angle: float, length: float) -> np.ndarray:
    """Outline of a leaf in canvas pixels."""
    cos, sin = np.cos(angle), np.sin(angle)
    return smooth(_LEAF * length, 4) @ np.array([[cos, sin], [-sin, cos]]) + root


def _paint_leaf(
    canvas: Canvas, root: np.ndarray, angle: float, length: float, colour: Colour
) -> None:
    canvas.polygon(leaf(root, angle, length), colour)
    tip = root + np.array([np.cos(angle), np.sin(angle)]) * length * 0.9
    canvas.line(np.array([root, tip]), shade(colour, 1.25), 0.05 * length)


def _twig(
    rng: np.random.Generator, side: float, aim: np.ndarray, unit: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A twig from beyond the frame towards a place: its line, and (root, tip) of its leaves."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-way[1], way[0]])
    along = np.linspace(0, 1.0, 12)[:, None]
    bend = rng.normal(0, 0.25) * unit
    line = aim - way * along * side + across * bend * along**2
    leaves = []
    for number in range(int(rng.integers(3, 8))):
        root = line[number // 2]
        lean = angle + (0.7, -0.7)[number % 2] + rng.normal(0, 0.25)
        length = rng.uniform(0.28, 0.50) * unit
        leaves.append(np.array([root, root + length * np.array([np.cos(lean), np.sin(lean)])]))
    return line, leaves


def _blades(
    rng: np.random.Generator, side: float, aim: np.ndarray, unit: float
) -> list[np.ndarray]:
    """Outlines of a tuft of grass from below the frame."""
    found = []
    for _ in range(int(rng.integers(4, 10))):
        root = np.array([aim[0] + rng.normal(0, 0.3) * unit, side * 1.02])
        tip = np.array([root[0] + rng.normal(0, 0.25) * unit, aim[1] + rng.normal(0, 0.15) * unit])
        middle = (root + tip) / 2 + (rng.normal(0, 0.06) * unit, 0)
        half = np.array([rng.uniform(0.015, 0.03) * unit, 0])
        found.append(np.array([root - half, middle - half, tip, middle + half, root + half]))
    return found


def foreground(
    canvas: Canvas,
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    unit: float,
    keep: np.ndarray,
) -> np.ndarray:
    """Twigs with leaves and tufts of grass before the bird.

    Args:
        canvas: painted on; its map of regions stays as it is.
        rng: source of chance.
        box: left, top, right, bottom of the bird in canvas pixels.
        unit: the bird's scale in canvas pixels.
        keep: (side, side) bool, canvas pixels that must stay free.

    Returns:
        (side, side) bool, what is covered.
    """
    covered = np.zeros(keep.shape, dtype=bool)
    colours = choose(rng, (GREENS, GREENS, AUTUMN))
    side = float(canvas.size[0])

    def free(outline: np.ndarray) -> bool:
        where, shape = canvas.covered(outline)
        if (shape & keep[where]).any():
            return False
        covered[where] |= shape
        return True

    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.35, 0.35, 0.2, 0.1)))):
        aim = np.array([rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])])
        colour = shade(choose(rng, colours), rng.uniform(0.75, 1.2))
        if rng.random() < 0.25:
            for blade in _blades(rng, side, aim, unit):
                if free(blade):
                    canvas.polygon(blade, shade(colour, rng.uniform(0.85, 1.15)))
            continue
        line, leaves = _twig(rng, side, aim, unit)
        half = np.array([0.012 * unit, 0.012 * unit])
        if free(np.concatenate([line - half, line[::-1] + half])):
            canvas.line(line, choose(rng, BARK), 0.03 * unit)
        for root, tip in leaves:
            way = tip - root
            angle, length = float(np.arctan2(way[1], way[0])), float(np.hypot(*way))
            if free(leaf(root, angle, length)):
                _paint_leaf(canvas, root, angle, length, shade(colour, rng.uniform(0.85, 1.15)))
    return covered
