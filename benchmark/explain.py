"""Explainers: what their ``fit`` is given, how they are measured, what figures need of them.

An explainer sees a classifier as a :class:`Network`, ``maps(images)`` and ``head(maps)`` and
nothing more, so that any network with a feature layer and a head can be explained. Its
interpretations are made from training images and reused on test images, which it has never seen.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from benchmark.classifier import Classifier
from benchmark.context import Shared
from benchmark.contracts import Batch, MetricCard, Parameters, Progress, Split
from benchmark.evaluate import KEEP, Value, finite_value, masked, means, null
from benchmark.images import TestBatches
from benchmark.store import Result, code_hash, derive_seed
from benchmark.training import Setting, autocast

# --------------------------------------------------------------------------- what explainers see


class Network(Protocol):
    """A classifier as explainers see it.

    ``maps(images (N, 3, H, W)) -> (N, d, h, w)`` is psi of Lam et al., its values the points of
    the space Omega; ``head(maps) -> (features, logits (N, C))`` is their G, differentiable.
    """

    def maps(self, images: torch.Tensor) -> torch.Tensor: ...

    def head(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


class ClassifierNetwork:
    """A classifier of the suite as a :class:`Network`.

    Omega is the space of the maps that the head reads: of a readable classifier the selected
    ones. The last batch's maps are kept, so that asking for the logits, the heat maps and the
    cover of one batch runs the backbone once.
    """

    def __init__(self, classifier: Classifier, setting: Setting) -> None:
        self.classifier = classifier.to(setting.device).eval()
        self.setting = setting
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """The maps (N, d, h, w) that the head reads, float32, without gradients."""
        if self._last is None or self._last[0] is not images:
            with torch.no_grad(), autocast(self.setting):
                maps = self.classifier.maps(images)
            self._last = images, self.classifier.head.select(maps)
        return self._last[1]

    def head(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and logits of maps that :meth:`maps` gave."""
        return self.classifier.head.classify(maps)


@dataclass(frozen=True)
class Cut:
    """Any network, cut into a trunk up to its feature maps and a top that makes logits of them.

    >>> from torch.nn import Flatten, Linear, ReLU, Sequential
    >>> top = Sequential(Flatten(), Linear(8, 5), ReLU(), Linear(5, 3))
    >>> network = Cut(trunk=torch.nn.Conv2d(3, 2, 1), top=top)
    >>> network.head(network.maps(torch.zeros(4, 3, 2, 2)))[1].shape
    torch.Size([4, 3])
    """

    trunk: Callable[[torch.Tensor], torch.Tensor]
    top: Callable[[torch.Tensor], torch.Tensor]

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.trunk(images)

    def head(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return maps.mean((2, 3)), self.top(maps)


@dataclass(frozen=True)
class Explanation:
    """What an explainer says of one image, and its reuse on others.

    ``similar`` indexes the training images, the most similar first, ``distances`` tells how far
    they are; ``heatmap(images) -> (N, H, W)`` and ``mask(images, keep=0.2) -> (N, H, W)`` draw
    any images by this one image's interpretation; ``report`` holds plain values.
    """

    predicted: int
    similar: np.ndarray
    distances: np.ndarray
    heatmap: Callable[[torch.Tensor], torch.Tensor]
    mask: Callable[..., torch.Tensor]
    report: dict[str, Any] = field(default_factory=dict)


class SavedExplainer(Protocol):
    """What ``fit(context)`` of a card with kind ``"explainer"`` returns.

    Besides: ``covered(images) -> (N,) bool``, where the explainer knows which images its
    interpretations cover, and ``report() -> dict`` with plain values, which become metrics.
    ``load(folder, network)`` is a class method.
    """

    def heatmap(self, images: torch.Tensor) -> torch.Tensor: ...

    def mask(self, images: torch.Tensor, keep: float = KEEP) -> torch.Tensor: ...

    def explain(self, image: torch.Tensor) -> Explanation: ...

    def save(self, folder: Path) -> None: ...


def save(explainer: SavedExplainer, folder: Path) -> None:
    """Write an explainer to a folder, with the name of the class that reads it back."""
    folder.mkdir(parents=True, exist_ok=True)
    explainer.save(folder)
    kind = type(explainer)
    about = {"class": f"{kind.__module__}:{kind.__qualname__}"}
    (folder / "explainer.json").write_text(json.dumps(about))


def load(folder: Path, network: Network) -> Any:
    """Read an explainer back, for the network that it explains."""
    module, _, name = json.loads((folder / "explainer.json").read_text())["class"].partition(":")
    return getattr(importlib.import_module(module), name).load(folder, network)


# ----------------------------------------------------------------------------- what fit is given


def fingerprint(classifier: Classifier) -> str:
    """A hash (16 digits) of everything that a classifier computes with, wherever it came from."""
    digest = hashlib.sha256()
    for name, value in sorted(classifier.state_dict().items()):
        digest.update(name.encode() + b"\0")
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(classifier.preprocessing.to_dict(), sort_keys=True).encode())
    return digest.hexdigest()[:16]


