"""Reading and cropping: broken files are named, crops keep what the box touches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.contracts import UserError
from datasets.images import box_bounds, crop_to_box, read_image


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_pixels_arrive_as_they_were_written(tmp_path):
    image = noise(7, 5)
    image.save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image.mode, image.size) == ("RGB", (4, 3))


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_image_is_named(tmp_path, ending):
    file = tmp_path / f"half.{ending}"
    noise(60, 60).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"half.{ending}"):
        read_image(file)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n garbage"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "fake.png").write_bytes(content)
    with pytest.raises(UserError, match=r"fake\.png"):
        read_image(tmp_path / "fake.png")


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg is missing"):
        read_image(tmp_path / "gone.jpg")


@given(
    x=st.floats(-20, 49.5),
    y=st.floats(-20, 39.5),
    width=st.floats(0.01, 100),
    height=st.floats(0.01, 100),
)
def test_bounds_hold_every_touched_pixel_and_no_other(x, y, width, height):
    columns = [c for c in range(50) if c + 1 > x and c < x + width]
    rows = [r for r in range(40) if r + 1 > y and r < y + height]
    if not columns or not rows:
        with pytest.raises(ValueError, match="does not meet"):
            box_bounds((x, y, width, height), (50, 40))
        return
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert box_bounds((x, y, width, height), (50, 40)) == expected


def test_crop_is_the_array_slice():
    image = noise(30, 20)
    crop = crop_to_box(image, (3.0, 4.0, 10.0, 8.0))
    assert np.array_equal(np.asarray(crop), np.asarray(image)[4:12, 3:13])
