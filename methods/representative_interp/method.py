"""Representative interpretations (Lam et al., ICCV 2021) as an explainer."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch

from benchmark.contracts import Progress, Silent
from benchmark.explain import ExplainContext, Explanation, Network
from methods.explainers.omega import Clusters, Omega
from methods.explainers.references import References, inputs, references
from methods.explainers.reuse import ChannelWeights, Reuse, read_tensors
from methods.representative_interp import cover
from methods.representative_interp.boundaries import Boundaries, distinct, linear_boundaries
from methods.representative_interp.card import RepresentativeParameters
from metrics.covering import polytope_size, purity, representativeness


def fit(context: ExplainContext) -> RepresentativeInterpretations:
    """Interpret the |V| inputs of the context."""
    parameters: RepresentativeParameters = context.parameters
    found = references(context)
    clusters = inputs(context, found)
    n = min(parameters.boundaries, len(found))
    sample = np.sort(context.generator("boundaries").choice(len(found), n, replace=False))
    with context.timer("boundaries"):
        boundaries = sample_boundaries(context.network, found, sample)
        margins = reference_margins(context.network, found, boundaries, context.progress)
    with context.timer("interpretations"):
        return interpret(
            context.network, found, clusters, boundaries, margins,
            delta=parameters.delta, progress=context.progress,
        )  # fmt: skip


def sample_boundaries(network: Network, found: References, sample: np.ndarray) -> Boundaries:
    """The distinct boundaries of sampled reference images: the set Q of section 4.1."""
    rows = [sample[i : i + 100] for i in range(0, len(sample), 100)]
    return distinct(linear_boundaries(network, (found.images(row) for row in rows)))


def reference_margins(
    network: Network, found: References, boundaries: Boundaries, progress: Progress | None = None
) -> torch.Tensor:
    """Margins (R, Q) of the reference images: from their pooled maps where those are enough."""
    if boundaries.pooled:
        return boundaries.margins_of_pooled(torch.from_numpy(np.array(found.pooled)))
    batches = (progress or Silent()).track(found.batches(), "sides of the boundaries")
    return torch.cat([boundaries.margins(network.maps(images)).cpu() for images in batches])


def interpret(
    network: Network,
    found: References,
    clusters: Clusters,
    boundaries: Boundaries,
    margins: torch.Tensor,
    *,
    delta: int | None = None,
    progress: Progress | None = None,
) -> RepresentativeInterpretations:
    """Algorithm 1 for the input nearest to each cluster's centre.

    Args:
        network: to be explained.
        found: the reference images R.
        clusters: of them; the images nearest to their centres are the inputs V.
        boundaries: Q.
        margins: (R, Q) of :func:`reference_margins`.
        delta: of equation 3b; None: tau(x).
        progress: shows a bar.
    """
    positive = margins.numpy() > 0
    search = Search(positive, found.predicted)
    covers = [
        search(positive[row], int(found.predicted[row]), delta)
        for row in (progress or Silent()).track(clusters.nearest.tolist(), "interpretations")
    ]
    signs = torch.zeros(len(covers), len(boundaries), dtype=torch.int8)
    for v, (row, one) in enumerate(zip(clusters.nearest, covers, strict=True)):
        members = list(one.members)
        sides = np.where(positive[row, members], 1, -1)
        signs[v, members] = torch.from_numpy(sides).to(torch.int8)
    return RepresentativeInterpretations(
        network=network,
        omega=found.omega,
        centres=torch.from_numpy(clusters.centres),
        weights=_channel_weights(network, found, clusters, boundaries, signs),
        inputs=found.index[clusters.nearest],
        boundaries=boundaries,
        signs=signs,
        margins=margins,
        predicted=found.predicted,
        references=found.index,
        input_classes=found.predicted[clusters.nearest],
        delta=delta,
    )


class Search:
    """Algorithm 1 over one set of reference images.

    Args:
        positive: (R, Q) bool, on which side of each boundary each reference image lies.
        predicted: (R,) its predicted class.
    """

    def __init__(self, positive: np.ndarray, predicted: np.ndarray) -> None:
        # Images predicted alike lie side by side, so that a class is a few words.
        self.order = np.argsort(predicted, kind="stable")
        self.predicted = predicted[self.order]
        self.sides = cover.pack(positive[self.order].T)
        self.everyone = cover.pack(np.ones(len(predicted), dtype=bool))

    def __call__(self, side: np.ndarray, predicted: int, delta: int | None = None) -> cover.Cover:
        """The polytope of an image on these sides (Q,) of the boundaries, with this prediction."""
        same = cover.same_side(self.sides, side, self.everyone)
        other = cover.pack(self.predicted != predicted)
        return cover.greedy(same, self.everyone, other, delta)

    def inside(self, found: cover.Cover) -> np.ndarray:
        """The reference images that a cover holds, in ascending order."""
        return np.sort(self.order[cover.unpack(found.words, len(self.order))])


def _channel_weights(
    network: Network,
    found: References,
    clusters: Clusters,
    boundaries: Boundaries,
    signs: torch.Tensor,
) -> ChannelWeights:
    """Each interpretation draws with the boundaries of its polytope, turned to the input's side.

    A polytope without boundaries (all reference images are predicted alike, say) has nothing to
    draw: the input's own boundary is drawn in its place.
    """
    table = boundaries.channel_weights()
    most = max(1, int((signs != 0).sum(1).max()))
    members = (signs != 0).to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    drawn = signs.gather(1, members).to(table.dtype)
    for v in (drawn == 0).all(1).nonzero()[:, 0].tolist():
        own = linear_boundaries(network, [found.images(clusters.nearest[v : v + 1])])
        if len(own):
            positive = found.predicted[clusters.nearest[v]] == own.classes[0, 0]
            members[v, 0], drawn[v, 0] = len(table), 1.0 if positive else -1.0
            table = torch.cat([table, own.channel_weights()])
    return ChannelWeights(table, members, drawn)


class RepresentativeInterpretations(Reuse):
    """|V| polytopes and their heat maps.

    An image is drawn by the polytope that covers it; of several, the one whose cluster centre is
    nearest; if none does, by the polytope of the nearest centre (section 6.4).

    Args:
        signs: (V, Q) int8, +1 or -1 where a boundary belongs to P(v): the side of v; else 0.
        margins: (R, Q) of the reference images.
        predicted: (R,) their predicted classes.
        references: (R,) where they are among the training images.
        input_classes: (V,) predicted classes of the inputs.

    The other arguments are those of :class:`methods.explainers.reuse.Reuse` and of
    :func:`interpret`.
    """

    def __init__(
        self,
        network: Network,
        omega: Omega,
        centres: torch.Tensor,
        weights: ChannelWeights,
        inputs: np.ndarray,
        boundaries: Boundaries,
        signs: torch.Tensor,
        margins: torch.Tensor,
        predicted: np.ndarray,
        references: np.ndarray,
        input_classes: np.ndarray,
        delta: int | None = None,
    ) -> None:
        super().__init__(network, omega, centres, weights, inputs)
        self.boundaries = boundaries
        self.signs = signs
        self.margins = margins
        self.predicted = predicted
        self.references = references
        self.input_classes = input_classes
        self.delta = delta

    def covers(self, margins: torch.Tensor) -> torch.Tensor:
        """Whether each polytope covers each image: (N, V) bool, of margins (N, Q)."""
        signs = self.signs.to(margins.device, torch.float32)
        sides = torch.where(margins > 0, 1.0, -1.0)
        # Sides agree with all boundaries of a polytope where their product counts them all.
        return sides @ signs.T == signs.abs().sum(1)

    def assign(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.network.maps(images)
        points = self.omega.points(maps)
        distances = torch.cdist(points, self.centres.to(points.device))
        covers = self.covers(self.boundaries.margins(maps))
        candidates = covers | ~covers.any(1, keepdim=True)
        return distances.masked_fill(~candidates, torch.inf).argmin(1)

    def covered(self, images: torch.Tensor) -> torch.Tensor:
        """Whether some polytope covers each image: (N,) bool."""
        return self.covers(self.boundaries.margins(self.network.maps(images))).any(1)

    def explain(self, image: torch.Tensor) -> Explanation:
        """A polytope of the image's own, and the reference images it covers by equation 6."""
        images = image.reshape(1, *image.shape[-3:])
        maps = self.network.maps(images)
        with torch.no_grad():
            predicted = int(self.network.head(maps)[1].argmax())
        margins = self.boundaries.margins(maps)[0].cpu()
        search = Search(self.margins.numpy() > 0, self.predicted)
        found = search(margins.numpy() > 0, predicted, self.delta)
        members = torch.tensor(found.members, dtype=torch.long)
        weights = self.boundaries.channel_weights()[members]
        weights = weights * torch.where(margins[members] > 0, 1.0, -1.0)[:, None]
        if not found.members:
            own = linear_boundaries(self.network, [images])
            weights = own.channel_weights() * torch.where(own.classes[:, :1] == predicted, 1, -1)
        similar, distances = self._rank(margins, members, search.inside(found))
        heatmap, mask = self.drawn_by(weights)
        report = {
            "boundaries": len(found.members),
            "covered": found.inside,
            "purity": 1 - found.impure / found.inside if found.inside else None,
            "tau": found.tau,
        }
        return Explanation(predicted, similar, distances, heatmap, mask, report)

    def _rank(
        self, margins: torch.Tensor, members: torch.Tensor, inside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Covered images by semantic distance (equation 6), in which offsets cancel."""
        rows = self.margins[torch.from_numpy(inside)][:, members]
        distances = semantic_distance(margins[members], rows).numpy()
        order = np.argsort(distances, kind="stable")
        return self.references[inside[order]], distances[order]

    def report(self) -> dict[str, float]:
        """Representativeness, purity and size of the polytopes, and how many boundaries there are.

        Names are those of the metrics in :mod:`metrics.covering`.
        """
        covers = self.covers(self.margins).T
        classes = torch.from_numpy(self.input_classes)
        agrees = classes[:, None] == torch.from_numpy(self.predicted)
        return {
            "representativeness": float(representativeness(covers)),
            "purity": float(purity(covers, agrees)),
            "polytope_size": float(polytope_size(self.signs != 0)),
            "distinct_boundaries": float(len(self.boundaries)),
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        return super().tensors() | {
            "normals": self.boundaries.normals,
            "offsets": self.boundaries.offsets,
            "classes": self.boundaries.classes,
            "sizes": self.boundaries.sizes,
            "places": torch.tensor(self.boundaries.places),
            "polytopes": self.signs,
            "margins": self.margins,
            "predicted": torch.from_numpy(self.predicted),
            "references": torch.from_numpy(self.references),
            "input_classes": torch.from_numpy(self.input_classes),
            "delta": torch.tensor(-1 if self.delta is None else self.delta),
        }

    @classmethod
    def load(cls, folder: Path, network: Network) -> Self:
        """Read back what :meth:`save` wrote."""
        tensors, weights, omega = read_tensors(folder)
        boundaries = Boundaries(
            tensors["normals"],
            tensors["offsets"],
            tensors["classes"],
            tensors["sizes"],
            int(tensors["places"]),
        )
        delta = int(tensors["delta"])
        return cls(
            network=network,
            omega=omega,
            centres=tensors["centres"],
            weights=weights,
            inputs=tensors["inputs"].numpy(),
            boundaries=boundaries,
            signs=tensors["polytopes"],
            margins=tensors["margins"],
            predicted=tensors["predicted"].numpy(),
            references=tensors["references"].numpy(),
            input_classes=tensors["input_classes"].numpy(),
            delta=None if delta < 0 else delta,
        )


def semantic_distance(one: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Equation 6: ``sum_h |<W_h, psi(x)> - <W_h, psi(x')>|``.

    Args:
        one: (K,) margins of x with respect to the boundaries of P(x).
        others: (n, K) margins of other images.

    Returns:
        (n,), the smaller the more similar.

    >>> semantic_distance(torch.tensor([1.0, 2.0]), torch.tensor([[0.0, 4.0]]))
    tensor([3.])
    """
    return (others - one).abs().sum(1)