@dataclass
class ExplainContext:
    """What ``fit`` of an explainer is called with.

    ``explained`` names the method that made ``classifier``; ``folder`` is the fit's own. Two
    kinds of seeds: :meth:`generator` is the explainer's own, :meth:`common_generator` is the same
    for all explainers of one classifier and repetition, for choices that they are to share.
    """

    method: str
    parameters: Any
    classifier: Classifier
    explained: str
    shared: Shared
    repetition: int
    folder: Path
    timings: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def network(self) -> ClassifierNetwork:
        return ClassifierNetwork(self.classifier, self.shared.setting())

    @property
    def progress(self) -> Progress:
        return self.shared.progress

    @property
    def common_seed(self) -> int:
        """From (dataset, backbone, explained method, seed, repetition)."""
        shared = self.shared
        axes = (shared.dataset.name, shared.backbone.name, self.explained, shared.seed)
        return derive_seed(*axes, self.repetition)

    @property
    def seed(self) -> int:
        """From (dataset, backbone, explainer, explained method, seed, repetition)."""
        shared = self.shared
        axes = (shared.dataset.name, shared.backbone.name, self.method, self.explained)
        return derive_seed(*axes, shared.seed, self.repetition)

    def generator(self, name: str = "") -> np.random.Generator:
        """A generator of this fit's own, named."""
        return np.random.default_rng([self.seed, derive_seed(name)])

    def common_generator(self, name: str = "") -> np.random.Generator:
        """A generator that is the same for every explainer of this classifier and repetition."""
        return np.random.default_rng([self.common_seed, derive_seed(name)])

    def stage(
        self,
        name: str,
        parameters: Mapping[str, Any] | Parameters,
        code: tuple[str, ...],
        compute: Callable[[Path], float | None],
    ) -> Result:
        """A cached stage that explainers of the same classifier share.

        Keyed by the data, the explained classifier's own content, the parameters given and the
        source of the modules named; what depends on the repetition has it among its parameters.
        """
        ingredients = self.shared.ground() | {
            "stage": name,
            "explained": fingerprint(self.classifier),
            "parameters": dict(parameters),
            "own_code": code_hash((*code, __name__)),
        }
        result = self.shared.store.get(name, ingredients, compute)
        self.timings.append(
            {"stage": name, "key": result.key, "seconds": result.seconds, "cached": result.cached}
        )
        return result

    @contextmanager
    def timer(self, name: str) -> Iterator[None]:
        """Time a part of the fit under a name of its own in the record."""
        started = time.perf_counter()
        yield
        self.timings.append(
            {"stage": name, "seconds": time.perf_counter() - started, "cached": False}
        )


def subset(split: Split, indices: np.ndarray) -> Split:
    """Some images of a split, in the order of ``indices``."""
    return Split(
        tuple(split.paths[i] for i in indices),
        split.labels[indices],
        None if split.boxes is None else split.boxes[indices],
        None if split.parts is None else split.parts[indices],
    )


# ------------------------------------------------------------------------------------- measuring


def evaluate_explainer(
    explainer: Any,
    network: Network,
    shared: Shared,
    cards: Sequence[MetricCard],
    *,
    unseen: int | None = None,
) -> tuple[dict[str, Value], dict[str, Any]]:
    """Metrics of an explainer on the test images, each a value or null with the reason.

    Sample metrics that read ``masked_logits`` (Average Drop and Increase, equations 7 and 8) see
    the logits of the whole image and of the one of which the explainer keeps 20 % of the pixels,
    the rest black; what the explainer reports of itself joins them under its own names.

    Args:
        explainer: fitted to ``network``.
        network: the network that it explains.
        shared: data, device and progress.
        cards: of all metrics; those that measure classifiers are null.
        unseen: that many test images, drawn at random, instead of all.

    Returns:
        values by metric, and ``{"images", "kept"}``: how many images were seen, and the mean
        share of the pixels that the masks kept.
    """
    test = shared.test_batches
    if unseen is not None and unseen < len(test.split):
        draw = np.random.default_rng([derive_seed(shared.dataset.name, "unseen"), shared.seed])
        chosen = np.sort(draw.choice(len(test.split), unseen, replace=False))
        test = TestBatches(subset(test.split, chosen), test.preprocessing, test.device)
    masking = [card for card in cards if card.scope == "sample" and "masked_logits" in card.needs]
    kept: list[torch.Tensor] = []
    covered: list[torch.Tensor] = []
    values = means(masking, _masked_batches(explainer, network, test, shared, kept, covered))
    reported = dict(explainer.report()) if hasattr(explainer, "report") else {}
    if covered:
        reported["unseen_coverage"] = float(torch.cat(covered).double().mean())
    values |= {name: finite_value(float(value)) for name, value in reported.items()}
    for card in cards:
        covers = card.scope == "explainer"
        reason = "this explainer covers no images" if covers else "measures a classifier"
        values.setdefault(card.name, null(reason))
    return values, {"images": len(test.split), "kept": float(torch.cat(kept).mean())}


