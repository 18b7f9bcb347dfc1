"""The one type that every method returns and every metric, explainer and figure reads.

A classifier is ``maps(images)`` and ``head(maps) -> (features, logits)``. The head of a readable
one selects n_f* of the n_f features, normalises them with a fixed mean and deviation, rectifies
them if asked, and combines them by a sparse weight matrix.

The dense classifier of an architecture with fully connected layers (VGG) keeps them, as a
:class:`LayeredHead`. It has no linear weight, so that metrics which read one are null; its
features are the pooled maps all the same, and methods put their readable head on those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from benchmark.backbones import Backbone, BackboneSpec, build_parts
from datasets.transforms import Preprocessing


class Head(nn.Module):
    """Select, pool, normalise, (rectify,) combine: ``logits = weight @ features + bias``.

    Shapes: selection (n_f*,) of the n_f feature maps; mean, deviation (n_f*,); weight
    (n_c, n_f*); bias (n_c,) or None. With ``trainable=False`` weight and bias are fixed, as in
    fine-tuning. Dropout comes right after pooling, as in the authors' code.

    >>> head = Head(torch.tensor([2, 0]), weight=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> features, logits = head(torch.ones(1, 3, 4, 4))
    >>> features.tolist(), logits.tolist()
    ([[1.0, 1.0]], [[1.0, 1.0]])
    """

    selection: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        selection: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        mean: torch.Tensor | None = None,
        deviation: torch.Tensor | None = None,
        rectify: bool = False,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        n = len(selection)
        if weight.shape[1] != n:
            raise ValueError(f"weight has {weight.shape[1]} columns for {n} selected features")
        self.register_buffer("selection", selection.long().clone())
        self.register_buffer("mean", torch.zeros(n) if mean is None else mean.float().clone())
        self.register_buffer(
            "deviation", torch.ones(n) if deviation is None else deviation.float().clone()
        )
        self.weight = nn.Parameter(weight.float().clone(), requires_grad=trainable)
        self.bias = (
            None if bias is None else nn.Parameter(bias.float().clone(), requires_grad=trainable)
        )
        self.rectify = rectify
        self.dropout = 0.0

    def select(self, maps: torch.Tensor) -> torch.Tensor:
        """The selected maps (N, n_f*, h, w) of all (N, n_f, h, w), in float32."""
        everything = len(self.selection) == maps.shape[1]
        return (maps if everything else maps[:, self.selection]).float()

    def features(self, pooled: torch.Tensor) -> torch.Tensor:
        """Normalised (and rectified) features (N, n_f*) of the pooled selected maps."""
        features = (pooled - self.mean) / self.deviation
        return features.relu() if self.rectify else features

    def classify(self, selected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, n_f*) and logits (N, n_c) of selected maps."""
        pooled = F.dropout(selected.mean((2, 3)), self.dropout, self.training)
        features = self.features(pooled)
        return features, F.linear(features, self.weight, self.bias)

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # Heads stay in float32 under autocast: they are small, and losses read them.
        with torch.autocast(maps.device.type, enabled=False):
            return self.classify(self.select(maps))

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the last layer, the only one."""
        return list(self.parameters())

    def used(self) -> torch.Tensor:
        """Indices (into the selection) of the features with a nonzero weight in some class."""
        return (self.weight != 0).any(0).nonzero()[:, 0]

    def binary(self) -> bool:
        """Whether all weights are 0 or 1: classes are sets of features."""
        return bool(((self.weight == 0) | (self.weight == 1)).all())


class LayeredHead(nn.Module):
    """A head with hidden layers: ``logits = last(hidden(maps))``; features are the pooled maps.

    ``hidden`` goes from maps (N, n_f, h, w) to (N, k), ``last`` is linear. There is no ``weight``:
    what a feature adds to a logit depends on the image. ``dropout`` is the rate of all dropout
    layers in ``hidden``.

    >>> hidden = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Dropout())
    >>> head = LayeredHead(3, hidden, nn.Linear(5, 2))
    >>> features, logits = head(torch.ones(4, 3, 2, 2))
    >>> tuple(features.shape), tuple(logits.shape), head.weight
    ((4, 3), (4, 2), None)
    """

    weight = None

    def __init__(self, n_features: int, hidden: nn.Sequential, last: nn.Linear) -> None:
        super().__init__()
        self.n_features = n_features
        self.hidden = hidden
        self.last = last

    @classmethod
    def untrained(cls, n_features: int, hidden: nn.Sequential, n_classes: int) -> LayeredHead:
        """A head whose last layer is new, as wide as the last hidden one."""
        widths = [layer.out_features for layer in hidden.modules() if isinstance(layer, nn.Linear)]
        return cls(n_features, hidden, nn.Linear(widths[-1], n_classes))

    @property
    def dropout(self) -> float:
        return max((layer.p for layer in self._dropouts()), default=0.0)

    @dropout.setter
    def dropout(self, rate: float) -> None:
        for layer in self._dropouts():
            layer.p = rate

    def _dropouts(self) -> Iterator[nn.Dropout]:
        return (layer for layer in self.hidden.modules() if isinstance(layer, nn.Dropout))

    def select(self, maps: torch.Tensor) -> torch.Tensor:
        """All maps (N, n_f, h, w), in float32."""
        return maps.float()

    def classify(self, selected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, n_f) and logits (N, n_c) of maps."""
        return selected.mean((2, 3)), self.last(self.hidden(selected))

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(maps.device.type, enabled=False):
            return self.classify(self.select(maps))

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the last layer."""
        return list(self.last.parameters())

    def used(self) -> torch.Tensor:
        """Indices of the features: all are used."""
        return torch.arange(self.n_features)

    def binary(self) -> bool:
        """Never: there are no weights."""
        return False


class Classifier(nn.Module):
    """A backbone and a head, and the preprocessing that they were trained with."""

    def __init__(
        self, backbone: Backbone, head: Head | LayeredHead, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.preprocessing = preprocessing

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """All feature maps (N, n_f, h, w) of normalised images (N, 3, H, W)."""
        return self.backbone(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_c) of normalised images (N, 3, H, W)."""
        return self.head(self.maps(images))[1]

    def class_maps(self, selected: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Each image's map (N, h, w) of one class: the selected maps weighted as its logit is.

        The logit is linear in the pooled maps with slope weight / deviation, so the mean of this
        map is the logit up to a constant (class activation mapping, Zhou et al. 2016). Only for a
        head with a weight.
        """
        assert isinstance(self.head, Head)
        slope = (self.head.weight / self.head.deviation)[classes]
        return torch.einsum("nd,ndhw->nhw", slope, selected)


def save(classifier: Classifier, folder: Path) -> None:
    """Write a classifier to a folder: ``classifier.safetensors`` and ``classifier.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().contiguous() for k, v in classifier.state_dict().items()}
    save_file(state, folder / "classifier.safetensors")
    about: dict[str, Any] = {
        "backbone": asdict(classifier.backbone.spec),
        "preprocessing": classifier.preprocessing.to_dict(),
    }
    if isinstance(classifier.head, Head):
        about["rectify"] = classifier.head.rectify
    (folder / "classifier.json").write_text(json.dumps(about, indent=1))


def load(folder: Path, device: str | torch.device = "cpu") -> Classifier:
    """Read a classifier back, in evaluation mode."""
    about: dict[str, Any] = json.loads((folder / "classifier.json").read_text())
    state = load_file(folder / "classifier.safetensors")
    backbone, hidden = build_parts(BackboneSpec(**about["backbone"]), with_weights=False)
    head: Head | LayeredHead
    if "head.selection" in state:
        head = Head(
            state["head.selection"], state["head.weight"], state.get("head.bias"),
            state["head.mean"], state["head.deviation"], rectify=about["rectify"],
        )  # fmt: skip
    else:
        assert hidden is not None
        n_classes = len(state["head.last.bias"])
        head = LayeredHead.untrained(backbone.n_features, hidden, n_classes)
    classifier = Classifier(backbone, head, Preprocessing.from_dict(about["preprocessing"]))
    classifier.load_state_dict(state)
    classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier.eval()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, the former mode restored afterwards."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
