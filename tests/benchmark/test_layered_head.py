"""Backbones that bring hidden layers of a head: VGG, and classifiers on top of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch.nn import functional as F

from benchmark import classifier as classifiers
from benchmark.backbones import BackboneSpec, build, build_parts
from benchmark.classifier import Classifier, LayeredHead
from benchmark.contracts import UserError
from benchmark.explain import ClassifierNetwork
from benchmark.recipe import Recipe
from benchmark.training import Setting, _optimizer
from datasets.transforms import Preprocessing
from methods.explainers.gradients import gradient_of, top_score

PREPROCESSING = Preprocessing(64, "centre", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


@pytest.fixture
def thin() -> Classifier:
    torch.manual_seed(0)
    backbone, hidden = build_parts(BackboneSpec("thin_vgg"))
    assert hidden is not None
    head = LayeredHead.untrained(backbone.n_features, hidden, 5)
    return Classifier(backbone, head, PREPROCESSING).eval()


def test_vgg19_with_the_weights_of_torchvision_is_torchvisions_own(monkeypatch) -> None:
    """conv5_4's maps and the fully connected layers, from a state dict in place of the download."""
    torch.manual_seed(0)
    model = torchvision.models.vgg19(init_weights=False).eval()
    state = model.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    backbone, hidden = build_parts(BackboneSpec("vgg19", "imagenet"))
    assert hidden is not None
    head = LayeredHead(512, hidden, model.classifier[-1])
    classifier = Classifier(backbone, head, PREPROCESSING).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = classifier.maps(images)
        torch.testing.assert_close(classifier(images), model(images))
        torch.testing.assert_close(maps, model.features[:36](images))
    assert maps.shape == (2, 512, 4, 4)  # 14 x 14 at 224 pixels: before the last max pool
    assert float(maps.min()) >= 0  # rectified
    assert isinstance(model.features[34], torch.nn.Conv2d)


@pytest.mark.parametrize("size", [64, 96])
def test_small_images_of_any_size_fit_the_head(thin: Classifier, size: int) -> None:
    assert thin(torch.rand(2, 3, size, size)).shape == (2, 5)
    assert thin.maps(torch.rand(1, 3, size, size)).shape == (1, 128, size // 8, size // 8)


def test_features_are_pooled_maps_and_logits_those_of_the_layers_by_hand(thin: Classifier) -> None:
    maps = torch.rand(3, 128, 8, 8)
    features, logits = thin.head(maps)
    torch.testing.assert_close(features, maps.mean((2, 3)))
    one, two = (thin.head.hidden.layers[i] for i in (0, 3))
    pooled = F.adaptive_avg_pool2d(F.max_pool2d(maps, 2), 4).flatten(1)
    torch.testing.assert_close(logits, thin.head.last(two(one(pooled).relu()).relu()))


def test_dropout_is_the_recipes_and_only_in_training(thin: Classifier) -> None:
    thin.head.dropout = 0.25
    assert thin.head.dropout == 0.25
    assert [m.p for m in thin.head.modules() if isinstance(m, torch.nn.Dropout)] == [0.25, 0.25]
    maps = torch.rand(2, 128, 8, 8)
    assert torch.equal(thin.head(maps)[1], thin.head(maps)[1])
    thin.head.train()
    assert not torch.equal(thin.head(maps)[1], thin.head(maps)[1])


def test_only_the_last_layer_learns_at_the_heads_rate(thin: Classifier) -> None:
    groups = _optimizer(thin, Recipe(learning_rate=0.1, head_learning_rate=0.7)).param_groups
    rates = {id(p): group["initial"] for group in groups for p in group["params"]}
    assert set(rates) == {id(p) for p in thin.parameters()}
    assert {id(p) for p in thin.parameters() if rates[id(p)] == 0.7} == {
        id(p) for p in thin.head.last.parameters()
    }


def test_a_saved_classifier_is_the_same_classifier(thin: Classifier, tmp_path: Path) -> None:
    classifiers.save(thin, tmp_path)
    again = classifiers.load(tmp_path)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(images), thin(images))
    assert isinstance(again.head, LayeredHead)
    assert again.head.weight is None
    assert not again.head.binary()


def test_weights_from_a_file_reach_the_hidden_layers(thin: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    state = {f"features.{k}": v for k, v in thin.backbone.trunk.features.state_dict().items()}
    state |= {f"classifier.{k}": v for k, v in thin.head.hidden.layers.state_dict().items()}
    torch.save(state, file)  # as it is without a last layer, which is not used
    backbone, hidden = build_parts(BackboneSpec("thin_vgg", str(file)))
    assert hidden is not None
    for mine, other in ((backbone, thin.backbone), (hidden, thin.head.hidden)):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name])
    del state["classifier.3.weight"]
    torch.save(state, file)
    with pytest.raises(UserError, match=r"does not fit thin_vgg.*classifier\.3\.weight"):
        build(BackboneSpec("thin_vgg", str(file)))
    with pytest.raises(UserError, match="thin_vgg has no ImageNet weights"):
        build(BackboneSpec("thin_vgg", "imagenet"))


def test_explainers_see_its_maps_and_gradients(thin: Classifier) -> None:
    setting = Setting(None, torch.device("cpu"), "float32", 0)  # type: ignore[arg-type]
    network = ClassifierNetwork(thin, setting)
    images = torch.rand(4, 3, 64, 64)
    maps = network.maps(images)
    torch.testing.assert_close(network.head(maps)[1], thin(images))
    scores, slope = gradient_of(network, maps, top_score)
    # Piecewise linear: along a map's own direction the score changes as its gradient says.
    step = 1e-3
    with torch.no_grad():
        moved = network.head(maps * (1 + step))[1].gather(1, thin(images).argmax(1)[:, None])[:, 0]
    expected = scores + step * (slope * maps).flatten(1).sum(1)
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-4)


def test_it_is_trained_measured_and_explained_and_others_stand_on_its_pooled_maps(run_tiny) -> None:
    records = run_tiny(
        ["dense", "sldd", "qpm", "grad_cam"],
        backbones=["thin_vgg"],
        parameters={"grad_cam": {"inputs_per_class": 1}},
    )
    assert [r["status"] for r in records] == ["ok"] * 4, [r["reason"] for r in records]
    by_name = {r["cell"]["method"]: r["metrics"] for r in records}
    dense, reason = by_name["dense"], "needs a linear weight"
    for name in ("sid_at_5", "features_per_class", "structural_grounding", "dependence"):
        assert dense[name]["value"] is None
        assert dense[name]["reason"].startswith(reason)
        assert reason not in (by_name["qpm"][name]["reason"] or "")
    assert "no heat maps of its own" in dense["average_drop"]["reason"]
    assert dense["accuracy"]["value"] is not None
    assert by_name["qpm"]["features_per_class"]["value"] == 2
    assert by_name["sldd"]["features_per_class"]["value"] is not None
    assert by_name["grad_cam"]["average_drop"]["value"] is not None


def test_the_diversity_loss_is_refused_in_words(run_tiny) -> None:
    records = run_tiny(
        ["dense"], backbones=["thin_vgg"], parameters={"dense": {"diversity": 0.196}}
    )
    assert records[0]["status"] == "failed"
    assert records[0]["reason"] == (
        "dense.diversity=0.196: the diversity loss needs a linear head, and that of thin_vgg has "
        "hidden layers; set it to 0 or none"
    )
