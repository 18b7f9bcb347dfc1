"""Transforms against torchvision, brute force, and the places of painted dots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from benchmark.contracts import UserError
from datasets.transforms import (
    Preprocessing,
    channel_statistics,
    move_boxes,
    move_points,
    normalise,
    test_image,
    train_image,
    window,
)

BOX = (12.0, 9.0, 50.0, 36.0)


def plain(size: int = 16, crop: str = "box") -> Preprocessing:
    return Preprocessing(size, crop, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A smooth picture of 80 x 60 pixels whose left and right differ."""
    y, x = np.mgrid[0:60, 0:80]
    pixels = np.stack([3 * x, 4 * y, 128 + 100 * np.sin(x / 9)], -1)
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file)
    return file


# ------------------------------------------------------------------------------- preprocessing


def test_preprocessing_survives_json():
    import json

    assert Preprocessing.from_dict(json.loads(json.dumps(plain().to_dict()))) == plain()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"size": 0}, "size"),
        ({"crop": "middle"}, "crop"),
        ({"std": (0.1, 0.0, 0.1)}, "std"),
        ({"mean": (0.1, 0.2)}, "mean"),
    ],
)
def test_nonsense_is_refused(fields, word):
    good = {"size": 8, "crop": "box", "mean": (0, 0, 0), "std": (1, 1, 1)}
    with pytest.raises(ValueError, match=word):
        Preprocessing(**(good | fields))


# ------------------------------------------------------------------------------- test transform


@pytest.mark.parametrize("size", [7, 16, 24, 64])
def test_box_crop_is_torchvisions_crop_and_antialiased_resize(photo, size):
    whole = F.pil_to_tensor(Image.open(photo))
    expected = F.resize(whole[:, 9:45, 12:62], [size, size], antialias=True)
    found = test_image(photo, BOX, plain(size))
    assert (found.shape, found.dtype) == ((3, size, size), torch.uint8)
    assert (found.int() - expected.int()).abs().max() <= 1


def test_centre_crop_is_torchvisions(photo):
    whole = F.pil_to_tensor(Image.open(photo))
    steps = v2.Compose([v2.Resize(20, antialias=True), v2.CenterCrop(20)])
    found = test_image(photo, None, plain(20, "centre"))
    # One resize of the exact window here, whole pixels after a resize there: a third of a pixel.
    assert (found.int() - steps(whole).int()).abs().float().mean() < 2


def test_a_box_is_asked_for(photo):
    with pytest.raises(ValueError, match="bounding box"):
        test_image(photo, None, plain())


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    for call in (
        lambda: test_image(tmp_path / "broken.jpg", BOX, plain()),
        lambda: train_image(tmp_path / "broken.jpg", BOX, plain(), "light", 0),
        lambda: channel_statistics([tmp_path / "broken.jpg"], np.array([BOX]), plain()),
    ):
        with pytest.raises(UserError, match=r"broken\.jpg"):
            call()


# ----------------------------------------------------------------------------- training transform


