"""Painting a bird: outlines in its own frame, plumage by its species' looks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from datasets.toybirds.canvas import Canvas, Colour, both, mix, shade, smooth
from datasets.toybirds.pose import (
    HIPS,
    TAIL_ROOT,
    Pose,
    feet,
    head,
    knees,
    place,
    rotation,
    tail_axis,
)
from datasets.toybirds.species import HORN, IRIS, PLUMAGE, Looks

BODY = np.array([
    (0.26, 0.52), (0.02, 0.38), (-0.30, 0.17), (-0.58, -0.06), (-0.74, -0.20), (-0.70, -0.31),
    (-0.45, -0.47), (-0.10, -0.56), (0.26, -0.47), (0.54, -0.16), (0.64, 0.12), (0.66, 0.34),
    (0.50, 0.50),
])  # fmt: skip
HEAD = np.array([
    (0.79, 0.50), (0.74, 0.66), (0.60, 0.76), (0.44, 0.76), (0.30, 0.66), (0.24, 0.48),
    (0.30, 0.30), (0.48, 0.20), (0.66, 0.26), (0.76, 0.38),
])  # fmt: skip
CROWN = np.array([
    (0.90, 0.56), (0.72, 0.605), (0.52, 0.59), (0.34, 0.50), (0.16, 0.42), (0.10, 0.70),
    (0.40, 1.0), (0.90, 0.90),
])  # fmt: skip
CREST = np.array([
    (0.68, 0.66), (0.58, 0.86), (0.40, 0.98), (0.14, 1.04), (0.22, 0.84), (0.24, 0.60),
    (0.45, 0.56),
])  # fmt: skip
THROAT = np.array([
    (0.95, 0.44), (0.74, 0.40), (0.58, 0.36), (0.44, 0.26), (0.37, 0.10), (0.55, -0.02),
    (0.92, 0.02),
])  # fmt: skip
BREAST = np.array([
    (0.85, 0.20), (0.60, 0.18), (0.34, 0.14), (0.18, -0.05), (0.08, -0.26), (0.16, -0.46),
    (0.55, -0.58), (0.95, -0.15),
])  # fmt: skip
BELLY = np.array([
    (0.34, -0.18), (0.20, -0.14), (-0.10, -0.10), (-0.40, -0.14), (-0.66, -0.22), (-0.90, -0.32),
    (-0.60, -0.70), (0.10, -0.80), (0.50, -0.60),
])  # fmt: skip
COVERTS = np.array([
    (0.26, 0.16), (0.18, 0.29), (0.02, 0.32), (-0.16, 0.25), (-0.32, 0.10), (-0.32, -0.04),
    (-0.18, -0.14), (0.04, -0.11), (0.20, 0.02),
])  # fmt: skip
MASK = np.array([
    (0.84, 0.52), (0.70, 0.60), (0.50, 0.60), (0.24, 0.50), (0.26, 0.40), (0.50, 0.43),
    (0.70, 0.42),
])  # fmt: skip
EYEBROW = np.array([
    (0.82, 0.60), (0.66, 0.68), (0.46, 0.665), (0.20, 0.54), (0.22, 0.47), (0.46, 0.575),
    (0.66, 0.605),
])  # fmt: skip
EYE = np.array([[0.61, 0.52]])

BILLS: dict[str, np.ndarray] = {
    "cone": np.array([(0.71, 0.62), (0.86, 0.59), (1.02, 0.44), (0.86, 0.35), (0.71, 0.33)]),
    "dagger": np.array([(0.72, 0.57), (0.95, 0.53), (1.26, 0.46), (0.95, 0.41), (0.72, 0.39)]),
    "hooked": np.array([
        (0.71, 0.62), (0.90, 0.62), (1.06, 0.51), (1.07, 0.30), (0.98, 0.39), (0.86, 0.39),
        (0.72, 0.34),
    ]),
    "curved": np.array([
        (0.72, 0.57), (0.92, 0.58), (1.13, 0.47), (1.25, 0.16), (1.08, 0.35), (0.90, 0.43),
        (0.72, 0.40),
    ]),
}  # fmt: skip

# Feathers of a tail: (angle to the tail's axis, length, width), from below to above.
TAILS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "forked": tuple((a, 0.50 + 1.1 * abs(a), 0.11) for a in (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3)),
    "fan_shaped": tuple((a, 0.62 - 0.25 * a * a, 0.17) for a in np.linspace(-0.62, 0.62, 9)),
    "pointed": tuple((a, 1.02 - 2.6 * abs(a), 0.10) for a in (-0.12, 0.12, -0.06, 0.06, 0.0)),
    "squared": tuple((a, 0.52, 0.13) for a in (-0.14, -0.07, 0.07, 0.14, 0.0)),
}  # fmt: skip
PALE: Colour = (246, 242, 232)
DARK: Colour = (40, 34, 32)


def extent(looks: Looks, pose: Pose) -> np.ndarray:
    """(n, 2) points of the bird's frame that span it, the feet apart."""
    tips = np.concatenate([feather[2:5] for feather in _tail_feathers(looks, pose)])
    crest = CREST if looks["has_head_pattern"] == "crested" else HEAD
    return np.concatenate(
        [
            BODY,
            tips,
            head(HEAD, pose),
            head(crest, pose),
            head(BILLS[looks["has_bill_shape"]], pose),
        ]
    )


