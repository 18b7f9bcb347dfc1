"""Backbones behind one shape: ``maps(images) -> (N, n_f, h, w)``.

``thin_resnet`` and ``thin_vgg`` are the suite's own sizes for two cores; the papers' come from
torchvision, and ``timm:NAME`` is any convolutional model of timm. What a head does with the maps
is not known here; but some architectures, such as VGG, bring hidden layers of a head of their own.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.contracts import UserError


@dataclass(frozen=True)
class BackboneSpec:
    """Everything that decides a backbone's untrained shape and start: plain data, in cache keys.

    ``weights`` is ``"none"`` (random), ``"imagenet"`` (torchvision's or timm's) or the path of a
    state dict; ``unit_strides`` sets the strides of the last two ResNet stages to 1, as PIP-Net
    and QPM do on fine-grained data (appendix C of the QPM paper).
    """

    name: str
    weights: str = "none"
    unit_strides: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data for keys and files; a weights file enters by its content.

        >>> BackboneSpec("thin_resnet").to_dict()
        {'name': 'thin_resnet', 'weights': 'none', 'unit_strides': True}
        """
        plain = asdict(self)
        if self.weights not in ("none", "imagenet"):
            plain["weights"] = f"sha256:{_file_hash(Path(self.weights))}"
        return plain


@dataclass(frozen=True)
class _Family:
    """How the backbones of one architecture are built, and the paper's constants for them."""

    build: Callable[[str, str | None], nn.Module]
    trunk: Callable[[nn.Module], nn.Module]
    beta: float  # weight of the feature diversity loss, appendix C of the QPM paper
    image_size: int = 224
    stages_with_unit_stride: tuple[str, ...] = ()
    hidden: Callable[[Any], nn.Sequential] | None = None  # all layers after the maps but the last


class _WithoutChildren(nn.Sequential):
    """The children of a model up to its pooling, in order, under their own names."""

    def __init__(self, model: nn.Module, dropped: tuple[str, ...]) -> None:
        super().__init__()
        for name, child in model.named_children():
            if name not in dropped:
                self.add_module(name, child)


class _Swin(nn.Module):
    """torchvision's Swin ends in (N, h, w, n_f); here the channels come second."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.features, self.norm = model.features, model.norm

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.features(images)).permute(0, 3, 1, 2)


class _Timm(nn.Module):
    """A timm model up to its feature maps."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.model.forward_features(images)
        if maps.ndim != 4:
            raise UserError("this timm backbone gives no feature maps; choose a convolutional one")
        return maps


def _torchvision(name: str, weights: str | None) -> nn.Module:
    import torchvision

    # The paper's numbers rest on V1: V2's features are class detectors already (appendix C).
    return torchvision.models.get_model(name, weights="IMAGENET1K_V1" if weights else None)


def _inception(name: str, weights: str | None) -> nn.Module:
    import torchvision

    extra = {} if weights else {"init_weights": True}
    return torchvision.models.get_model(
        name, weights="IMAGENET1K_V1" if weights else None, aux_logits=True, **extra
    )


def _thin(name: str, weights: str | None) -> nn.Module:
    from timm.models.resnet import BasicBlock, ResNet

    if weights:
        raise UserError("thin_resnet has no ImageNet weights: use --weights none or a file")
    # One block a stage and a 3 x 3 stem: small enough for two cores, and 8 x 8 maps at 64 pixels.
    return ResNet(
        BasicBlock, (1, 1, 1, 1), num_classes=0,  # type: ignore[arg-type]
        global_pool="", channels=(32, 64, 128, 256),
        stem_type="deep", stem_width=16, replace_stem_pool=False, zero_init_last=False,
    )  # fmt: skip


