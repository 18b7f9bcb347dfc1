"""Omega, the space of feature maps, as a place where distances are taken.

Whole maps are large (2048 x 28 x 28 of a ResNet-50 is 1.6 million numbers an image), so that a
table of them can exceed any memory. Distances and means survive a random projection: each
coordinate is added, with a random sign, to one of m sums (feature hashing, Weinberger et al.
2009), which changes a squared distance by a factor of 1 ± sqrt(2 / m) or so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans


@dataclass(frozen=True)
class Omega:
    """How feature maps become points: as they are, or projected.

    ``code`` (D,) int32 holds for each of the D = d h w coordinates the number (from 1) of the sum
    that it is added to, negative where it is subtracted; None leaves points as they are.

    >>> Omega(None, 4).points(torch.ones(2, 1, 2, 2)).shape
    torch.Size([2, 4])
    >>> Omega(torch.tensor([1, -2, 1, 2]), 2).points(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[4., 2.]])
    """

    code: torch.Tensor | None
    dimensions: int

    def points(self, maps: torch.Tensor) -> torch.Tensor:
        """Points (N, m) of maps (N, d, h, w)."""
        flat = maps.flatten(1)
        if self.code is None:
            return flat
        code = self.code.to(flat.device)
        sums = flat.new_zeros(len(flat), self.dimensions)
        return sums.index_add_(1, (code.abs() - 1).long(), flat * code.sign())


def omega(coordinates: int, most: int | None, generator: np.random.Generator) -> Omega:
    """Omega of maps with so many coordinates, projected if they are more than ``most``.

    >>> omega(100, 64, np.random.default_rng(0)).dimensions, omega(100, None, None).dimensions
    (64, 100)
    """
    if most is None or coordinates <= most:
        return Omega(None, coordinates)
    number = generator.integers(1, most + 1, coordinates)
    sign = generator.choice([-1, 1], coordinates)
    return Omega(torch.from_numpy((number * sign).astype(np.int32)), most)


@dataclass(frozen=True)
class Clusters:
    """k-means on the reference images in Omega.

    ``centres`` (V, m); ``nearest`` (V,) the reference image closest to each centre; ``owner``
    (R,) the cluster of each reference image.
    """

    centres: np.ndarray
    nearest: np.ndarray
    owner: np.ndarray


def cluster(points: np.ndarray, n_clusters: int, seed: int) -> Clusters:
    """k-means (Lloyd) from one k-means++ start; at most as many clusters as there are points.

    Args:
        points: (R, m) float32.
        n_clusters: |V|.
        seed: of the start, below 2^32.

    >>> found = cluster(np.array([[0.0], [1.0], [2.0], [9.0]], dtype=np.float32), 2, seed=0)
    >>> sorted(found.nearest.tolist()), sorted(found.centres[:, 0].tolist())
    ([1, 3], [1.0, 9.0])
    """
    means = KMeans(min(n_clusters, len(points)), n_init=1, random_state=seed).fit(points)
    distances = means.transform(points)  # (R, V)
    return Clusters(means.cluster_centers_, distances.argmin(0), means.labels_.astype(np.int64))


def closest(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The nearest centre (N,) of each point.

    >>> closest(torch.tensor([[0.4], [0.6]]), torch.tensor([[0.0], [1.0]])).tolist()
    [0, 1]
    """
    return torch.cdist(points, centres).argmin(1)
