"""Linear boundaries of a head: equation 2 of Lam et al.

A piecewise linear head G splits Omega by pieces of hyperplanes. At the feature map of an image,
the difference of the two largest scores is (locally, and exactly) a linear function of the map;
where it is zero lies a boundary between the two classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import torch

from benchmark.explain import Network
from methods.explainers.gradients import gradient_of, top_two_difference

SAME = 1e-4  # boundaries of the same two classes that differ relatively by less are one


@dataclass(frozen=True)
class Boundaries:
    """Q hyperplanes ``<W, t> + b = 0`` in Omega, oriented towards the lower-numbered class.

    ``normals`` (Q, d, h, w), or (Q, d, 1, 1) where each is the same at all ``places`` = h w
    places, as it is under a pooled head; ``offsets`` (Q,); ``classes`` (Q, 2), ascending: the
    classes on the positive and on the negative side; ``sizes`` (Q,) the magnitude of the terms
    that an offset was computed from, against which it is compared.
    """

    normals: torch.Tensor
    offsets: torch.Tensor
    classes: torch.Tensor
    sizes: torch.Tensor
    places: int

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def pooled(self) -> bool:
        """Whether spatial means of the maps are enough to tell the sides."""
        return self.normals.shape[2:] == (1, 1)

    def margins(self, maps: torch.Tensor) -> torch.Tensor:
        """``<W_q, t_n> + b_q`` (N, Q) of maps (N, d, h, w)."""
        if self.pooled:
            return self.margins_of_pooled(maps.mean((2, 3)))
        normals, offsets = self.normals.to(maps.device), self.offsets.to(maps.device)
        return maps.flatten(1) @ normals.flatten(1).T + offsets

    def margins_of_pooled(self, means: torch.Tensor) -> torch.Tensor:
        """The same from spatial means (N, d); only if :attr:`pooled`."""
        normals, offsets = self.normals.to(means.device), self.offsets.to(means.device)
        return means @ (self.places * normals[:, :, 0, 0]).T + offsets

    def channel_weights(self) -> torch.Tensor:
        """alpha (Q, d): means of the normals over places (equation 5)."""
        return self.normals.mean((2, 3))

    def select(self, rows: torch.Tensor) -> Boundaries:
        """Some of them."""
        return replace(
            self,
            normals=self.normals[rows],
            offsets=self.offsets[rows],
            classes=self.classes[rows],
            sizes=self.sizes[rows],
        )


def linear_boundaries(network: Network, batches: Iterable[torch.Tensor]) -> Boundaries:
    """One boundary for each image (equation 2), on the CPU.

    Args:
        network: its head is differentiated; equation 2 is exact where the head is piecewise
            linear in the maps.
        batches: of images (n, 3, H, W).

    Returns:
        As many boundaries as images; where the difference of the two largest scores does not
        depend on the map there is none.
    """
    found = [_of_maps(network, network.maps(images)) for images in batches]
    normals = torch.cat([part.normals for part in found])
    mean = normals.mean((2, 3), keepdim=True)
    largest = normals.flatten(1).abs().amax(1)
    if bool(((normals - mean).flatten(1).abs().amax(1) <= 1e-6 * largest).all()):
        normals = mean
    every = Boundaries(
        normals,
        torch.cat([part.offsets for part in found]),
        torch.cat([part.classes for part in found]),
        torch.cat([part.sizes for part in found]),
        found[0].places,
    )
    return every.select((largest > 0).nonzero()[:, 0])


def _of_maps(network: Network, maps: torch.Tensor) -> Boundaries:
    difference, slope = gradient_of(network, maps, top_two_difference)
    with torch.no_grad():
        best = network.head(maps)[1].topk(2, dim=1).indices
    inner = (slope.double() * maps).flatten(1).sum(1)
    offset = difference.double() - inner
    # Towards the lower class, so that the boundary between a and b is that between b and a.
    sign = torch.where(best[:, 0] < best[:, 1], 1.0, -1.0)
    return Boundaries(
        (slope * sign[:, None, None, None]).cpu(),
        (offset * sign).float().cpu(),
        best.sort(1).values.cpu(),
        (inner.abs() + difference.abs()).float().cpu(),
        maps.shape[2] * maps.shape[3],
    )


def distinct(boundaries: Boundaries) -> Boundaries:
    """The first of each set of equal boundaries.

    On a pooled linear head the difference of two scores is the same function everywhere, so that
    at most C (C - 1) / 2 boundaries are distinct, however many images were sampled.
    """
    kept: dict[tuple[int, ...], list[int]] = {}
    for row, pair in enumerate(map(tuple, boundaries.classes.tolist())):
        rows = kept.setdefault(pair, [])
        if not any(_equal(boundaries, row, other) for other in rows):
            rows.append(row)
    return boundaries.select(torch.tensor(sorted(chain.from_iterable(kept.values()))))


def _equal(boundaries: Boundaries, one: int, two: int) -> bool:
    first, second = boundaries.normals[one], boundaries.normals[two]
    if (first - second).abs().max() > SAME * torch.maximum(first.abs().max(), second.abs().max()):
        return False
    apart = (boundaries.offsets[one] - boundaries.offsets[two]).abs()
    return bool(apart <= SAME * torch.maximum(boundaries.sizes[one], boundaries.sizes[two]))
