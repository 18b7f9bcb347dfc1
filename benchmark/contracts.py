"""What the rooms of this house agree on: cards, and the plain data that they exchange.

Importable without torch, so that ``list`` and ``--help`` answer at once: a card names its code
by a string ``"package.module:attribute"`` that is imported only when the code is needed.

The four nouns:

* a **dataset** is opened by a function ``open_dataset(arguments, data_root, cache_dir, progress)``
  and is a :class:`Dataset`, plain data;
* a **method** is a function ``fit(context) -> Fitted``;
* a **metric** is a function of a :class:`Batch` (one value per sample) or of :class:`Tables`
  (one value);
* an **explainer** is a function ``fit(classifier, reference_images) -> Explanation`` object.

Each is announced by a card: a module-level ``CARD`` (or ``CARDS``) in ``card.py`` of a method's
folder, in the module of a metric or dataset, or in a plugin's file.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.classifier import Classifier

T = TypeVar("T")


class UserError(Exception):
    """Something the user can mend. The command line prints its one sentence and exits with 2."""


class NotApplicable(Exception):
    """Raised by a metric that does not apply: the record gets null and this reason."""


def load(code: str | Callable[..., Any]) -> Callable[..., Any]:
    """The callable behind ``"package.module:attribute"`` (a callable is returned as it is).

    >>> load("math:sqrt")(9.0)
    3.0
    """
    if callable(code):
        return code
    module, _, attribute = code.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Parameters(BaseModel):
    """Base of every declared set of parameters: typed, ranged, documented, closed.

    Each field carries a ``description``; the command line (``--set``), the configuration file,
    the cache keys and the documentation all come from this one declaration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


# --------------------------------------------------------------------------------------- cards


@dataclass(frozen=True)
class Command:
    """A command that a method adds to the command line.

    ``function`` is a plain function, or ``"package.module:function"`` imported only when the
    command is called; its arguments' annotations are read by typer.
    """

    name: str
    help: str
    function: str | Callable[..., Any]


@dataclass(frozen=True)
class MethodCard:
    """What can be known of a method without importing torch.

    ``fit`` is called with one argument, :class:`benchmark.context.Context`, and returns a
    :class:`Fitted` (kind ``"classifier"``) or an :class:`Explainer` (kind ``"explainer"``).
    ``quick`` holds the parameters that ``--preset quick`` changes from the declared defaults,
    which are the paper's. ``code`` names the modules (or packages) whose source decides the
    result: their hash enters the cache key (by default the package or file of ``fit``).
    ``epochs(parameters)`` tells how many epochs of training a fit takes, for the estimate that a
    run prints before it starts. ``commands`` are further commands of the command line.
    """

    name: str
    title: str
    kind: Literal["classifier", "explainer"]
    paper: str
    parameters: type[Parameters]
    fit: str | Callable[..., Any]
    quick: Mapping[str, Any] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    code: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    epochs: Callable[[Any], int] | None = None
    reference: bool = False  # an uninterpretable reference row, set apart in tables
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class MetricCard:
    """A metric: a pure function and what the tables must know of it.

    ``scope`` ``"sample"``: ``compute(batch) -> Tensor of shape (N,)``, NaN where a sample does
    not count; the harness streams over the test images and averages over samples.
    ``scope`` ``"table"``: ``compute(tables) -> float``.
    ``scope`` ``"explainer"``: an explainer reports it of itself, by calling ``compute``; null for
    classifiers.
    ``needs`` names fields of :class:`Batch` / :class:`Tables` that must not be None; where one
    is missing the value is null with a reason.
    """

    name: str
    title: str
    unit: Literal["percent", "count", "fraction", "seconds"]
    range: tuple[float, float]
    higher_is_better: bool | None
    scope: Literal["sample", "table", "explainer"]
    compute: str | Callable[..., Any]
    needs: frozenset[str] = frozenset()
    paper: str = ""


@dataclass(frozen=True)
class DatasetCard:
    """A dataset: ``open(arguments: dict[str, str], data_root: Path | None, cache_dir: Path,
    progress: Progress) -> Dataset``. Raises :class:`UserError` when files are missing, with the
    folder that was looked at, what is missing, and what to do."""

    name: str
    title: str
    licence: str
    layout: str
    open: str | Callable[..., Any]
    preset: Literal["quick", "paper"]
    usage: str = ""  # how it is written on the command line, e.g. "folder:PATH"


