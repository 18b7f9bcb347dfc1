"""Omega, the space of feature maps, as a place where distances are taken.

Whole maps are large (2048 x 28 x 28 of a ResNet-50 is 1.6 million numbers an image), so that a
table of them can exceed any memory. Distances and means survive a random projection: the
coordinates, in random order and with random signs, are dealt to m sums (feature hashing,
Weinberger et al. 2009), which changes a squared distance by a factor of 1 ± sqrt(2 / m) or so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch.nn import functional as F

AT_ONCE = 1 << 25  # coordinates that are dealt at a time


@dataclass(frozen=True)
class Deal:
    """A random projection onto m dimensions.

    ``order`` (k m,) int32 is a permutation of the D coordinates and of zeros that fill them up to
    a multiple of m; ``sign`` (k m,) int8 is +1 or -1.
    """

    order: torch.Tensor
    sign: torch.Tensor


@dataclass(frozen=True)
class Omega:
    """How feature maps become points: as they are (``deal`` is None), or projected.

    >>> Omega(4).points(torch.ones(2, 1, 2, 2)).shape
    torch.Size([2, 4])
    >>> deal = Deal(torch.tensor([3, 0, 2, 1]), torch.tensor([1, 1, -1, 1]))
    >>> Omega(2, deal).points(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[1., 3.]])
    """

    dimensions: int
    deal: Deal | None = None

    def points(self, maps: torch.Tensor) -> torch.Tensor:
        """Points (N, m) of maps (N, d, h, w)."""
        flat = maps.flatten(1)
        if self.deal is None:
            return flat
        order, sign = (value.to(flat.device) for value in (self.deal.order, self.deal.sign))
        spare = len(order) - flat.shape[1]
        return torch.cat(
            [
                (F.pad(some, (0, spare))[:, order] * sign)
                .view(len(some), -1, self.dimensions)
                .sum(1)
                for some in flat.split(max(1, AT_ONCE // len(order)))
            ]
        )


def omega(coordinates: int, most: int | None, generator: np.random.Generator) -> Omega:
    """Omega of maps with so many coordinates, projected if they are more than ``most``.

    >>> omega(100, 64, np.random.default_rng(0)).dimensions
    64
    >>> omega(100, None, np.random.default_rng(0)).dimensions
    100
    """
    if most is None or coordinates <= most:
        return Omega(coordinates)
    n = -(-coordinates // most) * most
    order = torch.from_numpy(generator.permutation(n).astype(np.int32))
    sign = torch.from_numpy(generator.choice(np.array([-1, 1], dtype=np.int8), n))
    return Omega(most, Deal(order, sign))


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