def _masked_batches(
    explainer: Any,
    network: Network,
    test: TestBatches,
    shared: Shared,
    kept: list[torch.Tensor],
    covered: list[torch.Tensor],
) -> Iterator[Batch]:
    dark = black(test)
    for images, labels, _ in shared.progress.track(test, "masked test images"):
        maps = network.maps(images)
        mask = explainer.mask(images, KEEP)
        kept.append(mask.flatten(1).double().mean(1).cpu())
        if hasattr(explainer, "covered"):
            covered.append(explainer.covered(images).cpu())
        with torch.no_grad():
            logits = network.head(maps)[1]
            masked_logits = network.head(network.maps(masked(images, mask, dark)))[1]
        yield Batch(
            maps=maps,
            logits=logits,
            labels=labels,
            weight=None,
            masked_logits=masked_logits,
        )


def black(batches: TestBatches) -> torch.Tensor:
    """Black as the network sees it: (3,) normalised."""
    return batches.to_device(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))[0, :, 0, 0]


# --------------------------------------------------------------------------------------- figures


def write_case_studies(
    explainer: Any,
    network: Network,
    shared: Shared,
    folder: Path,
    *,
    cases: int = 4,
    similar: int = 4,
) -> None:
    """Figure 2 of Lam et al. as data: ``case_studies.json`` and ``case_studies.npz``.

    For ``cases`` test images, the same for every explainer of a (dataset, backbone, seed): the
    image and its most similar training images, each with its heat map by the image's own
    interpretation, the score of the class predicted for the image, and the score when the mask
    keeps 20 % of the pixels. Arrays ``image_<case>_<column>`` (H, W, 3) uint8 and
    ``heat_<case>_<column>`` (H, W) float16, column 0 being the image itself.
    """
    train, test = shared.train_batches, shared.test_batches
    draw = np.random.default_rng(derive_seed(shared.dataset.name, shared.seed, "case studies"))
    chosen = draw.choice(len(test.split), min(cases, len(test.split)), replace=False)
    dark = black(test)
    described: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for case, index in enumerate(shared.progress.track(chosen.tolist(), "case studies")):
        pixels = [test.pixels(index)]
        explanation = explainer.explain(test.to_device(torch.stack(pixels))[0])
        nearest = explanation.similar[:similar].tolist()
        pixels += [train.pixels(i) for i in nearest]
        images = test.to_device(torch.stack(pixels))
        heat = explanation.heatmap(images)
        whole = masked(images, explanation.mask(images, KEEP), dark)
        scores, masked_scores = _scores(network, images, whole, explanation.predicted)
        described.append(
            {
                "test_image": index,
                "label": int(test.split.labels[index]),
                "truth": shared.dataset.classes[int(test.split.labels[index])],
                "predicted": explanation.predicted,
                "class": shared.dataset.classes[explanation.predicted],
                "similar": nearest,
                "distances": explanation.distances[:similar].tolist(),
                "scores": scores,
                "masked_scores": masked_scores,
                "report": explanation.report,
            }
        )
        for column, picture in enumerate(pixels):
            arrays[f"image_{case}_{column}"] = picture.permute(1, 2, 0).numpy()
            arrays[f"heat_{case}_{column}"] = heat[column].cpu().numpy().astype(np.float16)
    np.savez_compressed(folder / "case_studies.npz", **arrays)  # type: ignore[arg-type]
    (folder / "case_studies.json").write_text(json.dumps(described, indent=1))


def _scores(
    network: Network, images: torch.Tensor, whole: torch.Tensor, predicted: int
) -> tuple[list[float], list[float]]:
    with torch.no_grad():
        one = network.head(network.maps(images))[1].softmax(1)[:, predicted]
        two = network.head(network.maps(whole))[1].softmax(1)[:, predicted]
    return one.tolist(), two.tolist()
