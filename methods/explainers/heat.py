"""Heat maps from channel weights, the way Grad-CAM draws them."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def channel_heat(
    maps: torch.Tensor, weights: torch.Tensor, present: torch.Tensor | None = None
) -> torch.Tensor:
    """One map per image: the mean of the heat maps of its K sets of channel weights.

    Section 5.1 of Lam et al.: ``raw = ReLU(sum_k alpha_k psi^k)`` for each set of channel
    weights alpha, rescaled to [0, 1] as Grad-CAM does, then averaged over the sets.

    Args:
        maps: (N, d, h, w).
        weights: (N, K, d) channel weights of each image.
        present: (N, K) which of them count, by default all; an image without any is all zero.

    Returns:
        (N, h, w) in [0, 1].

    >>> maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 1.0]]]])
    >>> channel_heat(maps, torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
    tensor([[[0.0000, 0.5000]]])
    """
    n, _, height, width = maps.shape
    raw = torch.bmm(weights, maps.flatten(2)).relu()  # (N, K, h w)
    scaled = rescale(raw)
    if present is not None:
        scaled = scaled * present[..., None]
        count = present.sum(1).clamp_min(1)
    else:
        count = torch.full((n,), weights.shape[1], device=maps.device)
    return (scaled.sum(1) / count[:, None]).view(n, height, width)


def rescale(raw: torch.Tensor) -> torch.Tensor:
    """Each row of the last axis to [0, 1]; a constant row becomes 0.

    >>> rescale(torch.tensor([[1.0, 3.0, 2.0], [4.0, 4.0, 4.0]]))
    tensor([[0.0000, 1.0000, 0.5000],
            [0.0000, 0.0000, 0.0000]])
    """
    low = raw.amin(-1, keepdim=True)
    span = raw.amax(-1, keepdim=True) - low
    return (raw - low) / torch.where(span > 0, span, torch.ones_like(span))


def enlarge(heat: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Heat maps (N, h, w) at the images' size, bilinear.

    >>> enlarge(torch.ones(2, 4, 4), (8, 8)).shape
    torch.Size([2, 8, 8])
    """
    return F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False)[:, 0]