def paint_bird(canvas: Canvas, looks: Looks, pose: Pose, rng: np.random.Generator) -> None:
    """Paint a bird onto a canvas, from what is far to what is near."""
    colours = _individual(looks, rng)
    _paint_leg(canvas, pose, colours["leg"], 1)
    _paint_tail(canvas, looks, pose, colours["tail"])
    body = canvas.mask(place(smooth(BODY), pose), place(smooth(head(HEAD, pose)), pose))
    canvas.stamp(body, colours["back"], "back")
    _paint_underside(canvas, looks, pose, colours, body, rng)
    _paint_leg(canvas, pose, colours["leg"], 0)
    _paint_wing(canvas, looks, pose, colours["wing"])
    _paint_head(canvas, looks, pose, colours)


def _individual(looks: Looks, rng: np.random.Generator) -> dict[str, Colour]:
    """Colours of this one bird: its species' with a little of its own."""

    def own(colour: Colour) -> Colour:
        near = np.clip(np.array(colour) * rng.uniform(0.92, 1.08) + rng.normal(0, 5, 3), 0, 255)
        red, green, blue = (round(float(value)) for value in near)
        return red, green, blue

    return {
        "bill": own(HORN[looks["has_bill_color"]]),
        "crown": own(PLUMAGE[looks["has_crown_color"]]),
        "eye": IRIS[looks["has_eye_color"]],
        "throat": own(PLUMAGE[looks["has_throat_color"]]),
        "breast": own(PLUMAGE[looks["has_breast_color"]]),
        "belly": own(PLUMAGE[looks["has_belly_color"]]),
        "back": own(PLUMAGE[looks["has_back_color"]]),
        "wing": own(PLUMAGE[looks["has_wing_color"]]),
        "tail": own(PLUMAGE[looks["has_upper_tail_color"]]),
        "leg": own(HORN[looks["has_leg_color"]]),
    }


def _contrast(colour: Colour, light: Colour = PALE, dark: Colour = DARK) -> Colour:
    """What marks are drawn with on a colour."""
    bright = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return dark if bright > 150 else light


# ---------------------------------------------------------------------------------------- underside


def _paint_underside(
    canvas: Canvas,
    looks: Looks,
    pose: Pose,
    colours: dict[str, Colour],
    body: Image.Image,
    rng: np.random.Generator,
) -> None:
    soft = ImageFilter.BoxBlur(0.03 * pose.scale)
    # The order lets the breast reach over the belly and the throat over the breast.
    belly = both(body, canvas.mask(place(smooth(BELLY), pose)).filter(soft))
    canvas.stamp(belly, colours["belly"], "belly")
    breast = both(body, canvas.mask(place(smooth(BREAST), pose)).filter(soft))
    canvas.stamp(breast, colours["breast"], "breast")
    marks = _BREAST_PATTERNS[looks["has_breast_pattern"]](pose, rng)
    if marks:
        pattern = canvas.mask(*(place(mark, pose) for mark in marks))
        canvas.stamp(both(breast, pattern), _contrast(PLUMAGE[looks["has_breast_color"]]))
    throat = both(body, canvas.mask(place(smooth(head(THROAT, pose)), pose)).filter(soft))
    canvas.stamp(throat, colours["throat"], "throat")


def _dots(points: np.ndarray, radius: float) -> list[np.ndarray]:
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    ring = np.stack([np.cos(angles), np.sin(angles)], 1) * radius
    return [point + ring for point in points]


def _spotted(pose: Pose, rng: np.random.Generator) -> list[np.ndarray]:
    grid = np.array([
        (x + 0.075 * (row % 2), y) for row, y in enumerate(np.arange(-0.44, 0.18, 0.135))
        for x in np.arange(0.06, 0.70, 0.15)
    ])  # fmt: skip
    return _dots(grid + rng.normal(0, 0.012, grid.shape), 0.050)


