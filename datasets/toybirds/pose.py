"""How a bird stands in the picture: from its own frame to pixels.

A bird's frame has x towards the beak and y upwards, the body about one unit to each side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NECK = np.array([0.40, 0.30])  # what the head turns about
HEAD_SIZE = 1.22  # toys have large heads
HIPS = np.array([[0.08, -0.50], [-0.10, -0.52]])  # near, far
LEG = 0.32

TAIL_ROOT = np.array([-0.62, -0.22])
TAIL_AXIS = np.pi + 0.22  # backwards and a little down

# Where CUB's parts are, in the bird's frame; those of the head turn with it, the tail moves.
PARTS: dict[str, tuple[float, float]] = {
    "back": (-0.12, 0.24),
    "beak": (0.92, 0.47),
    "belly": (-0.08, -0.38),
    "breast": (0.40, -0.24),
    "crown": (0.50, 0.69),
    "forehead": (0.69, 0.62),
    "left eye": (0.61, 0.53),
    "left leg": (0.10, -0.60),
    "left wing": (-0.20, 0.08),
    "nape": (0.28, 0.42),
    "right eye": (0.61, 0.53),
    "right leg": (0.10, -0.60),
    "right wing": (-0.20, 0.08),
    "throat": (0.60, 0.31),
}
PART_NAMES = tuple(sorted([*PARTS, "tail"]))
HEAD_PARTS = frozenset(("beak", "crown", "forehead", "left eye", "right eye", "throat"))


@dataclass(frozen=True)
class Pose:
    """Angles in radians, factors around 1, and the place in canvas pixels.

    ``facing`` is 1 to the right, -1 to the left; ``tilt`` lifts the front, ``nod`` the beak;
    ``tail`` lifts the tail; ``turn`` narrows the bird as it turns towards the viewer.
    """

    facing: int
    neck: tuple[float, float]
    tilt: float
    nod: float
    tail: float
    turn: float
    plump: float
    stance: float
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)


def draw_pose(rng: np.random.Generator) -> Pose:
    """A pose by chance, not yet placed."""
    return Pose(
        facing=int(rng.choice((-1, 1))),
        neck=(rng.uniform(-0.10, 0.08), rng.uniform(-0.16, 0.06)),
        tilt=rng.uniform(-0.55, 0.65),
        nod=rng.uniform(-0.55, 0.50),
        tail=rng.uniform(-0.45, 0.45),
        turn=rng.uniform(0.70, 1.0),
        plump=rng.uniform(0.93, 1.08),
        stance=rng.uniform(-0.12, 0.12),
    )


def rotation(angle: float) -> np.ndarray:
    """Turns row vectors counter-clockwise (y upwards)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def head(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Points of the head, enlarged and turned about the neck, still in the bird's frame."""
    turned = (np.asarray(points, dtype=float) - NECK) * HEAD_SIZE @ rotation(pose.nod)
    return turned + NECK + pose.neck


def tail_axis(pose: Pose) -> float:
    """Direction of the tail in the bird's frame."""
    return TAIL_AXIS - pose.tail


def place(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Points of the bird's frame to canvas pixels."""
    turned = (np.asarray(points, dtype=float) * (1, pose.plump)) @ rotation(pose.tilt)
    return turned * (pose.facing * pose.turn, -1) * pose.scale + pose.origin


def feet(pose: Pose) -> np.ndarray:
    """(2, 2): where the near and the far foot stand, in canvas pixels.

    Legs hang from the hips and stay upright whatever the tilt.
    """
    reach = np.array([[pose.stance + 0.05, LEG], [pose.stance - 0.03, LEG]])
    return place(HIPS, pose) + reach * (pose.facing * pose.turn, 1) * pose.scale


def knees(pose: Pose) -> np.ndarray:
    """(2, 2): the near and the far knee, bent backwards, in canvas pixels."""
    back = np.array((-0.04 * pose.facing, 0.0)) * pose.scale
    return (place(HIPS, pose) + feet(pose)) / 2 + back


def fitted(pose: Pose, outlines: np.ndarray, side: float, share: float, where: np.ndarray) -> Pose:
    """The pose placed so that outlines fill ``share`` of a square picture's side.

    Args:
        pose: not yet placed.
        outlines: (n, 2) points in the bird's frame, the feet apart.
        side: of the canvas in pixels.
        share: of the side that the longer extent takes.
        where: two numbers in [0, 1], the place within the room that is left.
    """
    points = np.concatenate([place(outlines, pose), feet(pose)])
    low, high = points.min(0), points.max(0)
    scale = share * side / (high - low).max()
    room = side - (high - low) * scale
    margin = 0.04 * side
    corner = np.clip(where * room, margin, np.maximum(margin, room - margin))
    origin = corner - low * scale
    return replace(pose, scale=float(scale), origin=(float(origin[0]), float(origin[1])))


def part_places(pose: Pose) -> dict[str, tuple[float, float] | None]:
    """Where each of CUB's parts is in canvas pixels, or None on the side that is turned away."""
    near, away = ("left", "right") if pose.facing < 0 else ("right", "left")
    legs = dict(zip((near, away), knees(pose), strict=True))
    tail = TAIL_ROOT + 0.45 * np.array([np.cos(tail_axis(pose)), np.sin(tail_axis(pose))])
    x, y = place(tail, pose)
    found: dict[str, tuple[float, float] | None] = {"tail": (float(x), float(y))}
    for name, point in PARTS.items():
        side, _, rest = name.partition(" ")
        at = np.array([point])
        where = place(head(at, pose) if name in HEAD_PARTS else at, pose)[0]
        x, y = legs[side] if rest == "leg" else where
        hidden = side == away and rest in ("eye", "wing")
        found[name] = None if hidden else (float(x), float(y))
    return found
