"""Explainers in the harness: fitted, saved, read back and measured on a small classifier."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import explain
from benchmark.backbones import BackboneSpec
from benchmark.context import Shared
from benchmark.contracts import Dataset, MethodCard, Silent, Split
from benchmark.contracts import load as load_code
from benchmark.evaluate import KEEP, evaluate, keep_top, masked
from benchmark.recipe import Recipe
from benchmark.registry import discover
from benchmark.store import Store
from datasets.transforms import Preprocessing
from metrics import average_drop, average_increase

EXPLAINERS = ["representative_interp", "grad_cam", "grad_cam_pp", "score_cam", "ace"]
SMALL = {
    "inputs_per_class": 2,
    "representative_interp": {"boundaries": 12},
    "ace": {"segments": (4, 8), "images_per_set": 4, "concepts": 4, "counterparts": 3},
}


def photographs(folder: Path, n: int, seed: int) -> Split:
    """A bright square on noise; its colour is the class."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    labels = np.arange(n) % 3
    for i, label in enumerate(labels):
        pixels = rng.integers(60, 120, (24, 24, 3))
        y, x = rng.integers(2, 12, 2)
        pixels[y : y + 9, x : x + 9, label] += 130
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    return Split(tuple(sorted(folder.iterdir())), labels)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    root = tmp_path_factory.mktemp("explain")
    dataset = Dataset(
        "squares", ("red", "green", "blue"), photographs(root / "train", 36, 0),
        photographs(root / "test", 15, 1), fingerprint="squares",
    )  # fmt: skip
    return Shared(
        dataset=dataset,
        backbone=BackboneSpec("thin_resnet"),
        dense_recipe=Recipe(epochs=3, batch_size=9, learning_rate=0.05, augment="none"),
        preprocessing=Preprocessing(24, "centre", (0.4, 0.4, 0.4), (0.2, 0.2, 0.2)),
        seed=1,
        device=torch.device("cpu"),
        precision="float32",
        store=Store(root / "cache"),
        progress=Silent(),
    )


def context(shared: Shared, name: str, folder: Path, repetition: int = 0) -> explain.ExplainContext:
    card = discover().method(name)
    fields = {"inputs_per_class": SMALL["inputs_per_class"]} | SMALL.get(name, {})
    return explain.ExplainContext(
        name,
        card.parameters(**fields),
        shared.dense(),
        "dense",
        shared,
        repetition,
        folder / f"{name} {repetition}",
    )


def fit(shared: Shared, name: str, folder: Path, repetition: int = 0):
    return load_code(discover().method(name).fit)(context(shared, name, folder, repetition))


@pytest.fixture(scope="module")
def fitted(shared, tmp_path_factory):
    """``fitted(name)``: an explainer of the dense classifier, fitted once for all tests."""
    return cache(lambda name: fit(shared, name, tmp_path_factory.mktemp(name)))


def test_cards_of_the_explainers():
    cards = discover().methods
    assert {name for name, card in cards.items() if card.kind == "explainer"} >= set(EXPLAINERS)
    for name in EXPLAINERS:
        card = cards[name]
        assert isinstance(card, MethodCard)
        assert card.parameters().inputs_per_class == 10  # the paper's |V| = 10 x classes
        assert card.parameters(**card.quick).inputs_per_class == 2
    assert cards["representative_interp"].parameters().boundaries == 50


@pytest.mark.parametrize("name", EXPLAINERS)
def test_fit_save_load_and_measure(shared, fitted, name, tmp_path):
    explainer = fitted(name)
    explain.save(explainer, tmp_path / "saved")
    network = explain.ClassifierNetwork(shared.dense(), shared.setting())
    again = explain.load(tmp_path / "saved", network)
    images = torch.cat([batch for batch, _, _ in shared.test_batches])
    torch.testing.assert_close(again.heatmap(images), explainer.heatmap(images))

    cards = list(discover().metrics.values())
    values, extras = explain.evaluate_explainer(again, network, shared, cards)
    assert set(values) >= {card.name for card in cards}
    assert extras["images"] == 15
    assert extras["kept"] >= KEEP - 0.01

    # Equations 7 and 8 once more, by hand.
    dense = shared.dense()
    with torch.no_grad():
        whole = dense(images).softmax(1)
        black = (torch.zeros(3) - 0.4) / 0.2
        part = dense(masked(images, again.mask(images), black)).softmax(1)
    predicted = whole.argmax(1, keepdim=True)
    one, two = whole.gather(1, predicted)[:, 0], part.gather(1, predicted)[:, 0]
    assert values["average_drop"]["value"] == pytest.approx(float(average_drop(one, two)), abs=1e-5)
    assert values["average_increase"]["value"] == pytest.approx(float(average_increase(one, two)))
    assert values["accuracy"] == {"value": None, "reason": "measures a classifier"}
    covers = name == "representative_interp"
    assert (
        "unseen_coverage" in values and values["unseen_coverage"]["value"] is not None
    ) == covers


def test_values_an_explainer_reports_become_metrics(shared, fitted):
    explainer = fitted("representative_interp")
    network = explain.ClassifierNetwork(shared.dense(), shared.setting())
    values, _ = explain.evaluate_explainer(explainer, network, shared, [])
    assert values["representativeness"]["value"] == explainer.report()["representativeness"]
    images = torch.cat([batch for batch, _, _ in shared.test_batches])
    covered = float(explainer.covered(images).double().mean())
    assert values["unseen_coverage"]["value"] == pytest.approx(covered)
    assert explainer.report()["distinct_boundaries"] <= 3  # three classes, a pooled linear head


