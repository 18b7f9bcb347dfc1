"""Heat maps from channel weights, the way Grad-CAM draws them."""

from __future__ import annotations

import torch
from torch.nn import functional as F

AT_ONCE = 1 << 24  # pixels of enlarged maps that are held at a time


def channel_heat(
    maps: torch.Tensor,
    weights: torch.Tensor,
    size: tuple[int, int],
    present: torch.Tensor | None = None,
) -> torch.Tensor:
    """One heat map per image: the mean of those of its K sets of channel weights.

    Section 5.1 of Lam et al.: ``raw = ReLU(sum_k alpha_k psi^k)`` for each set of channel weights
    alpha, enlarged and then rescaled to [0, 1] as Grad-CAM does, and averaged over the sets.

    Args:
        maps: (N, d, h, w).
        weights: (N, K, d) channel weights of each image.
        size: H, W of the images.
        present: (N, K) which of them count, by default all; an image without any is all zero.

    Returns:
        (N, H, W) in [0, 1].

    >>> maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 1.0]]]])
    >>> channel_heat(maps, torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]), (1, 2))
    tensor([[[0.0000, 0.5000]]])
    """
    n, k = weights.shape[:2]
    raw = torch.bmm(weights, maps.flatten(2)).relu().view(n, k, *maps.shape[2:])
    there = torch.ones(n, k, device=maps.device) if present is None else present.to(maps.dtype)
    share = there / there.sum(1, keepdim=True).clamp_min(1)
    # K maps of an image's size are large: a few images at a time.
    step = max(1, AT_ONCE // (k * size[0] * size[1]))
    return torch.cat(
        [
            (rescale(enlarge(some, size).flatten(2)) * part[..., None]).sum(1)
            for some, part in zip(raw.split(step), share.split(step), strict=True)
        ]
    ).view(n, *size)


def rescale(raw: torch.Tensor) -> torch.Tensor:
    """Each row of the last axis to [0, 1]; a constant row becomes 0.

    >>> rescale(torch.tensor([[1.0, 3.0, 2.0], [4.0, 4.0, 4.0]]))
    tensor([[0.0000, 1.0000, 0.5000],
            [0.0000, 0.0000, 0.0000]])
    """
    low = raw.amin(-1, keepdim=True)
    span = raw.amax(-1, keepdim=True) - low
    return (raw - low) / torch.where(span > 0, span, torch.ones_like(span))


def enlarge(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps (N, K, h, w) at the images' size, bilinear.

    >>> enlarge(torch.ones(2, 3, 4, 4), (8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
