"""Timings of the metrics and the losses.

``pytest tests/benchmarks/bench_metrics.py --benchmark-enable`` runs them.

Contrastiveness is timed beside scikit-learn's one mixture after the other, on the same features
in the same run; both are per call, so divide by the number of features to compare other sizes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from benchmark.losses import feature_diversity_loss
from metrics import class_independence, contrastiveness, correlation, sid_at_k

SAMPLES = 5994  # the training images of CUB-200-2011


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """Skewed and positive, as pooled ResNet features: (5994, 2048)."""
    rng = np.random.default_rng(0)
    table = 0.2 * rng.gamma(rng.uniform(0.5, 4, 2048), size=(SAMPLES, 2048))
    return torch.from_numpy(table.astype(np.float32))


@pytest.mark.benchmark(group="contrastiveness of 40 features")
def test_40_features_at_once(benchmark, features):
    value = benchmark(contrastiveness, features[:, :40])
    assert 0 < value < 1


@pytest.mark.benchmark(group="contrastiveness of 40 features")
def test_40_features_one_by_one_with_scikit_learn(benchmark, features):
    def fit():
        return [GaussianMixture(2).fit(column[:, None]) for column in features[:, :40].T.numpy()]

    assert len(benchmark.pedantic(fit, rounds=1)) == 40


@pytest.mark.benchmark(group="tables of 2048 features")
@pytest.mark.parametrize("rectified", [False, True], ids=["positive", "rectified"])
def test_contrastiveness_of_2048_features(benchmark, features, rectified):
    table = (features - 0.3).relu() if rectified else features
    assert 0 < benchmark.pedantic(contrastiveness, (table,), rounds=2) < 1


@pytest.mark.benchmark(group="tables of 2048 features")
def test_correlation_of_2048_features(benchmark, features):
    assert benchmark.pedantic(correlation, (features,), rounds=2) > 0


@pytest.mark.benchmark(group="tables of 2048 features")
def test_class_independence_of_2048_features(benchmark, features):
    labels = torch.arange(SAMPLES) % 200
    assert benchmark.pedantic(class_independence, (features, labels), rounds=2) > 0


@pytest.mark.benchmark(group="batches of 2048 maps")
def test_sid_of_a_batch(benchmark):
    """64 images, 2048 maps of 28 x 28 (last two strides set to 1), of which 5 are read."""
    maps = torch.rand(64, 2048, 28, 28)
    logits, weight = torch.randn(64, 200), torch.randn(200, 2048)
    assert 0.2 <= benchmark(sid_at_k, maps, logits, weight) <= 1


@pytest.mark.benchmark(group="batches of 2048 maps")
def test_diversity_loss_forward_and_backward(benchmark):
    """A training batch of 16 images."""
    maps = torch.rand(16, 2048, 28, 28, requires_grad=True)
    logits, weight = torch.randn(16, 200), torch.randn(200, 2048, requires_grad=True)

    def step():
        feature_diversity_loss(maps, logits, weight).backward()

    benchmark.pedantic(step, rounds=3)
    assert maps.grad is not None