# ---------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class ImageAttributes:
    """Rows of "image shows attribute", as CUB's ``image_attribute_labels.txt``.

    ``image`` indexes the training samples (0-based), ``attribute`` the attributes (0-based),
    ``present`` is 0/1, ``certainty`` 1 not visible, 2 guessing, 3 probably, 4 definitely.
    """

    image: np.ndarray  # (rows,) int64
    attribute: np.ndarray  # (rows,) int64
    present: np.ndarray  # (rows,) bool
    certainty: np.ndarray  # (rows,) int8


@dataclass(frozen=True)
class Split:
    """One split of a dataset: files and what is known of each image."""

    paths: tuple[Path, ...]
    labels: np.ndarray  # (N,) int64
    boxes: np.ndarray | None = None  # (N, 4) float64: x, y, width, height in pixels
    parts: np.ndarray | None = None  # (N, P, 3) float64: x, y in pixels, visible 0/1

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Dataset:
    """A dataset as plain data. ``fingerprint`` changes when the data do."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    crop_boxes: bool = False  # crop to the box before resizing (CUB as the papers use it)
    part_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    class_attributes: np.ndarray | None = None  # (n_c, n_a) in [0, 1]
    image_attributes: ImageAttributes | None = None  # of the training images
    pairs: np.ndarray | None = None  # (k, 2): classes made to differ in one detail alone
    fine_grained: bool = True  # strides of the last two ResNet stages become 1


@dataclass(frozen=True)
class Batch:
    """One streamed batch of test images through a classifier: what sample metrics read.

    N images, d used features (those with a nonzero weight in some class), C classes.
    """

    maps: torch.Tensor  # (N, d, h, w) raw feature maps
    logits: torch.Tensor  # (N, C)
    labels: torch.Tensor  # (N,)
    weight: torch.Tensor | None  # (C, d); None where the head is not linear
    masked_logits: torch.Tensor | None = None  # (N, C): only the top 20 % of the heat map kept
    pairs: torch.Tensor | None = None  # (k, 2) classes made to differ in one detail


@dataclass(frozen=True)
class Tables:
    """What table metrics read: the training images through a classifier, test transform.

    Features are the classifier's own (normalised, rectified where it rectifies), restricted to
    the d used ones.
    """

    features: torch.Tensor  # (N, d)
    logits: torch.Tensor  # (N, C)
    labels: torch.Tensor  # (N,)
    weight: torch.Tensor | None  # (C, d); None where the head is not linear
    class_similarity: torch.Tensor | None = None  # (C, C) ground truth, diagonal 0
    image_attributes: ImageAttributes | None = None


# ------------------------------------------------------------------------- methods, explainers


@dataclass
class Fitted:
    """What ``fit`` of a classifier method returns.

    ``report`` is JSON-able and goes into the record (objective of a solver, its gap, ...);
    ``phases`` has one entry per fine-tuning: ``{"name", "seconds", "accuracy_before",
    "accuracy_after", "history": [{"epoch", "loss", "accuracy", ...}, ...]}``.
    """

    classifier: Classifier
    report: dict[str, Any] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)


class Explainer(Protocol):
    """Explains a given classifier after the fact.

    Made by ``fit(classifier, reference_images)``; ``heatmap`` gives (N, H, W) maps at the
    images' size, ``mask`` (N, H, W) booleans that keep the given share of the pixels.
    """

    def heatmap(self, images: torch.Tensor) -> torch.Tensor: ...

    def mask(self, images: torch.Tensor, keep: float = 0.2) -> torch.Tensor: ...


# ------------------------------------------------------------------------------------ progress


class Progress(Protocol):
    """Progress bars, passed down explicitly; library code is silent by default."""

    def track(
        self, iterable: Iterable[T], description: str, total: int | None = None
    ) -> Iterator[T]:
        """Yield from ``iterable`` with a bar and an ETA."""
        ...

    def bar(
        self, description: str, total: float | None = None
    ) -> AbstractContextManager[Callable[..., None]]:
        """A bar whose value is ``advance(by=1, note="")``, for loops that are no iterable."""
        ...

    def say(self, line: str) -> None:
        """One line for the person who watches."""
        ...


class Silent:
    """The default :class:`Progress`: says nothing.

    >>> list(Silent().track([1, 2], "counting"))
    [1, 2]
    """

    def track(
        self, iterable: Iterable[T], description: str, total: int | None = None
    ) -> Iterator[T]:
        yield from iterable

    @contextmanager
    def bar(self, description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
        yield lambda by=1, note="": None

    def say(self, line: str) -> None:
        return None