class OwnMaps:
    """A classifier's own class maps as an explainer: the least that the contract asks for."""

    def __init__(self, classifier, network):
        self.classifier, self.network = classifier, network

    def heatmap(self, images):
        maps = self.network.maps(images)
        heat = self.classifier.class_maps(maps, self.network.head(maps)[1].argmax(1))
        return torch.nn.functional.interpolate(heat[:, None], images.shape[2:], mode="bilinear")[
            :, 0
        ]

    def mask(self, images, keep=KEEP):
        return keep_top(self.heatmap(images), keep)


def test_explainers_are_measured_as_classifiers_own_heat_maps_are(shared):
    """The same heat maps give the same Average Drop and Increase on either way."""
    cards = [c for c in discover().metrics.values() if "masked_logits" in c.needs]
    dense = shared.dense()
    expected = evaluate(
        dense, shared.dataset, shared.train_batches, shared.test_batches, shared.setting(), cards,
        Silent(),
    )  # fmt: skip
    network = explain.ClassifierNetwork(dense, shared.setting())
    with torch.no_grad():
        values, extras = explain.evaluate_explainer(OwnMaps(dense, network), network, shared, cards)
    assert {name: v["value"] for name, v in values.items()} == pytest.approx(
        {name: v["value"] for name, v in expected.items()}, abs=1e-6
    )
    assert extras["kept"] == pytest.approx(round(0.2 * 576) / 576)


def test_a_share_of_the_test_images_can_be_measured(shared):
    dense = shared.dense()
    network = explain.ClassifierNetwork(dense, shared.setting())
    with torch.no_grad():
        _, extras = explain.evaluate_explainer(
            OwnMaps(dense, network), network, shared, [], unseen=6
        )
    assert extras["images"] == 6


def test_explainers_of_one_classifier_share_their_stages(shared, fitted, tmp_path):
    """Reference images go through the network once; repetitions differ in their clusters."""

    def computed(stage: str) -> int:
        return sum(e["event"] == "computed" and e["stage"] == stage for e in shared.store.log())

    for name in ("grad_cam", "representative_interp"):
        fitted(name)
    references, clusters = computed("references"), computed("clusters")
    one = fit(shared, "grad_cam", tmp_path)
    two = fit(shared, "grad_cam_pp", tmp_path)
    assert np.array_equal(one.inputs, two.inputs)
    assert (computed("references"), computed("clusters")) == (references, clusters)
    fit(shared, "grad_cam", tmp_path, repetition=7)
    assert (computed("references"), computed("clusters")) == (references, clusters + 1)


def test_the_same_fit_twice_is_the_same(shared, fitted, tmp_path):
    for name in ("representative_interp", "ace"):
        one, two = fitted(name), fit(shared, name, tmp_path)
        images = next(iter(shared.test_batches))[0]
        assert torch.equal(one.heatmap(images), two.heatmap(images))


def test_seeds_come_from_named_axes(shared, tmp_path):
    one, two = context(shared, "grad_cam", tmp_path), context(shared, "ace", tmp_path)
    later = context(shared, "grad_cam", tmp_path, repetition=1)
    assert len({one.seed, two.seed, later.seed}) == 3
    assert one.common_seed == two.common_seed != later.common_seed
    assert one.generator("a").random() != one.generator("b").random()


def test_another_classifier_has_another_fingerprint(shared):
    dense = shared.dense()
    before = explain.fingerprint(dense)
    assert explain.fingerprint(shared.dense()) == before
    dense.head.weight.data[0, 0] += 1e-3
    assert explain.fingerprint(dense) != before


def test_the_backbone_runs_once_for_a_batch(shared):
    dense = shared.dense()
    calls = []
    dense.backbone.register_forward_hook(lambda *_: calls.append(1))
    network = explain.ClassifierNetwork(dense, shared.setting())
    images = next(iter(shared.test_batches))[0]
    one, two = network.maps(images), network.maps(images)
    assert one is two
    assert len(calls) == 1
    network.maps(images.clone())
    assert len(calls) == 2


@pytest.mark.parametrize("name", ["representative_interp", "score_cam", "ace"])
def test_case_studies(shared, fitted, name, tmp_path):
    explainer = fitted(name)
    network = explain.ClassifierNetwork(shared.dense(), shared.setting())
    explain.write_case_studies(explainer, network, shared, tmp_path, cases=2, similar=3)
    cases = json.loads((tmp_path / "case_studies.json").read_text())
    arrays = np.load(tmp_path / "case_studies.npz")
    assert len(cases) == 2
    for number, case in enumerate(cases):
        columns = 1 + len(case["similar"])
        assert columns <= 4
        assert len(case["scores"]) == len(case["masked_scores"]) == columns
        # The first column is the image itself, and its score that of the class predicted for it.
        pixels = shared.test_batches.pixels(case["test_image"])
        assert np.array_equal(arrays[f"image_{number}_0"], pixels.permute(1, 2, 0).numpy())
        with torch.no_grad():
            scores = shared.dense()(shared.test_batches.to_device(pixels[None])).softmax(1)[0]
        assert case["predicted"] == int(scores.argmax())
        assert case["scores"][0] == pytest.approx(float(scores.max()), abs=1e-4)
        for column in range(columns):
            assert arrays[f"heat_{number}_{column}"].shape == (24, 24)
