"""An explainer that keeps the channel weights of |V| inputs and reuses them on other images.

Section 6.1 of Lam et al.: "we reuse the channel weights computed from the input image x, and
follow the same heat map producing steps". Which input's weights an image gets is the explainer's
affair; without anything better, those of the nearest cluster centre in Omega.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.evaluate import KEEP, keep_top
from benchmark.explain import Network
from methods.explainers.heat import channel_heat
from methods.explainers.omega import Omega, closest
from methods.explainers.references import load_omega, save_omega


@dataclass(frozen=True)
class ChannelWeights:
    """Which channel weights each of V interpretations draws with: K rows of a table, or fewer.

    ``table`` (B, d); ``members`` (V, K) rows of it; ``signs`` (V, K) +1 or -1, the side of the
    boundary that the input lies on, and 0 where an interpretation has fewer than K.
    """

    table: torch.Tensor
    members: torch.Tensor
    signs: torch.Tensor

    @classmethod
    def one_each(cls, weights: torch.Tensor) -> ChannelWeights:
        """One set of weights (V, d) for each interpretation.

        >>> ChannelWeights.one_each(torch.eye(2)).members.tolist()
        [[0], [1]]
        """
        rows = torch.arange(len(weights), device=weights.device)[:, None]
        return cls(weights, rows, torch.ones_like(rows, dtype=weights.dtype))

    def heat(self, maps: torch.Tensor, which: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Heat maps (N, H, W) of maps (N, d, h, w), image n drawn by interpretation which[n]."""
        which = which.to(self.members.device)
        members, signs = self.members[which], self.signs[which]
        weights = (self.table[members] * signs[..., None]).to(maps.device)
        return channel_heat(maps, weights, size, (signs != 0).to(maps.device))


class Reuse:
    """Each image is drawn by the channel weights of the input whose cluster centre is nearest.

    Args:
        network: to be explained.
        omega: the space in which distances are taken.
        centres: (V, m) of the clusters, in it.
        weights: of the V inputs.
        inputs: (V,) the inputs, among the training images.
    """

    def __init__(
        self,
        network: Network,
        omega: Omega,
        centres: torch.Tensor,
        weights: ChannelWeights,
        inputs: np.ndarray,
    ) -> None:
        self.network = network
        self.omega = omega
        self.centres = centres
        self.weights = weights
        self.inputs = inputs

    def assign(self, images: torch.Tensor) -> torch.Tensor:
        """Which of the V interpretations each image (N, 3, H, W) is drawn by: (N,)."""
        points = self.omega.points(self.network.maps(images))
        return closest(points, self.centres.to(points.device))

    def heatmap(self, images: torch.Tensor) -> torch.Tensor:
        """Heat maps (N, H, W) in [0, 1]."""
        size = (images.shape[2], images.shape[3])
        return self.weights.heat(self.network.maps(images), self.assign(images), size)

    def mask(self, images: torch.Tensor, keep: float = KEEP) -> torch.Tensor:
        """Masks (N, H, W) of the ``keep`` share of the pixels where the heat map is highest."""
        return keep_top(self.heatmap(images), keep)

    def drawn_by(
        self, weights: torch.Tensor
    ) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[..., torch.Tensor]]:
        """``heatmap`` and ``mask`` of any images by one interpretation's weights (K, d)."""

        def heatmap(images: torch.Tensor) -> torch.Tensor:
            maps = self.network.maps(images)
            every = weights.to(maps.device).expand(len(maps), -1, -1)
            return channel_heat(maps, every, (images.shape[2], images.shape[3]))

        def mask(images: torch.Tensor, keep: float = KEEP) -> torch.Tensor:
            return keep_top(heatmap(images), keep)

        return heatmap, mask

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything but Omega, for saving."""
        return {
            "table": self.weights.table,
            "members": self.weights.members,
            "signs": self.weights.signs,
            "centres": self.centres,
            "inputs": torch.from_numpy(self.inputs),
        }

    def save(self, folder: Path) -> None:
        """Write to a folder."""
        tensors = {name: value.cpu().contiguous() for name, value in self.tensors().items()}
        save_file(tensors, folder / "explainer.safetensors")
        save_omega(self.omega, folder)


def read_tensors(folder: Path) -> tuple[dict[str, torch.Tensor], ChannelWeights, Omega]:
    """What :meth:`Reuse.save` wrote."""
    tensors = load_file(folder / "explainer.safetensors")
    weights = ChannelWeights(tensors["table"], tensors["members"], tensors["signs"])
    return tensors, weights, load_omega(folder)
