"""Algorithm 1 on packed bits against a direct transcription on boolean arrays.

    python -m pytest tests/benchmarks/bench_representative_interp.py --benchmark-enable

|R| = 10,000 reference images, |Q| = 50 boundaries, |V| = 20 inputs, for two heads: with 4 classes,
as the paper's largest, and with 40. Both sides start from which side of each boundary each image
lies on, and must give the same polytopes.
"""

from __future__ import annotations

import numpy as np
import pytest

from methods.representative_interp.method import Search

R, Q, V = 10_000, 50, 20


def problem(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Sides (R, Q) of distinct boundaries, as hidden layers give, and predictions (R,)."""
    rng = np.random.default_rng(classes)
    features, weight = rng.normal(size=(R, 30)), rng.normal(size=(classes, 30))
    scores = features @ weight.T
    one, two = np.argsort(-scores[:Q], axis=1)[:, :2].T
    normals = weight[one] - weight[two] + 0.3 * rng.normal(size=(Q, 30))
    return features @ normals.T > 0, scores.argmax(1)


def transcription(positive: np.ndarray, predicted: np.ndarray) -> list[list[int]]:
    """Algorithm 1 as it is printed, for the first V images."""
    found = []
    for x in range(V):
        same, other = (positive == positive[x]).T, predicted != predicted[x]
        chosen: list[int] = []
        covered = np.ones(R, dtype=bool)
        delta = (same.all(axis=0) & other).sum()
        while (covered & other).sum() > delta:
            ratios = []
            for h in range(Q):
                if h in chosen:
                    continue
                after = covered & same[h]
                cost = covered.sum() - after.sum()
                gain = (covered & other).sum() - (after & other).sum()
                if gain > 0:
                    ratios.append((cost / gain, -gain, h))
            chosen.append(min(ratios)[2])
            covered &= same[chosen[-1]]
        found.append(chosen)
    return found


def packed(positive: np.ndarray, predicted: np.ndarray) -> list[list[int]]:
    search = Search(positive, predicted)
    return [list(search(positive[x], int(predicted[x])).members) for x in range(V)]


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("way", [packed, transcription], ids=["packed", "transcription"])
def test_interpretations(benchmark, classes, way):
    benchmark.group = f"{classes} classes"
    positive, predicted = problem(classes)
    found = benchmark.pedantic(way, (positive, predicted), rounds=5, warmup_rounds=1)
    if way is packed:
        assert found == transcription(positive, predicted)