def _striped(pose: Pose, rng: np.random.Generator) -> list[np.ndarray]:
    stripes = []
    for x in np.arange(0.08, 0.75, 0.155) + rng.normal(0, 0.01, 5):
        top, bottom = np.array((x + 0.04, 0.20)), np.array((x - 0.08, -0.50))
        half, low_half = np.array((0.036, 0)), np.array((0.042, 0))
        stripes.append(np.array([top - half, top + half, bottom + low_half, bottom - low_half]))
    return stripes


def _banded(pose: Pose, rng: np.random.Generator) -> list[np.ndarray]:
    middle = -0.10 + rng.normal(0, 0.015)
    return [np.array([
        (0.02, middle - 0.12), (0.40, middle - 0.01), (0.80, middle + 0.12),
        (0.80, middle - 0.10), (0.40, middle - 0.22), (0.02, middle - 0.33),
    ])]  # fmt: skip


_BREAST_PATTERNS: dict[str, Callable[[Pose, np.random.Generator], list[np.ndarray]]] = {
    "solid": lambda pose, rng: [],
    "spotted": _spotted,
    "striped": _striped,
    "banded": _banded,
}

# --------------------------------------------------------------------------------------------- tail


def _feather(root: np.ndarray, angle: float, length: float, width: float) -> np.ndarray:
    """(6, 2): a slim shape from its root, broadest before its rounded tip."""
    along = np.array([(0, 0), (0.35, 0.5), (0.85, 0.55), (1.0, 0), (0.85, -0.55), (0.35, -0.5)])
    return along * (length, width) @ rotation(angle) + root


def _tail_feathers(looks: Looks, pose: Pose) -> list[np.ndarray]:
    axis = tail_axis(pose)
    return [
        _feather(TAIL_ROOT, axis + angle, length, width)
        for angle, length, width in TAILS[looks["has_tail_shape"]]
    ]


def _paint_tail(canvas: Canvas, looks: Looks, pose: Pose, colour: Colour) -> None:
    for number, feather in enumerate(_tail_feathers(looks, pose)):
        outline = place(smooth(feather, 4), pose)
        canvas.polygon(outline, shade(colour, (0.86, 1.0)[number % 2]), "tail")
        quill = place(np.array([TAIL_ROOT, feather[3] * 0.92 + TAIL_ROOT * 0.08]), pose)
        canvas.line(quill, shade(colour, 0.7), 0.012 * pose.scale)


# --------------------------------------------------------------------------------------------- wing

# Flight feathers of the folded wing, from the longest below to the shortest above.
_ROOTS = np.linspace((-0.07, -0.08), (-0.10, 0.23), 7)
_TIPS = np.linspace((-1.00, -0.27), (-0.52, 0.05), 7)


def _flight_feathers() -> list[np.ndarray]:
    found = []
    for root, tip in zip(_ROOTS, _TIPS, strict=True):
        way = tip - root
        found.append(_feather(root, float(np.arctan2(way[1], way[0])), float(np.hypot(*way)), 0.15))
    return found


_FLIGHT = _flight_feathers()
_BAR_REAR = np.array([(-0.18, 0.24), (-0.33, 0.10), (-0.32, -0.04), (-0.20, -0.13)])
_BAR_FRONT = np.array([(0.03, 0.30), (-0.09, 0.14), (-0.08, 0.0), (0.0, -0.11)])
_PATCH = np.array([
    (-0.24, 0.15), (-0.44, 0.09), (-0.62, -0.06), (-0.58, -0.16), (-0.36, -0.13), (-0.24, -0.03),
])  # fmt: skip
_SPOTS = np.array([
    (0.15, 0.19), (0.12, 0.01), (0.0, 0.10), (-0.14, 0.20), (-0.13, -0.03), (-0.27, 0.08),
    (-0.43, 0.01), (-0.38, -0.12), (-0.58, -0.09), (-0.72, -0.19), (0.0, 0.26),
])  # fmt: skip


_SHADOW = [0] + [70] * 255  # strength of the wing's shadow where there is bird


