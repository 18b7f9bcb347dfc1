"""The CAM family as explainers: a rule that weighs an input's channels, reused on other images.

A rule gives the channel weights of each image for the class that the network predicts. Each
input's weights are computed once, at the fit.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

import numpy as np
import torch

from benchmark.contracts import Progress, Silent
from benchmark.explain import ExplainContext, Explanation, Network
from methods.explainers.omega import Clusters, Omega
from methods.explainers.references import References, inputs, references
from methods.explainers.remember import remembered
from methods.explainers.reuse import ChannelWeights, Reuse, read_tensors

BATCH = 16  # inputs whose weights are kept together


class Cam(Reuse):
    """An explainer of the CAM family; a subclass says by which rule.

    ``nearness`` finds the reference images that are like a given one.
    """

    def __init__(
        self,
        network: Network,
        omega: Omega,
        centres: torch.Tensor,
        weights: ChannelWeights,
        inputs: np.ndarray,
        nearness: Nearness,
    ) -> None:
        super().__init__(network, omega, centres, weights, inputs)
        self.nearness = nearness

    @staticmethod
    def rule(network: Network, images: torch.Tensor) -> torch.Tensor:
        """Channel weights (N, d) of images (N, 3, H, W), for the classes predicted."""
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        network: Network,
        found: References,
        clusters: Clusters,
        *,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Weigh the channels of the input nearest to each cluster's centre.

        Args:
            network: to be explained.
            found: the reference images.
            clusters: of them.
            folder: where weights are kept meanwhile, for a fit that is killed and started again.
            progress: shows a bar.
        """

        def weigh(first: int) -> torch.Tensor:
            rows = clusters.nearest[first : first + BATCH]
            kept = remembered(
                folder and folder / f"weights {first}.npz",
                lambda: {"weights": cls.rule(network, found.images(rows)).cpu().numpy()},
            )
            return torch.from_numpy(kept["weights"])

        firsts = range(0, len(clusters.nearest), BATCH)
        description = "channel weights of the inputs"
        weights = [weigh(first) for first in (progress or Silent()).track(firsts, description)]
        return cls(
            network, found.omega, torch.from_numpy(clusters.centres),
            ChannelWeights.one_each(torch.cat(weights)), found.index[clusters.nearest],
            Nearness.of(found),
        )  # fmt: skip

    @classmethod
    def fit_in(cls, context: ExplainContext) -> Self:
        """:meth:`fit` in the harness."""
        found = references(context)
        clusters = inputs(context, found)
        with context.timer("channel weights"):
            return cls.fit(
                context.network, found, clusters,
                folder=context.folder, progress=context.progress,
            )  # fmt: skip

    def explain(self, image: torch.Tensor) -> Explanation:
        """An image's own heat map, and the reference images nearest to it in Omega."""
        images = image.reshape(1, *image.shape[-3:])
        weights = self.rule(self.network, images)
        heatmap, mask = self.drawn_by(weights)
        maps = self.network.maps(images)
        similar, distances = self.nearness(self.omega.points(maps)[0])
        with torch.no_grad():
            predicted = int(self.network.head(maps)[1].argmax())
        return Explanation(predicted, similar, distances, heatmap, mask)

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.nearness.save(folder)

    @classmethod
    def load(cls, folder: Path, network: Network) -> Self:
        tensors, weights, omega = read_tensors(folder)
        return cls(
            network, omega, tensors["centres"], weights, tensors["inputs"].numpy(),
            Nearness.load(folder),
        )  # fmt: skip


class Nearness:
    """Finds the reference images nearest to a point of Omega (section 6.1 of Lam et al.).

    ``file`` holds the points (R, m) as ``.npy``, ``index`` (R,) says which training images they
    are.
    """

    def __init__(self, file: Path, index: np.ndarray) -> None:
        self.file = file
        self.index = index

    @classmethod
    def of(cls, found: References) -> Self:
        return cls(found.folder / "points.npy", found.index)

    def __call__(self, point: torch.Tensor, most: int = 16) -> tuple[np.ndarray, np.ndarray]:
        """The ``most`` nearest training images, and their Euclidean distances."""
        points = np.load(self.file, mmap_mode="r")
        distances = np.linalg.norm(points - point.cpu().numpy(), axis=1)
        nearest = np.argsort(distances, kind="stable")[:most]
        return self.index[nearest], distances[nearest]

    def save(self, folder: Path) -> None:
        """The table is large and many explainers use it, so that a link is enough where it can."""
        target = folder / "points.npy"
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(self.file)
        except OSError:
            shutil.copy(self.file, target)
        np.save(folder / "index.npy", self.index)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(folder / "points.npy", np.load(folder / "index.npy"))
