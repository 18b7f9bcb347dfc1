"""ACE (Ghorbani et al., NeurIPS 2019) as an explainer that is reused on unseen images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.contracts import Progress, Silent
from benchmark.evaluate import KEEP
from benchmark.explain import ExplainContext, Explanation, Network
from methods.ace.card import ACEParameters
from methods.ace.concepts import (
    Concepts,
    activation_vectors,
    discover,
    order_segments,
    rank,
    tcav,
)
from methods.ace.segments import patches, segments
from methods.explainers.cam import Nearness
from methods.explainers.gradients import gradient_of
from methods.explainers.omega import Clusters, Omega, closest
from methods.explainers.references import (
    References,
    inputs,
    load_omega,
    references,
    save_omega,
)
from methods.explainers.remember import remembered

BATCH = 128  # segments that go through the network at a time


class Sight:
    """How ACE sees an image: its segments, and the network's pooled features of each.

    Args:
        network: to be explained.
        sizes: segments of an image, one entry per size.
        mean, std: (3,) by which the images were normalised.
    """

    def __init__(
        self, network: Network, sizes: tuple[int, ...], mean: np.ndarray, std: np.ndarray
    ) -> None:
        self.network, self.sizes, self.mean, self.std = network, sizes, mean, std

    def __call__(self, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Masks (S, H, W) bool and features (S, d) of the segments of an image (3, H, W)."""
        picture = image.permute(1, 2, 0).cpu().numpy() * self.std + self.mean
        masks = segments(picture.clip(0, 1), self.sizes)
        on_device = torch.from_numpy(masks).to(image.device)
        features = [
            self.network.maps(patches(image, some)).mean((2, 3)).cpu()
            for some in on_device.split(BATCH)
        ]
        return masks, torch.cat(features).numpy()


def fit(context: ExplainContext) -> ACE:
    """Find the concepts of each of the |V| clusters of reference images."""
    parameters: ACEParameters = context.parameters
    found = references(context)
    clusters = inputs(context, found)
    preprocessing = context.classifier.preprocessing
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    sight = Sight(context.network, parameters.segments, mean, std)
    generator = context.generator("concepts")
    with context.timer("concepts"):
        return concept_sets(
            sight, found, clusters, parameters, generator,
            folder=context.folder, progress=context.progress,
        )  # fmt: skip


def concept_sets(
    sight: Sight,
    found: References,
    clusters: Clusters,
    parameters: ACEParameters,
    generator: np.random.Generator,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> ACE:
    """The concepts of each cluster of reference images.

    Args:
        sight: how images are cut, and the network that is explained.
        found: the reference images.
        clusters: of them; each is a set of images that makes one interpretation.
        parameters: ACE's.
        generator: of the images and the random counterparts that are drawn.
        folder: where features are kept meanwhile, for a fit that is killed and started again.
        progress: shows bars.
    """
    progress = progress or Silent()
    rows = list(_sets(clusters, parameters.images_per_set, generator))
    sets = []
    for number, some in enumerate(progress.track(rows, "segments of the sets")):
        file = folder and folder / f"set {number}.npz"
        sets.append(remembered(file, lambda some=some: _look(sight, found, some)))  # type: ignore[misc]
    pool = np.concatenate([one["features"] for one in sets])
    owner = np.repeat(np.arange(len(sets)), [len(one["features"]) for one in sets])
    concepts = [
        _concepts(number, sets[number], pool, owner, parameters, generator)
        for number in progress.track(range(len(sets)), "concepts of the sets")
    ]
    return ACE(
        sight,
        found.omega,
        torch.from_numpy(clusters.centres),
        concepts,
        found.index[clusters.nearest],
        Nearness.of(found),
    )


def _sets(clusters: Clusters, most: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    for number in range(len(clusters.centres)):
        rows = np.flatnonzero(clusters.owner == number)
        yield rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))


