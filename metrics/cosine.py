"""Cosines between all pairs of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.blocks import column_blocks


def cosine_matrix(vectors: Tensor, norm_floor: float = 0.0) -> Tensor:
    """Cosine of every pair of rows, uncentred, summed in float64 block by block.

    Args:
        vectors: (n, m).
        norm_floor: norms below it are raised to it. With 0 a vector of zeros has no cosine.

    Returns:
        (n, n) float64 in [-1, 1] up to rounding; NaN in row and column of a vector of zeros.

    Raises:
        ValueError: values that are NaN or infinite.

    >>> cosine_matrix(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    tensor([[1.0000, 0.6000],
            [0.6000, 1.0000]], dtype=torch.float64)
    """
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64, device=vectors.device)
    for _, block in column_blocks(vectors):
        gram.addmm_(block, block.T)
    norm = gram.diagonal().sqrt().clamp(min=norm_floor)
    return gram / norm[:, None] / norm
