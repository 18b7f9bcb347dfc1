"""Backbones behind one shape, their weights, and the classifier on top of them."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision

from benchmark import classifier as classifiers
from benchmark.backbones import BackboneSpec, build
from benchmark.classifier import Classifier, Head
from benchmark.contracts import UserError
from datasets.transforms import Preprocessing

PREPROCESSING = Preprocessing(64, "centre", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("thin_resnet", 64, (256, 8, 8)),
        ("resnet18", 64, (512, 8, 8)),
        ("resnet50", 64, (2048, 8, 8)),
        ("inception_v3", 299, (2048, 8, 8)),
        ("swin_t", 64, (768, 2, 2)),
        ("timm:resnet10t", 64, (512, 2, 2)),
    ],
)
def test_shapes(name: str, size: int, shape: tuple[int, ...]) -> None:
    backbone = build(BackboneSpec(name)).eval()
    with torch.no_grad():
        assert tuple(backbone(torch.zeros(1, 3, size, size)).shape[1:]) == shape
    assert backbone.n_features == shape[0]


def test_strides_of_the_last_two_stages_are_1_on_fine_grained_data_only() -> None:
    images = torch.zeros(1, 3, 224, 224)
    with torch.no_grad():
        fine = build(BackboneSpec("resnet18")).eval()(images)
        coarse = build(BackboneSpec("resnet18", unit_strides=False)).eval()(images)
    assert (fine.shape[2:], coarse.shape[2:]) == ((28, 28), (7, 7))


def test_the_trunk_is_torchvisions_own() -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    backbone = build(BackboneSpec("resnet18", unit_strides=False)).eval()
    backbone.trunk.load_state_dict(model.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        logits = model.fc(backbone(images).mean((2, 3)))
        torch.testing.assert_close(logits, model(images))


def test_weights_from_a_file(tmp_path: Path) -> None:
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    backbone = build(BackboneSpec("resnet18", str(tmp_path / "weights.pth")))
    torch.testing.assert_close(backbone.trunk.conv1.weight, model.conv1.weight)
    first = BackboneSpec("resnet18", str(tmp_path / "weights.pth")).to_dict()
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "weights.pth")
    second = BackboneSpec("resnet18", str(tmp_path / "weights.pth")).to_dict()
    assert first != second  # the file's content is in the cache key, not its name
    with pytest.raises(UserError, match="does not fit resnet50"):
        build(BackboneSpec("resnet50", str(tmp_path / "weights.pth")))


def test_weights_that_cannot_be_had_are_refused_with_what_to_do(monkeypatch) -> None:
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UserError, match=r"--weights FILE.*--weights none"):
        build(BackboneSpec("resnet18", "imagenet"))
    with pytest.raises(UserError, match="--weights none"):
        build(BackboneSpec("thin_resnet", "imagenet"))


def test_unknown_backbones_are_refused() -> None:
    with pytest.raises(UserError, match="unknown backbone 'resnet51'"):
        build(BackboneSpec("resnet51"))
    with pytest.raises(UserError, match="can't be built"):
        build(BackboneSpec("timm:no_such_model"))


@pytest.fixture
def readable() -> Classifier:
    torch.manual_seed(1)
    head = Head(
        torch.tensor([3, 200, 17]),
        weight=torch.randn(4, 3).round(),
        bias=torch.randn(4),
        mean=torch.rand(3),
        deviation=torch.rand(3) + 0.5,
        rectify=True,
    )
    return Classifier(build(BackboneSpec("thin_resnet")), head, PREPROCESSING).eval()


def test_a_saved_classifier_is_the_same_classifier(readable: Classifier, tmp_path: Path) -> None:
    classifiers.save(readable, tmp_path)
    again = classifiers.load(tmp_path)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(images), readable(images))
    assert again.preprocessing == PREPROCESSING
    assert again.head.rectify
    assert not again.head.weight.requires_grad


def test_the_head_by_hand(readable: Classifier) -> None:
    maps = torch.rand(5, 256, 8, 8)
    head = readable.head
    features, logits = head(maps)
    pooled = maps[:, [3, 200, 17]].mean((2, 3))
    expected = ((pooled - head.mean) / head.deviation).clamp(min=0)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(logits, expected @ head.weight.T + head.bias)


def test_class_maps_average_to_the_logit_up_to_a_constant(readable: Classifier) -> None:
    head = readable.head
    head.rectify = False
    maps = torch.rand(6, 256, 8, 8)
    selected = head.select(maps)
    for label in range(4):
        heat = readable.class_maps(selected, torch.full((6,), label))
        rest = head(maps)[1][:, label] - heat.mean((1, 2))
        torch.testing.assert_close(rest, rest[:1].expand(6), atol=1e-4, rtol=1e-4)