def _look(sight: Sight, found: References, rows: np.ndarray) -> dict[str, np.ndarray]:
    """A set of m reference images: ``features`` (S, d) of their segments, the ``image`` (S,) that
    each is of, and the ``slopes`` (m, d) of the score of the class that most are predicted as."""
    images = found.images(rows)
    features = [sight(image)[1] for image in images]
    owner = np.repeat(np.arange(len(rows)), [len(some) for some in features])
    classes, counts = np.unique(found.predicted[rows], return_counts=True)
    usual = int(classes[counts.argmax()])
    maps = sight.network.maps(images)
    # A vector of pooled features, added everywhere, moves the score by the sum over the places.
    slopes = gradient_of(sight.network, maps, lambda logits: logits[:, usual])[1].sum((2, 3))
    return {
        "features": np.concatenate(features),
        "image": owner,
        "slopes": slopes.cpu().numpy(),
    }


def _concepts(
    number: int,
    seen: dict[str, np.ndarray],
    pool: np.ndarray,
    owner: np.ndarray,
    parameters: ACEParameters,
    generator: np.random.Generator,
) -> Concepts:
    features, image, slopes = seen["features"], seen["image"], seen["slopes"]
    groups = discover(
        features, image, concepts=parameters.concepts, most=parameters.segments_per_concept,
        images=parameters.images_per_concept, seed=int(generator.integers(2**32)),
    )  # fmt: skip
    # Random segments of the other sets; of this one, if it is the only one.
    others = np.flatnonzero(owner != number) if (owner != number).any() else np.arange(len(pool))
    measured = []
    for rows in groups:
        drawn = generator.choice(others, (parameters.counterparts, len(rows)))
        vectors = activation_vectors(features[rows].astype(np.float64), pool[drawn])
        measured.append(tcav(vectors, slopes))
    scores, derivatives = (np.array(column) for column in zip(*measured, strict=True))
    order = rank(scores, derivatives)
    centres = np.stack([features[groups[k]].mean(0) for k in order])
    radii = np.array(
        [
            np.linalg.norm(features[groups[k]] - c, axis=1).max()
            for k, c in zip(order, centres, strict=True)
        ]
    )
    return Concepts(centres, radii, scores[order])


