"""The reference images R through the explained network: once for all explainers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.contracts import Progress, Silent
from benchmark.explain import ExplainContext, Network, subset
from benchmark.images import TestBatches
from methods.explainers.omega import Clusters, Deal, Omega, cluster, omega
from methods.explainers.parameters import ReuseParameters

CODE = ("methods.explainers.references", "methods.explainers.omega")


@dataclass(frozen=True)
class References:
    """What is kept of the reference images; tables are memory-mapped.

    ``folder`` holds the tables' files, for explainers that keep a link to one.
    """

    folder: Path
    index: np.ndarray  # (R,) where each is among the training images
    predicted: np.ndarray  # (R,) the class that the network predicts
    pooled: np.ndarray  # (R, d) spatial means of the maps
    points: np.ndarray  # (R, m) in Omega
    omega: Omega
    images: Callable[[np.ndarray], torch.Tensor]  # positions among R to images (n, 3, H, W)
    batches: Callable[[], Iterable[torch.Tensor]]  # all R images, in order

    def __len__(self) -> int:
        return len(self.predicted)


def measure(
    network: Network,
    batches: Iterable[torch.Tensor],
    n_images: int,
    folder: Path,
    *,
    index: np.ndarray | None = None,
    dimensions: int | None = None,
    generator: np.random.Generator | None = None,
    progress: Progress | None = None,
) -> None:
    """Stream reference images through a network, leaving what is kept of them in ``folder``.

    Args:
        network: to be explained.
        batches: of images (n, 3, H, W), ``n_images`` in all.
        n_images: R.
        folder: where the tables go.
        index: (R,) where each is among the training images; by default 0, 1, ...
        dimensions: of Omega at most (:func:`methods.explainers.omega.omega`); None: all.
        generator: of the projection.
        progress: shows a bar.
    """
    progress = progress or Silent()
    space: Omega | None = None
    predicted, start = np.empty(n_images, dtype=np.int64), 0
    tables: dict[str, np.ndarray] = {}
    for images in progress.track(batches, "reference images"):
        maps = network.maps(images)
        with torch.no_grad():
            logits = network.head(maps)[1]
        if space is None:
            generator = generator or np.random.default_rng(0)
            space = omega(maps[0].numel(), dimensions, generator)
            for name, width in (("pooled", maps.shape[1]), ("points", space.dimensions)):
                tables[name] = np.lib.format.open_memmap(
                    folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(n_images, width)
                )
        rows = slice(start, start + len(maps))
        tables["pooled"][rows] = maps.mean((2, 3)).cpu().numpy()
        tables["points"][rows] = space.points(maps).cpu().numpy()
        predicted[rows] = logits.argmax(1).cpu().numpy()
        start += len(maps)
    if space is None or start != n_images:
        raise ValueError(f"batches hold {start} images, not n_images={n_images}")
    for table in tables.values():
        table.flush()  # type: ignore[attr-defined]
    np.savez(
        folder / "references.npz",
        index=np.arange(n_images) if index is None else index,
        predicted=predicted,
    )
    save_omega(space, folder)


def read(
    folder: Path,
    images: Callable[[np.ndarray], torch.Tensor],
    batches: Callable[[], Iterable[torch.Tensor]],
) -> References:
    """What :func:`measure` left, and where the images are to be had again."""
    with np.load(folder / "references.npz") as archive:
        index, predicted = archive["index"], archive["predicted"]
    return References(
        folder,
        index,
        predicted,
        np.load(folder / "pooled.npy", mmap_mode="r"),
        np.load(folder / "points.npy", mmap_mode="r"),
        load_omega(folder),
        images,
        batches,
    )


def of_images(network: Network, images: torch.Tensor, folder: Path) -> References:
    """Reference images given as one tensor (R, 3, H, W), for use without the harness."""
    measure(network, images.split(100), len(images), folder)
    return read(folder, lambda rows: images[torch.from_numpy(rows)], lambda: images.split(100))


def references(context: ExplainContext) -> References:
    """The context's reference images: all training images, or a random share of large classes."""
    parameters: ReuseParameters = context.parameters
    shared = context.shared
    labels = shared.dataset.train.labels
    most = parameters.references_per_class
    if np.bincount(labels).max() <= most:
        index, split_batches = np.arange(len(labels)), shared.train_batches
    else:
        index = sample_per_class(labels, most, context.common_generator("references"))
        split = subset(shared.dataset.train, index)
        split_batches = TestBatches(split, shared.preprocessing, shared.device)

    def batches() -> Iterator[torch.Tensor]:
        for images, _, _ in split_batches:
            yield images

    def images(rows: np.ndarray) -> torch.Tensor:
        return split_batches.to_device(torch.stack([split_batches.pixels(int(i)) for i in rows]))

    def compute(folder: Path) -> None:
        measure(
            context.network, batches(), len(index), folder, index=index,
            dimensions=parameters.omega_dimensions, progress=context.progress,
            generator=np.random.default_rng(0),
        )  # fmt: skip

    decided = {"index": index.tolist(), "dimensions": parameters.omega_dimensions}
    return read(context.stage("references", decided, CODE, compute).folder, images, batches)


def inputs(context: ExplainContext, found: References) -> Clusters:
    """The |V| inputs of the context's repetition, the same for all explainers of a classifier."""
    parameters: ReuseParameters = context.parameters
    n_clusters = parameters.inputs_per_class * len(context.shared.dataset.classes)
    seed = int(context.common_generator("k-means").integers(2**32))

    def compute(folder: Path) -> None:
        clusters = cluster(np.asarray(found.points), n_clusters, seed)
        np.savez(
            folder / "clusters.npz",
            centres=clusters.centres, nearest=clusters.nearest, owner=clusters.owner,
        )  # fmt: skip

    decided = {
        "index": found.index.tolist(),
        "dimensions": parameters.omega_dimensions,
        "clusters": n_clusters,
        "seed": seed,
    }
    folder = context.stage("clusters", decided, CODE, compute).folder
    with np.load(folder / "clusters.npz") as archive:
        return Clusters(archive["centres"], archive["nearest"], archive["owner"])


def sample_per_class(labels: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """At most so many samples of each class, drawn at random, in ascending order.

    >>> sample_per_class(np.array([0, 0, 0, 1]), 2, np.random.default_rng(0)).tolist()[-1]
    3
    """
    chosen = [
        rows if len(rows) <= most else generator.choice(rows, most, replace=False)
        for rows in (np.flatnonzero(labels == c) for c in np.unique(labels))
    ]
    return np.sort(np.concatenate(chosen))


def save_omega(space: Omega, folder: Path) -> None:
    """Write Omega to ``omega.safetensors``."""
    tensors = {"dimensions": torch.tensor(space.dimensions)}
    if space.deal is not None:
        tensors |= {"order": space.deal.order, "sign": space.deal.sign}
    save_file(tensors, folder / "omega.safetensors")


def load_omega(folder: Path) -> Omega:
    """Read Omega back."""
    tensors = load_file(folder / "omega.safetensors")
    deal = Deal(tensors["order"], tensors["sign"]) if "order" in tensors else None
    return Omega(int(tensors["dimensions"]), deal)
