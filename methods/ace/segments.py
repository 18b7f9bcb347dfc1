"""Segments of an image at several sizes, and what a network sees of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from benchmark.contracts import UserError

COMPACTNESS, SIGMA = 20.0, 1.0  # of SLIC, as ACE's authors set them
DUPLICATE = 0.5  # segments whose intersection over union exceeds this are one


def segments(picture: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """SLIC segments of a picture at several sizes, without duplicates.

    Args:
        picture: (H, W, 3) in [0, 1].
        sizes: about how many segments, one entry per size.

    Returns:
        (S, H, W) bool; the segments of one size do not overlap.

    Raises:
        UserError: scikit-image is missing.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise UserError("ace needs scikit-image: pip install scikit-image") from error
    masks = []
    for size in sizes:
        labels = slic(picture, n_segments=size, compactness=COMPACTNESS, sigma=SIGMA, start_label=0)
        masks.append(labels == np.unique(labels)[:, None, None])
    return without_duplicates(np.concatenate(masks))


def without_duplicates(masks: np.ndarray) -> np.ndarray:
    """Masks (S, H, W) without those that cover nearly the same as one before them.

    >>> same = np.array([[[True, True, False]], [[True, True, True]], [[False, False, True]]])
    >>> len(without_duplicates(same))
    2
    """
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    both = flat @ flat.T
    area = flat.sum(1)
    overlap = both / (area[:, None] + area - both)
    kept: list[int] = []
    for row in range(len(masks)):
        if not (overlap[row, kept] > DUPLICATE).any():
            kept.append(row)
    return masks[kept]


def patches(image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Each segment alone, enlarged to the image's size.

    What lies outside a segment is filled with the mean colour, its bounding box is cut out and
    resized.

    Args:
        image: (3, H, W), normalised, so that the mean colour is 0.
        masks: (S, H, W) bool, each with a pixel at least.

    Returns:
        (S, 3, H, W).
    """
    _, height, width = image.shape
    left, right = _extent(masks.any(1))
    top, bottom = _extent(masks.any(2))
    zero = torch.zeros_like(left)
    theta = torch.stack(
        [
            torch.stack([(right - left) / width, zero, (left + right) / width - 1], 1),
            torch.stack([zero, (bottom - top) / height, (top + bottom) / height - 1], 1),
        ],
        1,
    )
    alone = image * masks[:, None]
    grid = F.affine_grid(theta, list(alone.shape), align_corners=False)
    return F.grid_sample(alone, grid, align_corners=False)


def _extent(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and one past the last True of each row (S, n), as floats."""
    n = occupied.shape[1]
    flags = occupied.to(torch.uint8)
    return flags.argmax(1).float(), n - flags.flip(1).argmax(1).float()