class ACE:
    """|V| sets of concepts; an image is explained by those of the nearest cluster.

    Args:
        sight: segments and their features.
        omega: the space in which distances are taken.
        centres: (V, m) of the clusters, in it.
        concepts: of the V sets.
        inputs: (V,) the image nearest to each centre, among the training images.
        nearness: finds reference images like a given one.
    """

    def __init__(
        self,
        sight: Sight,
        omega: Omega,
        centres: torch.Tensor,
        concepts: list[Concepts],
        inputs: np.ndarray,
        nearness: Nearness,
    ) -> None:
        self.sight = sight
        self.network = sight.network
        self.omega = omega
        self.centres = centres
        self.concepts = concepts
        self.inputs = inputs
        self.nearness = nearness

    def assign(self, images: torch.Tensor) -> torch.Tensor:
        """Which of the V sets of concepts explains each image (N, 3, H, W): (N,)."""
        points = self.omega.points(self.network.maps(images))
        return closest(points, self.centres.to(points.device))

    def heatmap(self, images: torch.Tensor) -> torch.Tensor:
        """Heat maps (N, H, W): 1 on the most important segment, falling in steps."""
        which = self.assign(images).tolist()
        return torch.stack(
            [self._heat(image, self.concepts[v]) for image, v in zip(images, which, strict=True)]
        )

    def mask(self, images: torch.Tensor, keep: float = KEEP) -> torch.Tensor:
        """Masks (N, H, W) of whole segments: the most important, until more than ``keep``."""
        return keep_segments(self.heatmap(images), keep)

    def explain(self, image: torch.Tensor) -> Explanation:
        """The concepts of the image's cluster, and the nearest reference images in Omega."""
        images = image.reshape(1, *image.shape[-3:])
        maps = self.network.maps(images)
        concepts = self.concepts[int(self.assign(images)[0])]
        similar, distances = self.nearness(self.omega.points(maps)[0])
        with torch.no_grad():
            predicted = int(self.network.head(maps)[1].argmax())

        def heatmap(images: torch.Tensor) -> torch.Tensor:
            return torch.stack([self._heat(one, concepts) for one in images])

        def mask(images: torch.Tensor, keep: float = KEEP) -> torch.Tensor:
            return keep_segments(heatmap(images), keep)

        report = {"concepts": len(concepts.scores), "tcav": concepts.scores.tolist()}
        return Explanation(predicted, similar, distances, heatmap, mask, report)

    def _heat(self, image: torch.Tensor, concepts: Concepts) -> torch.Tensor:
        masks, features = self.sight(image)
        return torch.from_numpy(paint(masks[order_segments(features, concepts)])).to(image.device)

    def save(self, folder: Path) -> None:
        """Write to a folder."""
        sizes = [len(some.scores) for some in self.concepts]
        tensors = {
            "centres": self.centres.cpu(),
            "inputs": torch.from_numpy(self.inputs),
            "segments": torch.tensor(self.sight.sizes),
            "mean": torch.from_numpy(self.sight.mean),
            "std": torch.from_numpy(self.sight.std),
            "sizes": torch.tensor(sizes),
        } | {
            f"concept_{name}": torch.from_numpy(
                np.concatenate([getattr(some, name) for some in self.concepts])
            )
            for name in ("centres", "radii", "scores")
        }
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "explainer.safetensors")
        save_omega(self.omega, folder)
        self.nearness.save(folder)

    @classmethod
    def load(cls, folder: Path, network: Network) -> Self:
        """Read back what :meth:`save` wrote."""
        tensors = load_file(folder / "explainer.safetensors")
        ends = tensors["sizes"].cumsum(0).tolist()[:-1]
        parts = (
            np.split(tensors[f"concept_{name}"].numpy(), ends)
            for name in ("centres", "radii", "scores")
        )
        sight = Sight(
            network, tuple(tensors["segments"].tolist()), tensors["mean"].numpy(),
            tensors["std"].numpy(),
        )  # fmt: skip
        return cls(
            sight, load_omega(folder), tensors["centres"],
            [Concepts(*part) for part in zip(*parts, strict=True)],
            tensors["inputs"].numpy(), Nearness.load(folder),
        )  # fmt: skip


def paint(masks: np.ndarray) -> np.ndarray:
    """Ordered segments as a heat map: each pixel tells its first segment's place.

    Args:
        masks: (S, H, W) bool, the most important first.

    Returns:
        (H, W) float32: 1 on the first segment, 1 / S on the last, 0 where there is none.

    >>> paint(np.array([[[True, False, False]], [[True, True, False]]])).tolist()
    [[1.0, 0.5, 0.0]]
    """
    first = np.where(masks.any(0), masks.argmax(0), len(masks))
    return (1 - first / len(masks)).astype(np.float32)


def keep_segments(heat: torch.Tensor, keep: float) -> torch.Tensor:
    """The most important segments of heat maps (N, H, W) that cover more than ``keep`` together.

    Whole segments are kept until *more* than that share of the pixels is (section 6.2 of Lam et
    al.); where all segments cover less, all are kept.

    >>> keep_segments(torch.tensor([[[1.0, 0.5, 0.5, 0.25, 0.0]]]), keep=0.2).tolist()
    [[[True, True, True, False, False]]]
    """
    flat = heat.flatten(1)
    place = int(keep * flat.shape[1])  # the first pixel beyond the share, in order of heat
    level = flat.sort(dim=1, descending=True).values[:, min(place, flat.shape[1] - 1)]
    return (heat >= level[:, None, None]) & (heat > 0)