def _paint_wing(canvas: Canvas, looks: Looks, pose: Pose, colour: Colour) -> None:
    # A shadow under the wing sets it off from the body.
    under = place(
        smooth(np.concatenate([COVERTS[[0, 2, 4]], [(-0.82, -0.32), (0.06, -0.18)]])), pose
    )
    shadow = both(canvas.mask(under), canvas.regions.point(_SHADOW))
    canvas.stamp(shadow, (0, 0, 0))
    for number, feather in enumerate(_FLIGHT):
        outline = place(smooth(feather, 4), pose)
        canvas.polygon(outline, shade(colour, (0.80, 0.92)[number % 2]), "wing")
        canvas.line(outline[4:14], shade(colour, 0.62), 0.014 * pose.scale)
    canvas.polygon(place(smooth(COVERTS), pose), colour, "wing")
    for row in ((-0.18, 0.09, 5, 0.92), (0.00, 0.08, 5, 1.06)):
        x, radius, count, light = row
        for y in np.linspace(0.22, -0.06, count):
            scale = place(_dots(np.array([(x + 0.04 * np.cos(6 * y), y)]), radius)[0], pose)
            canvas.polygon(scale, shade(colour, light), "wing")
    ink = _contrast(PLUMAGE[looks["has_wing_color"]])
    _WING_PATTERNS[looks["has_wing_pattern"]](canvas, pose, ink)


def _bars(canvas: Canvas, pose: Pose, ink: Colour) -> None:
    for bar in (_BAR_REAR, _BAR_FRONT):
        canvas.line(place(bar, pose), ink, 0.075 * pose.scale, "wing")


def _spots(canvas: Canvas, pose: Pose, ink: Colour) -> None:
    for dot in _dots(_SPOTS, 0.048):
        canvas.polygon(place(dot, pose), ink, "wing")


def _patch(canvas: Canvas, pose: Pose, ink: Colour) -> None:
    canvas.polygon(place(smooth(_PATCH), pose), ink, "wing")


_WING_PATTERNS: dict[str, Callable[[Canvas, Pose, Colour], None]] = {
    "solid": lambda canvas, pose, ink: None,
    "barred": _bars,
    "spotted": _spots,
    "patched": _patch,
}

# --------------------------------------------------------------------------------------------- legs


def _paint_leg(canvas: Canvas, pose: Pose, colour: Colour, which: int) -> None:
    hip, foot = place(HIPS, pose)[which], feet(pose)[which]
    colour = shade(colour, (1.0, 0.75)[which])
    width = 0.05 * pose.scale
    canvas.line(np.array([hip, knees(pose)[which], foot]), colour, width, "leg")
    for x, y in ((0.14, 0.02), (0.10, 0.05), (-0.10, 0.03)):
        toe = foot + np.array((x * pose.facing * pose.turn, y)) * pose.scale
        canvas.line(np.array([foot, toe]), colour, 0.75 * width, "leg")


# --------------------------------------------------------------------------------------------- head


def _paint_head(canvas: Canvas, looks: Looks, pose: Pose, colours: dict[str, Colour]) -> None:
    skull = canvas.mask(place(smooth(head(HEAD, pose)), pose))
    pattern = looks["has_head_pattern"]
    if pattern == "crested":
        canvas.polygon(
            place(smooth(head(CREST, pose)), pose), shade(colours["crown"], 0.92), "crown"
        )
    cap = both(skull, canvas.mask(place(smooth(head(CROWN, pose)), pose)))
    canvas.stamp(cap, colours["crown"], "crown")
    if pattern in _STRIPES:
        outline, ink = _STRIPES[pattern](looks)
        stripe = both(skull, canvas.mask(place(smooth(head(outline, pose)), pose)))
        canvas.stamp(stripe, ink, "head")
    bill = BILLS[looks["has_bill_shape"]]
    canvas.polygon(place(smooth(head(bill, pose), 4), pose), colours["bill"], "bill")
    gape = head(np.array([(0.74, 0.475), (0.5 * (0.74 + bill[:, 0].max()), 0.465)]), pose)
    canvas.line(place(gape, pose), shade(colours["bill"], 0.55), 0.016 * pose.scale)
    centre = place(head(EYE, pose), pose)[0]
    canvas.disc(centre, 0.090 * pose.scale, mix(colours["back"], DARK, 0.55), "eye")
    canvas.disc(centre, 0.074 * pose.scale, colours["eye"], "eye")
    canvas.disc(centre, 0.048 * pose.scale, (16, 14, 16), "eye")
    glint = centre + np.array((0.020, -0.024)) * pose.scale
    canvas.disc(glint, 0.019 * pose.scale, (255, 255, 255), "eye")


def _mask_stripe(looks: Looks) -> tuple[np.ndarray, Colour]:
    return MASK, (PALE if looks["has_back_color"] == "black" else DARK)


def _eyebrow_stripe(looks: Looks) -> tuple[np.ndarray, Colour]:
    between = mix(PLUMAGE[looks["has_crown_color"]], PLUMAGE[looks["has_back_color"]], 0.5)
    return EYEBROW, _contrast(between)


_STRIPES = {"masked": _mask_stripe, "eyebrow": _eyebrow_stripe}
