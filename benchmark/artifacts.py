"""What figures need and numbers don't tell: contrastive comparisons of similar classes.

For a classifier with binary weights a class is a set of features. Two classes that share all
but one of them are told apart by what differs alone (figure 1 of the QPM paper): for the most
similar pairs, an example image of each class and the maps of the features of both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.classifier import Classifier, evaluating
from benchmark.contracts import Dataset, Progress
from benchmark.images import TestBatches
from benchmark.training import Setting, autocast


def similar_pairs(
    weight: torch.Tensor, most: int, prefer: np.ndarray | None = None
) -> list[tuple[int, int]]:
    """The pairs of classes (i < j) that share most of their features, each class at most once.

    ``weight`` (C, d) is binary; among equals those with the larger ``prefer[i, j]`` come first.

    >>> similar_pairs(torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 1]]), 1)
    [(0, 2)]
    """
    binary = weight.double().cpu().numpy()
    shared = binary @ binary.T
    first, second = np.triu_indices(len(shared), 1)
    liking = np.zeros(len(first)) if prefer is None else -np.asarray(prefer)[first, second]
    order = np.lexsort((second, first, liking, -shared[first, second]))
    chosen: list[tuple[int, int]] = []
    seen: set[int] = set()
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if len(chosen) == most:
            break
        if not seen & {i, j}:
            chosen.append((i, j))
            seen |= {i, j}
    return chosen


def write_comparisons(
    classifier: Classifier,
    dataset: Dataset,
    test: TestBatches,
    setting: Setting,
    folder: Path,
    progress: Progress,
    *,
    most: int = 4,
) -> None:
    """Leave ``comparisons.json`` and ``comparisons.npz`` in a folder.

    The example of a class is the rightly classified test image with the largest product of
    activation and spatial peakedness over the class's features (any image of it, if none is
    rightly classified).
    """
    assert classifier.head.weight is not None
    weight = classifier.head.weight.detach()
    prefer = None
    if dataset.class_attributes is not None:
        unit = dataset.class_attributes / np.linalg.norm(
            dataset.class_attributes, axis=1, keepdims=True
        ).clip(1e-12)
        prefer = unit @ unit.T
    pairs = similar_pairs(weight, most, prefer)
    best = _examples(classifier, test, setting, {c for pair in pairs for c in pair}, progress)
    described: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for number, (i, j) in enumerate(pairs):
        if i not in best or j not in best:
            continue
        number = len(described)
        one, two = weight[i] != 0, weight[j] != 0
        # First class's own, shared, second class's own: the order of the figure's columns.
        columns = [
            *(one & ~two).nonzero()[:, 0].tolist(),
            *(one & two).nonzero()[:, 0].tolist(),
            *(two & ~one).nonzero()[:, 0].tolist(),
        ]
        described.append(
            {
                "classes": [i, j],
                "names": [dataset.classes[i], dataset.classes[j]],
                "similarity": float((one & two).sum() / max(int(one.sum()), 1)),
                "features": [
                    {"feature": d, "first": bool(one[d]), "second": bool(two[d])} for d in columns
                ],
            }
        )
        for side, label in enumerate((i, j)):
            index, maps = best[label]
            arrays[f"image_{number}_{side}"] = test.pixels(index).permute(1, 2, 0).numpy()
            arrays[f"maps_{number}_{side}"] = maps[columns]
    np.savez_compressed(folder / "comparisons.npz", **arrays)  # type: ignore[arg-type]
    (folder / "comparisons.json").write_text(json.dumps(described, indent=1))


def _examples(
    classifier: Classifier,
    test: TestBatches,
    setting: Setting,
    wanted: set[int],
    progress: Progress,
) -> dict[int, tuple[int, np.ndarray]]:
    """The best example of each wanted class: index among the test images, and its maps."""
    classifier.to(setting.device)
    head = classifier.head
    assert head.weight is not None
    scores: dict[int, float] = {}
    found: dict[int, tuple[int, np.ndarray]] = {}
    with evaluating(classifier):
        for images, labels, indices in progress.track(test, "examples"):
            rows = [n for n, label in enumerate(labels.tolist()) if label in wanted]
            if not rows:
                continue
            with autocast(setting):
                maps = classifier.maps(images[rows])
            selected = head.select(maps)
            features, logits = head.classify(selected)
            flat = selected.flatten(2)
            peaked = (flat.amax(2) - flat.logsumexp(2)).exp()
            right = logits.argmax(1) == labels[rows]
            own = head.weight[labels[rows]] != 0
            worth = ((features - features.amin(1, keepdim=True)) * peaked * own).sum(1)
            for n, row in enumerate(rows):
                label = int(labels[row])
                # Rightly classified ones first: a large bonus orders them before all others.
                score = float(worth[n]) + (1e9 if right[n] else 0.0)
                if score > scores.get(label, -np.inf):
                    scores[label] = score
                    found[label] = (int(indices[row]), selected[n].cpu().numpy())
    return found
