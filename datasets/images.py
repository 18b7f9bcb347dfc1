"""Reading image files and cropping them, with errors that name the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from benchmark.contracts import UserError

Bounds = tuple[int, int, int, int]


def read_image(path: Path) -> Image.Image:
    """Decode an image file to RGB, as stored (an EXIF rotation is not applied: annotations
    refer to the stored pixels).

    Args:
        path: any format that Pillow reads.

    Returns:
        An RGB image.

    Raises:
        UserError: the file is missing, cut short, or no image; the message names it.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise UserError(f"the image {path} is missing: restore it or leave it out") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image: replace or remove the file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"the image {path} can't be decoded ({error}): replace or remove the file"
        ) from error


def box_bounds(box: Sequence[float], image_size: tuple[int, int]) -> Bounds:
    """The whole pixels that a bounding box touches, clipped to the image.

    Args:
        box: x, y, width, height in pixels, as CUB's ``bounding_boxes.txt``.
        image_size: width and height of the image in pixels.

    Returns:
        left, top, right, bottom; at least one pixel wide and high.

    Raises:
        ValueError: the box does not meet the image.

    >>> box_bounds((10.5, 4.0, 20.0, 9.2), (100, 12))
    (10, 4, 31, 12)
    """
    x, y, width, height = (float(value) for value in box)
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right = min(image_size[0], math.ceil(x + width))
    bottom = min(image_size[1], math.ceil(y + height))
    if not (left < right and top < bottom):
        raise ValueError(
            f"the box (x {x:g}, y {y:g}, width {width:g}, height {height:g}) does not meet the "
            f"image of {image_size[0]} x {image_size[1]} pixels"
        )
    return left, top, right, bottom


def crop_to_box(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """Cut a bounding box out of an image, whole pixels (see :func:`box_bounds`).

    >>> crop_to_box(Image.new("RGB", (50, 40)), (5.0, 10.0, 20.0, 100.0)).size
    (20, 30)
    """
    return image.crop(box_bounds(box, image.size))
