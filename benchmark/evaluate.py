"""Measure a classifier with all the rulers: test images streamed, training tables whole.

No feature map is kept beyond its batch, and no sample is dropped: a sample metric gives one
value per image (NaN where the image does not count), and the record holds their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from benchmark.classifier import Classifier, evaluating
from benchmark.contracts import Batch, Dataset, MetricCard, NotApplicable, Progress, Tables, load
from benchmark.images import TestBatches
from benchmark.training import Setting, autocast
from metrics.grounding import class_similarity

KEEP = 0.2  # share of the pixels that AD and AI keep (section 6.1 of the RI paper)

Value = dict[str, Any]  # {"value": float | None, "reason": str | None}


def keep_top(heat: torch.Tensor, keep: float = KEEP) -> torch.Tensor:
    """Masks (N, H, W) of the ``keep`` share of each heat map's pixels that are the hottest.

    >>> keep_top(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]), keep=0.5).tolist()
    [[[False, False], [True, True]]]
    """
    flat = heat.flatten(1)
    k = max(1, round(keep * flat.shape[1]))
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask.scatter_(1, flat.topk(k, dim=1).indices, True)
    return mask.view_as(heat)


def masked(images: torch.Tensor, mask: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, H, W) with all but the masked pixels black; ``black`` (3,) is normalised."""
    return torch.where(mask[:, None], images, black[None, :, None, None])


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    train: TestBatches,
    test: TestBatches,
    setting: Setting,
    cards: Sequence[MetricCard],
    progress: Progress,
) -> dict[str, Value]:
    """Every metric's value, or null with the reason.

    One pass over the test images for the sample metrics (and one more forward pass of each
    batch, masked, if a metric asks for ``masked_logits``), one over the training images for the
    tables.
    """
    classifier.to(setting.device)
    sample = [card for card in cards if card.scope == "sample"]
    table = [card for card in cards if card.scope == "table"]
    values: dict[str, Value] = {}
    with evaluating(classifier):
        if sample:
            batches = _batches(classifier, dataset, test, setting, sample, progress)
            values |= means(sample, batches)
        if table:
            values |= _tables(table, _collect(classifier, dataset, train, setting, progress))
    own = null("measures an explainer")
    return {card.name: values.get(card.name, own) for card in cards}


def _batches(
    classifier: Classifier,
    dataset: Dataset,
    test: TestBatches,
    setting: Setting,
    cards: Sequence[MetricCard],
    progress: Progress,
) -> Iterable[Batch]:
    head, used = classifier.head, classifier.head.used()
    wants_masked = any("masked_logits" in card.needs for card in cards)
    pairs = None if dataset.pairs is None else torch.from_numpy(dataset.pairs).to(setting.device)
    black = test.to_device(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))[0, :, 0, 0]
    for images, labels, _ in progress.track(test, "test images"):
        with autocast(setting):
            maps = classifier.maps(images)
        selected = head.select(maps)
        logits = head.classify(selected)[1]
        masked_logits = None
        if wants_masked and head.weight is not None:
            heat = classifier.class_maps(selected, logits.argmax(1))
            heat = F.interpolate(heat[:, None], images.shape[2:], mode="bilinear")[:, 0]
            with autocast(setting):
                maps = classifier.maps(masked(images, keep_top(heat), black))
            masked_logits = head(maps)[1]
        yield Batch(
            maps=selected[:, used],
            logits=logits,
            labels=labels,
            weight=None if head.weight is None else head.weight[:, used],
            masked_logits=masked_logits,
            pairs=pairs,
        )


def means(cards: Sequence[MetricCard], batches: Iterable[Batch]) -> dict[str, Value]:
    """Means over samples, each batch weighing as many samples as count in it."""
    sums = {card.name: 0.0 for card in cards}
    counts = {card.name: 0 for card in cards}
    reasons: dict[str, str] = {}
    for batch in batches:
        for card in cards:
            if card.name in reasons:
                continue
            try:
                _require(card, batch)
                values = load(card.compute)(batch).double()
            except NotApplicable as reason:
                reasons[card.name] = str(reason)
                continue
            counting = ~values.isnan()
            sums[card.name] += float(values[counting].sum())
            counts[card.name] += int(counting.sum())
    return {
        name: finite_value(sums[name] / counts[name])
        if counts[name]
        else null(reasons.get(name, "no test image counts"))
        for name in sums
    }


def _collect(
    classifier: Classifier,
    dataset: Dataset,
    train: TestBatches,
    setting: Setting,
    progress: Progress,
) -> Tables:
    head, used = classifier.head, classifier.head.used()
    features, logits, labels = [], [], []
    for images, truth, _ in progress.track(train, "training images"):
        with autocast(setting):
            maps = classifier.maps(images)
        one, two = head(maps)
        features.append(one[:, used].cpu())
        logits.append(two.cpu())
        labels.append(truth.cpu())
    attributes = dataset.class_attributes
    return Tables(
        features=torch.cat(features),
        logits=torch.cat(logits),
        labels=torch.cat(labels),
        weight=None if head.weight is None else head.weight[:, used].cpu(),
        class_similarity=(
            None if attributes is None else class_similarity(torch.from_numpy(attributes))
        ),
        image_attributes=dataset.image_attributes,
    )


def _tables(cards: Sequence[MetricCard], tables: Tables) -> dict[str, Value]:
    values = {}
    for card in cards:
        try:
            _require(card, tables)
            values[card.name] = finite_value(float(load(card.compute)(tables)))
        except NotApplicable as reason:
            values[card.name] = null(str(reason))
    return values


# Why something that a metric needs is not there, unless it is the dataset that lacks it.
WHY = {
    "weight": "needs a linear weight, which a head with hidden layers does not have",
    "masked_logits": "a head with hidden layers has no heat maps of its own",
}


def _require(card: MetricCard, given: Batch | Tables) -> None:
    for need in sorted(card.needs):
        if getattr(given, need, None) is None:
            lacking = f"needs {need.replace('_', ' ')}, which this dataset does not have"
            raise NotApplicable(WHY.get(need, lacking))


def finite_value(value: float) -> Value:
    if math.isfinite(value):
        return {"value": value, "reason": None}
    return null("not a number: some feature or class is degenerate")


def null(reason: str) -> Value:
    return {"value": None, "reason": reason}
