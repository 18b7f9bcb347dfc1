"""From an image file to what a network sees; boxes and parts move along.

Appendix C of the QPM paper: birds are cropped to their bounding box and resized straight to the
input size; for whole images the shorter side is resized and a crop taken, at random in training
and from the centre at test time. In training follow random horizontal flip, colour jitter and
TrivialAugment; at test time nothing does. Images stay bytes until :func:`normalise`, which runs
on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from benchmark.contracts import Progress, Silent
from datasets.images import Bounds, box_bounds, read_image

Box = Sequence[float] | np.ndarray
Triple = tuple[float, float, float]
JITTER = 0.1  # the authors' configurations; appendix C says "jitter" without a strength
PADDING = 4  # pixels around the image in which the random crop moves


@dataclass(frozen=True)
class Preprocessing:
    """How images become network input: plain data that enters cache keys and model files.

    Attributes:
        size: side of the square input in pixels.
        crop: ``"box"`` cuts the bounding box out and resizes it straight to size x size;
            ``"centre"`` resizes the shorter side and takes a central square.
        mean: of each channel, in [0, 1].
        std: of each channel, positive, in units of the full range.

    >>> plain = Preprocessing(64, "box", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    >>> Preprocessing.from_dict(plain.to_dict()) == plain
    True
    """

    size: int
    crop: Literal["box", "centre"]
    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, not {self.size}")
        if self.crop not in _WINDOWS:
            raise ValueError(f"crop must be one of {', '.join(_WINDOWS)}, not {self.crop!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std need three values each, std positive ones")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON keeps unchanged."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_dict`."""
        mean, std = (tuple(float(v) for v in fields[name]) for name in ("mean", "std"))
        return cls(int(fields["size"]), fields["crop"], mean, std)  # type: ignore[arg-type]


# ------------------------------------------------------------------------- which part of an image


def _box_window(box: Box | None, image_size: tuple[int, int]) -> Bounds:
    if box is None:
        raise ValueError("crop='box' needs a bounding box for every image")
    return box_bounds(tuple(box), image_size)


def _centre_window(box: Box | None, image_size: tuple[int, int]) -> Bounds:
    width, height = image_size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


_WINDOWS: dict[str, Callable[[Box | None, tuple[int, int]], Bounds]] = {
    "box": _box_window,
    "centre": _centre_window,
}


def window(box: Box | None, image_size: tuple[int, int], preprocessing: Preprocessing) -> Bounds:
    """The whole pixels that the test transform shows: left, top, right, bottom.

    >>> plain = Preprocessing(8, "centre", (0, 0, 0), (1, 1, 1))
    >>> window(None, (30, 20), plain)
    (5, 0, 25, 20)
    """
    return _WINDOWS[preprocessing.crop](box, image_size)


# ------------------------------------------------------------------------------------ test images


def _resized(image: Image.Image, area: Bounds, size: int) -> Image.Image:
    # Pillow's bilinear filter widens with the reduction, that is, it is antialiased. Its own
    # ``box`` would let the pixels beside the crop shine in.
    return image.crop(area).resize((size, size), Image.Resampling.BILINEAR)


def _bytes(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def test_image(path: Path, box: Box | None, preprocessing: Preprocessing) -> Tensor:
    """Read, crop, resize: the same bytes every time.

    Args:
        path: of the image file.
        box: x, y, width, height in pixels, or None where the crop needs none.
        preprocessing: size and crop are read.

    Returns:
        (3, size, size) uint8.

    Raises:
        UserError: the file is missing or broken.
        ValueError: the crop needs a box and there is none, or it lies outside the image.
    """
    image = read_image(path)
    return _bytes(_resized(image, window(box, image.size, preprocessing), preprocessing.size))


test_image.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest's


# -------------------------------------------------------------------------------- training images

# In the order of appendix C. Jitter is of brightness, contrast and saturation: a shifted hue would
# turn one bird's colours into another's. The light way shifts the image a little in place of
# TrivialAugment's strong steps.
_AUGMENT: dict[str, Callable[[int], list[v2.Transform]]] = {
    "none": lambda size: [],
    "light": lambda size: [
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(JITTER, JITTER, JITTER),
        v2.RandomCrop(size, padding=max(1, size // 16), padding_mode="edge"),
    ],
    "trivial": lambda size: [
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(JITTER, JITTER, JITTER),
        v2.TrivialAugmentWide(),
    ],
}


def _whole_box(box: Box | None, image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    return _resized(image, window(box, image.size, preprocessing), preprocessing.size)


def _random_crop(box: Box | None, image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = preprocessing.size
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return v2.RandomCrop(size, padding=PADDING)(image)


_TRAIN_CROPS = {"box": _whole_box, "centre": _random_crop}


@cache
def _augmentation(augment: str, size: int) -> Sequence[v2.Transform]:
    if augment not in _AUGMENT:
        raise ValueError(f"augment must be one of {', '.join(_AUGMENT)}, not {augment!r}")
    return _AUGMENT[augment](size)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # torch.manual_seed would reseed the accelerators too, once an image.
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


def train_image(
    path: Path,
    box: Box | None,
    preprocessing: Preprocessing,
    augment: Literal["trivial", "light", "none"],
    seed: int,
) -> Tensor:
    """Read, crop, resize, augment; all chance comes from ``seed``.

    The order is that of appendix C of the QPM paper: crop and size, horizontal flip, colour
    jitter (0.1, not of the hue), TrivialAugmentWide. Normalisation, named before them there, is
    :func:`normalise` and comes last: TrivialAugment is defined on bytes.

    Args:
        path: of the image file.
        box: x, y, width, height in pixels, or None where the crop needs none.
        preprocessing: size and crop are read; with ``crop="centre"`` the square is taken at
            random, with 4 pixels of black around the image.
        augment: ``"trivial"`` as the paper; ``"light"`` flip, jitter and a shift by up to a
            sixteenth of the side; ``"none"`` neither (the random square remains).
        seed: a non-negative integer; draws don't touch torch's global generator.

    Returns:
        (3, size, size) uint8.

    Raises:
        UserError: the file is missing or broken.
        ValueError: unknown ``augment``; or as :func:`test_image`.
    """
    steps = _augmentation(augment, preprocessing.size)
    image = read_image(path)
    with _seeded(seed):
        image = _TRAIN_CROPS[preprocessing.crop](box, image, preprocessing)
        for step in steps:
            image = step(image)
    return _bytes(image)


# ---------------------------------------------------------------------------------- normalisation


def normalise(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bytes to standardised floats, on the batch's device and in its memory format.

    Args:
        batch: (N, 3, s, s) or (3, s, s) uint8.
        preprocessing: mean and std are read.

    Returns:
        float32 of the same shape: (value / 255 - mean) / std.

    >>> plain = Preprocessing(1, "centre", (0.5, 0.0, 1.0), (0.5, 1.0, 0.25))
    >>> normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8), plain).flatten()
    tensor([1., 1., 0.])
    """
    mean = torch.tensor(preprocessing.mean, device=batch.device)[:, None, None]
    std = torch.tensor(preprocessing.std, device=batch.device)[:, None, None]
    return batch.to(torch.float32).div_(255).sub_(mean).div_(std)


def channel_statistics(
    paths: Sequence[Path],
    boxes: np.ndarray | None,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
) -> tuple[Triple, Triple]:
    """Mean and standard deviation of each channel over all pixels of the images.

    Args:
        paths: image files, at least one.
        boxes: (N, 4) x, y, width, height in pixels, or None where the crop needs none.
        preprocessing: size and crop are read; the test transform is applied.
        progress: shows a bar.

    Returns:
        mean and std, three values each, in units of the full range [0, 1]. Sums are whole
        numbers, so the result does not depend on the order of the images. A channel that never
        changes gets the std 1/255, so that it can be divided by.

    Raises:
        UserError: an image is missing or broken.
        ValueError: no images.
    """
    if not len(paths):
        raise ValueError("channel statistics need at least one image")

    def sums(index: int) -> np.ndarray:
        box = None if boxes is None else boxes[index]
        pixels = test_image(paths[index], box, preprocessing).numpy().reshape(3, -1)
        wide = pixels.astype(np.int64)
        return np.stack([wide.sum(1), (wide * wide).sum(1)])

    # Pillow lets go of the interpreter lock while it decodes and resizes.
    with ThreadPoolExecutor() as pool:
        found = pool.map(sums, range(len(paths)))
        seen = (progress or Silent()).track(found, "channel statistics", total=len(paths))
        first, second = sum(seen, np.zeros((2, 3), dtype=np.int64))
    count = len(paths) * preprocessing.size**2
    mean = first / count
    std = np.sqrt(np.maximum(second / count - mean**2, 1.0))
    return _triple(mean / 255), _triple(std / 255)


def _triple(values: np.ndarray) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


# --------------------------------------------------------------------------------- boxes and parts


def move_points(
    points: np.ndarray,
    box: Box | None,
    image_size: tuple[int, int],
    preprocessing: Preprocessing,
) -> np.ndarray:
    """Where points of an image lie after the test transform.

    Args:
        points: (..., 2) x, y or (..., 3) x, y, visible, in pixels of the stored image.
        box: the image's bounding box, or None where the crop needs none.
        image_size: width and height of the stored image in pixels.
        preprocessing: size and crop are read.

    Returns:
        float64 of the same shape, in pixels of the transformed image; where there is a third
        column, points that fall outside of it become invisible.

    >>> plain = Preprocessing(8, "box", (0, 0, 0), (1, 1, 1))
    >>> move_points(np.array([[30.0, 20.0, 1.0], [5.0, 5.0, 1.0]]), (20, 10, 40, 20), (90, 90),
    ...             plain).tolist()
    [[2.0, 4.0, 1.0], [-3.0, -2.0, 0.0]]
    """
    left, top, right, bottom = window(box, image_size, preprocessing)
    origin = np.array([left, top])
    scale = preprocessing.size / np.array([right - left, bottom - top])
    moved = np.array(points, dtype=np.float64)
    moved[..., :2] = (moved[..., :2] - origin) * scale
    if moved.shape[-1] == 3:
        inside = ((moved[..., :2] >= 0) & (moved[..., :2] <= preprocessing.size)).all(-1)
        moved[..., 2] = np.where(inside, moved[..., 2], 0.0)
    return moved


def move_boxes(
    boxes: np.ndarray,
    box: Box | None,
    image_size: tuple[int, int],
    preprocessing: Preprocessing,
) -> np.ndarray:
    """Where boxes of an image lie after the test transform, clipped to what is shown.

    Args:
        boxes: (..., 4) x, y, width, height in pixels of the stored image.
        box, image_size, preprocessing: as in :func:`move_points`.

    Returns:
        float64 of the same shape, in pixels of the transformed image; width or height 0 where
        nothing of a box is shown.

    >>> plain = Preprocessing(8, "box", (0, 0, 0), (1, 1, 1))
    >>> move_boxes(np.array([20.0, 10.0, 40.0, 20.0]), (20, 10, 40, 20), (90, 90), plain).tolist()
    [0.0, 0.0, 8.0, 8.0]
    """
    corners = np.asarray(boxes, dtype=np.float64)
    low = move_points(corners[..., :2], box, image_size, preprocessing)
    high = move_points(corners[..., :2] + corners[..., 2:], box, image_size, preprocessing)
    low, high = (np.clip(corner, 0, preprocessing.size) for corner in (low, high))
    return np.concatenate([low, high - low], axis=-1)
