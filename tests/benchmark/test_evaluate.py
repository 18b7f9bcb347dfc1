"""Measuring and extracting: streamed in batches of any size, no image dropped, same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import features as tables
from benchmark.artifacts import similar_pairs, write_comparisons
from benchmark.backbones import BackboneSpec, build
from benchmark.classifier import Classifier, Head
from benchmark.contracts import Dataset, MetricCard, NotApplicable, Silent, Split
from benchmark.evaluate import evaluate
from benchmark.images import TestBatches, train_batches
from benchmark.registry import discover
from benchmark.training import Setting
from datasets.transforms import Preprocessing

PREPROCESSING = Preprocessing(48, "centre", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(23):
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)).save(paths[-1])
    labels = rng.integers(0, 4, 23)
    split = Split(tuple(paths), labels)
    attributes = rng.random((4, 6))
    return Dataset("noise", tuple("abcd"), split, split, "0", class_attributes=attributes)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    weight = torch.zeros(4, 9)
    for row in range(4):
        weight[row, row : row + 5] = 1  # the last feature is used by no class
    head = Head(torch.arange(9) * 3, weight)
    return Classifier(build(BackboneSpec("thin_resnet")), head, PREPROCESSING).eval()


def measured(classifier: Classifier, dataset: Dataset, size: int, cards=None) -> dict:
    train = TestBatches(dataset.train, PREPROCESSING, CPU, size)
    test = TestBatches(dataset.test, PREPROCESSING, CPU, size)
    setting = Setting(dataset.train, CPU, "float32", 0)
    cards = list(discover().metrics.values()) if cards is None else cards
    return evaluate(classifier, dataset, train, test, setting, cards, Silent())


def test_batches_of_any_size_give_the_same_numbers(classifier, dataset) -> None:
    one, several, whole = (measured(classifier, dataset, size) for size in (1, 7, 23))
    for name, value in whole.items():
        for other in (one, several):
            assert other[name]["reason"] == value["reason"]
            if value["value"] is None:
                assert other[name]["value"] is None, name
                continue
            assert other[name]["value"] == pytest.approx(value["value"], rel=1e-4, abs=1e-5), name
    assert whole["total_features"]["value"] == 8
    assert whole["features_per_class"]["value"] == 5
    assert whole["structural_grounding"]["value"] is not None


def test_accuracy_by_hand_and_every_image_once(classifier, dataset) -> None:
    batches = TestBatches(dataset.test, PREPROCESSING, CPU, 5)
    for _ in range(2):  # decoded the first time, kept the second
        images, labels, indices = (torch.cat(parts) for parts in zip(*batches, strict=True))
        assert indices.tolist() == list(range(23))
        assert labels.tolist() == dataset.test.labels.tolist()
    with torch.no_grad():
        right = (classifier(images).argmax(1) == labels).double().mean()
    assert measured(classifier, dataset, 6)["accuracy"]["value"] == pytest.approx(float(right))


def test_what_does_not_apply_is_null_with_a_reason(classifier, dataset) -> None:
    values = measured(classifier, dataset, 23)
    assert values["pair_accuracy"]["value"] is None
    assert "pairs" in values["pair_accuracy"]["reason"]

    def refuse(tables):
        raise NotApplicable("not today")

    def broken(batch):
        return torch.full((len(batch.labels),), float("nan"))

    cards = [
        MetricCard("refused", "Refused", "fraction", (0, 1), True, "table", refuse),
        MetricCard("empty", "Empty", "fraction", (0, 1), True, "sample", broken),
    ]
    values = measured(classifier, dataset, 23, cards)
    assert values["refused"] == {"value": None, "reason": "not today"}
    assert values["empty"] == {"value": None, "reason": "no test image counts"}


def test_extracted_features_and_statistics(classifier, dataset, tmp_path) -> None:
    batches = TestBatches(dataset.train, PREPROCESSING, CPU, 6)
    setting = Setting(dataset.train, CPU, "float32", 0)
    tables.extract(classifier, batches, None, setting, tmp_path, Silent())
    found = tables.load(tmp_path)
    with torch.no_grad():
        pooled = torch.cat([classifier.maps(images).mean((2, 3)) for images, _, _ in batches])
    np.testing.assert_allclose(found.train.features, pooled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean, pooled.double().mean(0), rtol=1e-4, atol=1e-6)
    deviation = pooled.double().std(0, unbiased=False).clamp(min=1e-5)
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-3, atol=1e-6)
    assert found.test is None


def test_an_epoch_sees_every_image_once_and_depends_on_its_seed_alone(dataset) -> None:
    def epoch(seed: int, size: int = 11):
        batches = train_batches(
            dataset.train, PREPROCESSING, CPU, augment="trivial", batch_size=size, seed=seed
        )
        return [(images, labels) for images, labels in batches]

    first, again, other = epoch(1), epoch(1), epoch(2)
    assert [len(labels) for _, labels in first] == [11, 12]  # no batch of one image
    for (a, x), (b, y) in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    labels = torch.cat([labels for _, labels in first])
    assert sorted(labels.tolist()) == sorted(dataset.train.labels.tolist())


def test_similar_pairs_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    weight = torch.from_numpy((rng.random((9, 12)) < 0.4).astype(np.float32))
    pairs = similar_pairs(weight, 3)
    shared = (weight @ weight.T).numpy()
    best = max(shared[i, j] for i in range(9) for j in range(i))
    assert shared[pairs[0]] == best
    assert len({c for pair in pairs for c in pair}) == 6


def test_comparisons_show_what_tells_two_classes_apart(classifier, dataset, tmp_path) -> None:
    test = TestBatches(dataset.test, PREPROCESSING, CPU)
    setting = Setting(dataset.train, CPU, "float32", 0)
    write_comparisons(classifier, dataset, test, setting, tmp_path, Silent(), most=2)
    import json

    described = json.loads((tmp_path / "comparisons.json").read_text())
    with np.load(tmp_path / "comparisons.npz") as arrays:
        for number, pair in enumerate(described):
            i, j = pair["classes"]
            assert pair["names"] == ["abcd"[i], "abcd"[j]]
            own = {f["feature"] for f in pair["features"] if f["first"]}
            assert own == set(classifier.head.weight[i].nonzero()[:, 0].tolist())
            order = [(f["first"], f["second"]) for f in pair["features"]]
            assert order == sorted(order, key=lambda p: (p[1], not p[0]))
            assert arrays[f"image_{number}_0"].shape == (48, 48, 3)
            assert arrays[f"maps_{number}_1"].shape[0] == len(pair["features"])