@pytest.mark.parametrize("augment", ["trivial", "light", "none"])
@pytest.mark.parametrize("crop", ["box", "centre"])
def test_the_seed_alone_decides(photo, augment, crop):
    box = BOX if crop == "box" else None
    torch.manual_seed(1)
    first = [train_image(photo, box, plain(32, crop), augment, seed) for seed in range(12)]
    torch.manual_seed(2)
    again = [train_image(photo, box, plain(32, crop), augment, seed) for seed in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(image.shape == (3, 32, 32) and image.dtype == torch.uint8 for image in first)
    fixed = augment == "none" and crop == "box"
    distinct = len({image.numpy().tobytes() for image in first})
    assert distinct == 1 if fixed else distinct > 6


def test_the_global_generator_is_left_alone(photo):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_image(photo, BOX, plain(), "trivial", 99)
    assert torch.equal(torch.rand(3), expected)


def test_without_augmentation_a_box_looks_as_in_the_test(photo):
    assert torch.equal(train_image(photo, BOX, plain(), "none", 3), test_image(photo, BOX, plain()))


@pytest.mark.parametrize("augment", ["trivial", "light"])
def test_half_of_the_images_are_flipped(photo, augment):
    # Red rises to the right; TrivialAugment rarely undoes that.
    rises = [
        (image[0, :, 8:].float().mean() - image[0, :, :8].float().mean()).sign().item()
        for image in (train_image(photo, BOX, plain(), augment, seed) for seed in range(200))
    ]
    assert 70 < sum(r > 0 for r in rises) < 130
    assert 70 < sum(r < 0 for r in rises) < 130


def test_random_square_is_a_window_of_the_padded_image(photo):
    size, pad = 20, 4
    found = train_image(photo, None, plain(size, "centre"), "none", 7).numpy()
    small = Image.open(photo).resize((27, 20), Image.Resampling.BILINEAR)
    padded = np.pad(np.asarray(small).transpose(2, 0, 1), ((0, 0), (pad, pad), (pad, pad)))
    windows = [
        padded[:, top : top + size, left : left + size]
        for top in range(padded.shape[1] - size + 1)
        for left in range(padded.shape[2] - size + 1)
    ]
    assert sum(np.array_equal(found, w) for w in windows) == 1


def test_trivial_is_flip_jitter_and_trivial_augment_in_this_order(photo):
    # Appendix C of the QPM paper: "random horizontal flip, jitter and TrivialAugment".
    torch.manual_seed(11)
    image = Image.open(photo).crop((12, 9, 62, 45)).resize((16, 16), Image.Resampling.BILINEAR)
    for step in (v2.RandomHorizontalFlip(), v2.ColorJitter(0.1, 0.1, 0.1), v2.TrivialAugmentWide()):
        image = step(image)
    assert torch.equal(train_image(photo, BOX, plain(), "trivial", 11), F.pil_to_tensor(image))


def test_an_unknown_augmentation_is_refused(photo):
    with pytest.raises(ValueError, match="trivial, not 'wild'"):
        train_image(photo, BOX, plain(), "wild", 0)


# --------------------------------------------------------------------------------- normalisation


def test_normalise_is_the_formula_and_keeps_the_memory_format():
    batch = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    batch = batch.contiguous(memory_format=torch.channels_last)
    found = normalise(batch, plain())
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    expected = (batch / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert batch.dtype == torch.uint8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_normalise_on_a_gpu():
    batch = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(normalise(batch.cuda(), plain()).cpu(), normalise(batch, plain()))


@pytest.mark.parametrize("crop", ["box", "centre"])
def test_statistics_against_all_pixels_at_once(tmp_path, crop):
    rng = np.random.default_rng(3)
    paths, boxes = [], []
    for i in range(9):
        pixels = rng.integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{i}.png")
        boxes.append((i, 2, 20, 15 + i))
        Image.fromarray(pixels).save(paths[-1])
    found = channel_statistics(paths, np.array(boxes), plain(12, crop))
    stack = torch.stack(
        [test_image(p, b, plain(12, crop)) for p, b in zip(paths, boxes, strict=True)]
    )
    values = stack.double().div(255).permute(1, 0, 2, 3).flatten(1)
    np.testing.assert_allclose(found[0], values.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found[1], values.std(1, correction=0), rtol=1e-9)


def test_a_channel_without_contrast_can_be_divided_by(tmp_path):
    Image.new("RGB", (9, 9), (10, 20, 255)).save(tmp_path / "flat.png")
    mean, std = channel_statistics([tmp_path / "flat.png"], None, plain(4, "centre"))
    np.testing.assert_allclose(mean, np.array([10, 20, 255]) / 255)
    assert min(std) > 0
    with pytest.raises(ValueError, match="at least one"):
        channel_statistics([], None, plain())


# -------------------------------------------------------------------------------- boxes and parts


def dot_centre(pixels: np.ndarray) -> np.ndarray:
    """x, y of the centre of mass, where a pixel's centre lies half a pixel inside it."""
    weight = pixels.astype(float)
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]]
    return np.array([(weight * (x + 0.5)).sum(), (weight * (y + 0.5)).sum()]) / weight.sum()


@settings(max_examples=40, deadline=None)
@given(
    x=st.integers(26, 46),
    y=st.integers(20, 32),
    box=st.tuples(st.floats(0, 18), st.floats(0, 14), st.floats(55, 80), st.floats(45, 70)),
    size=st.sampled_from([24, 64, 91]),
    crop=st.sampled_from(["box", "centre"]),
)
def test_a_part_stays_on_the_same_content(tmp_path_factory, x, y, box, size, crop):
    image = Image.new("RGB", (80, 60))
    ImageDraw.Draw(image).ellipse((x - 4, y - 4, x + 4, y + 4), fill=(255, 0, 0))
    file = tmp_path_factory.mktemp("dot") / "dot.png"
    image.save(file)
    shown = test_image(file, box, plain(size, crop))
    moved = move_points(np.array([[x + 0.5, y + 0.5, 1.0]]), box, (80, 60), plain(size, crop))
    assert moved[0, 2] == 1
    assert np.abs(dot_centre(shown[0].numpy()) - moved[0, :2]).max() < 0.35


def test_points_outside_the_crop_become_invisible():
    points = np.array([[5.0, 5.0, 1.0], [40.0, 30.0, 1.0], [40.0, 30.0, 0.0]])
    moved = move_points(points, BOX, (80, 60), plain())
    assert moved[:, 2].tolist() == [0, 1, 0]
    assert points[0, 0] == 5.0  # the input is not changed


def test_corners_of_the_box_become_corners_of_the_input():
    moved = move_boxes(np.array([BOX]), BOX, (80, 60), plain(64))
    np.testing.assert_allclose(moved, [[0, 0, 64, 64]])
    beyond = move_boxes(np.array([[0.0, 0.0, 5.0, 5.0]]), BOX, (80, 60), plain(64))
    np.testing.assert_allclose(beyond[0, 2:], 0)


@given(
    point=st.tuples(st.floats(0, 80), st.floats(0, 60)),
    size=st.integers(1, 300),
    crop=st.sampled_from(["box", "centre"]),
)
def test_moving_is_the_affine_map_of_the_window(point, size, crop):
    left, top, right, bottom = window(BOX, (80, 60), plain(size, crop))
    moved = move_points(np.array(point), BOX, (80, 60), plain(size, crop))
    back = moved / size * (right - left, bottom - top) + (left, top)
    np.testing.assert_allclose(back, point, atol=1e-9)