class _ThinVGG(nn.Module):
    """VGG's shape (Simonyan and Zisserman 2015) with few channels: 3 x 3 convolutions between max
    pools, 8 x 8 maps at 64 pixels, then two hidden layers. Batch normalisation, unlike VGG-19,
    since it is trained from scratch."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for stage in ((32,), (64,), (128, 128), (128, 128)):
            for channels in stage:
                convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
                before = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Sequential(
            nn.Linear(16 * before, 128), nn.ReLU(), nn.Dropout(),
            nn.Linear(128, 128), nn.ReLU(), nn.Dropout(),
            nn.Linear(128, 1000),
        )  # fmt: skip


def _thin_vgg(name: str, weights: str | None) -> nn.Module:
    if weights:
        raise UserError("thin_vgg has no ImageNet weights: use --weights none or a file")
    return _ThinVGG()


def _vgg_trunk(model: Any) -> nn.Module:
    """Up to the rectified maps of the last convolution (VGG-19's conv5_4), before the max pool."""
    return nn.Sequential(OrderedDict(features=model.features[:-1]))


def _vgg_hidden(model: Any) -> nn.Sequential:
    """The last max pool, the pooling to a fixed size (whatever the maps'), all fully connected
    layers but the last: piecewise linear, so that equation 2 of Lam et al. is exact on it."""
    return nn.Sequential(
        OrderedDict(
            pool=model.features[-1],
            resize=model.avgpool,
            flatten=nn.Flatten(),
            layers=model.classifier[:-1],
        )
    )


def _timm(name: str, weights: str | None) -> nn.Module:
    import timm

    return timm.create_model(
        name.removeprefix("timm:"), pretrained=bool(weights), num_classes=0, global_pool=""
    )


_HEADS = ("avgpool", "fc", "AuxLogits", "dropout")
_RESNET = _Family(
    _torchvision, lambda m: _WithoutChildren(m, _HEADS), 0.196,
    stages_with_unit_stride=("layer3", "layer4"),
)  # fmt: skip
_FAMILIES: dict[str, _Family] = {
    "thin_resnet": _Family(_thin, _Timm, 0.196, 64, ("model.layer3", "model.layer4")),
    "resnet": _RESNET,
    "wide_resnet": _RESNET,
    "inception_v3": _Family(_inception, lambda m: _WithoutChildren(m, _HEADS), 0.049, 299),
    "swin": _Family(_torchvision, _Swin, 0.0245),
    # No paper has the feature diversity loss on VGG: the ResNets' weight where a head is linear.
    "thin_vgg": _Family(_thin_vgg, _vgg_trunk, 0.196, 64, hidden=_vgg_hidden),
    "vgg": _Family(_torchvision, _vgg_trunk, 0.196, hidden=_vgg_hidden),
    "timm:": _Family(_timm, _Timm, 0.196),
}
NAMES = (
    "thin_resnet", "thin_vgg", "resnet18", "resnet34", "resnet50", "resnet101", "inception_v3",
    "swin_t", "swin_s", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "timm:NAME",
)  # fmt: skip


def _family(name: str) -> _Family:
    if name not in NAMES and not (name.startswith("timm:") and len(name) > len("timm:")):
        raise UserError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    return next(family for prefix, family in _FAMILIES.items() if name.startswith(prefix))


def diversity_weight(name: str) -> float:
    """The paper's beta for a backbone (appendix C).

    >>> diversity_weight("resnet50"), diversity_weight("swin_t")
    (0.196, 0.0245)
    """
    return _family(name).beta


def image_size(name: str) -> int:
    """The image size (pixels) that a backbone is used with.

    >>> image_size("inception_v3")
    299
    """
    return _family(name).image_size


class Backbone(nn.Module):
    """A network up to its feature maps: (N, 3, H, W) images to (N, n_f, h, w) maps.

    >>> backbone = build(BackboneSpec("thin_resnet"))
    >>> backbone.n_features, tuple(backbone(torch.zeros(2, 3, 64, 64)).shape)
    (256, (2, 256, 8, 8))
    """

    def __init__(self, trunk: nn.Module, spec: BackboneSpec, n_features: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.spec = spec
        self.n_features = n_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.trunk(images)


def build(spec: BackboneSpec, *, with_weights: bool = True) -> Backbone:
    """A backbone as ``spec`` says, on the CPU, its random weights from torch's generator.

    Arguments and errors are those of :func:`build_parts`.
    """
    return build_parts(spec, with_weights=with_weights)[0]


def build_parts(
    spec: BackboneSpec, *, with_weights: bool = True
) -> tuple[Backbone, nn.Sequential | None]:
    """A backbone, and the hidden layers of its architecture's own head: None where it has none.

    The hidden layers go from maps (N, n_f, h, w) to vectors (N, k), which a last linear layer
    turns into logits; like the backbone they have the pretrained weights where it has them.

    ``with_weights=False`` leaves out the pretrained weights, for a state dict to be loaded.
    Raises :class:`UserError` where weights can't be had; it never starts from random weights
    unless ``weights="none"`` asks for it.
    """
    family = _family(spec.name)
    pretrained = with_weights and spec.weights == "imagenet"
    try:
        model = family.build(spec.name, spec.weights if pretrained else None)
    except UserError:
        raise
    except Exception as error:
        if not pretrained:
            raise UserError(f"the backbone {spec.name!r} can't be built: {error}") from error
        raise UserError(
            f"the ImageNet weights of {spec.name} can't be had here ({error}); download them "
            "elsewhere and pass --weights FILE, or train from scratch with --weights none"
        ) from error
    if with_weights and spec.weights not in ("none", "imagenet"):
        _load_file(model, Path(spec.weights), spec.name)
    trunk = family.trunk(model)
    hidden = None if family.hidden is None else family.hidden(model)
    if spec.unit_strides:
        for stage in family.stages_with_unit_stride:
            _unit_strides(trunk.get_submodule(stage))
    return Backbone(trunk, spec, _count_features(trunk, family.image_size)), hidden


def _unit_strides(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            module.stride = (1, 1)


def _count_features(trunk: nn.Module, size: int) -> int:
    trunk.eval()
    with torch.no_grad():
        n_features = trunk(torch.zeros(1, 3, size, size)).shape[1]
    trunk.train()
    return n_features


# Parameters of last layers, which have as many outputs as the data that they were trained on.
_REPLACED = ("fc.", "head", "AuxLogits", "classifier.6.")


def _load_file(model: nn.Module, file: Path, name: str) -> None:
    if not file.is_file():
        raise UserError(f"--weights {file}: there is no such file")
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        found: dict[str, Any] = dict(load_file(file))
    else:
        found = torch.load(file, map_location="cpu", weights_only=True)
    state: dict[str, torch.Tensor] = found.get("state_dict", found)
    own = model.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    missing = [k for k in own if k not in fitting and not k.startswith(_REPLACED)]
    if missing:
        raise UserError(
            f"--weights {file} does not fit {name}: {len(missing)} of {len(own)} tensors are "
            f"missing or of another shape, the first being {missing[0]!r}"
        )
    model.load_state_dict(fitting, strict=False)


def _file_hash(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"--weights {file}: there is no such file")
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
