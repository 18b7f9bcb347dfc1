"""Pictures of birds: what is annotated is what is painted."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from datasets.toybirds.bird import extent, paint_bird
from datasets.toybirds.canvas import NUMBER, Canvas
from datasets.toybirds.pose import PART_NAMES, draw_pose, fitted, part_places
from datasets.toybirds.render import SHOWN_BY, render
from datasets.toybirds.species import make_species

SPECIES, PAIRS = make_species(40, 0)


def painted(number: int, seed: int = 0):
    """A bird on a grey ground, its canvas and pose."""
    looks = SPECIES[number].looks
    rng = np.random.default_rng(seed)
    pose = draw_pose(rng)
    pose = fitted(pose, extent(looks, pose), 192, 0.8, np.array([0.5, 0.5]))
    canvas = Canvas(Image.new("RGB", (64, 64), (150, 150, 150)), 3)
    paint_bird(canvas, looks, pose, rng)
    return canvas, pose


def test_the_same_generator_paints_the_same_picture():
    first, again = (render(SPECIES[3], 64, np.random.default_rng(7)) for _ in range(2))
    assert first.picture.tobytes() == again.picture.tobytes()
    assert (first.box, first.parts, first.visible) == (again.box, again.parts, again.visible)
    other = render(SPECIES[3], 64, np.random.default_rng(8))
    assert other.picture.tobytes() != first.picture.tobytes()


@pytest.mark.parametrize("pixels", [48, 96, 224])
def test_size_and_boxes(pixels):
    for seed in range(6):
        found = render(SPECIES[seed], pixels, np.random.default_rng(seed))
        assert found.picture.size == (pixels, pixels)
        x, y, width, height = found.box
        assert 0 <= x < x + width <= pixels
        assert 0 <= y < y + height <= pixels
        assert max(width, height) > 0.5 * pixels
        for px, py in found.parts.values():
            assert x <= px <= x + width
            assert y <= py <= y + height


@pytest.mark.parametrize("pair", PAIRS)
def test_what_tells_twins_apart_is_never_hidden(pair):
    for number in pair:
        bird = SPECIES[number]
        for seed in range(10):
            found = render(bird, 48, np.random.default_rng([number, seed]))
            assert found.visible[bird.shown] == 1.0


def test_other_parts_are_sometimes_hidden():
    found = [render(SPECIES[5], 48, np.random.default_rng(seed)).visible for seed in range(60)]
    assert min(min(visible.values()) for visible in found) < 0.5
    assert np.mean([v for visible in found for v in visible.values()]) > 0.7


@pytest.mark.parametrize("pair", PAIRS)
def test_twins_differ_where_they_should_and_nowhere_else(pair):
    (one, _), (other, _) = (painted(number, seed=4) for number in pair)
    shown = SHOWN_BY[SPECIES[pair[0]].shown]
    difference = np.abs(
        np.asarray(one.picture, dtype=int) - np.asarray(other.picture, dtype=int)
    ).max(-1)
    if {"tail", "bill"} & set(shown) or SPECIES[pair[0]].telling == "has_head_pattern":
        # Their shape enters the pose's place too, so pixels can't be compared.
        assert (difference > 40).any()
        return
    region = np.isin(np.asarray(one.regions), [NUMBER[name] for name in shown])
    assert (difference[region] > 40).mean() > 0.1
    # Soft edges and the darker rim of the eye reach a little further.
    near = np.asarray(Image.fromarray(region).convert("L").resize((24, 24), 4)) > 0
    near = np.asarray(Image.fromarray(near).resize((192, 192), 0))
    assert (difference[~near] > 12).mean() < 0.01


def test_parts_lie_on_their_regions():
    regions = {
        "beak": "bill", "belly": "belly", "breast": "breast", "crown": "crown", "tail": "tail",
        "throat": "throat",
    }  # fmt: skip
    hits = dict.fromkeys(regions, 0)
    for number in range(40):
        canvas, pose = painted(number, seed=number)
        drawn = np.asarray(canvas.regions)
        for name, at in part_places(pose).items():
            if at is not None:
                assert drawn[int(at[1]), int(at[0])] > 0, name
                if name in regions:
                    hits[name] += drawn[int(at[1]), int(at[0])] == NUMBER[regions[name]]
    assert min(hits.values()) >= 34, hits


def test_one_side_is_turned_away():
    _, pose = painted(0)
    places = part_places(pose)
    assert set(places) == set(PART_NAMES)
    away = "right" if pose.facing < 0 else "left"
    assert {name for name, at in places.items() if at is None} == {f"{away} eye", f"{away} wing"}
