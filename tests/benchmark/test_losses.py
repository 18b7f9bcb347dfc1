"""The feature losses and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.losses import (
    AUTHORS_GROUNDING_FACTOR,
    feature_diversity_loss,
    feature_grounding_loss,
)

DIVERSITY_CASES = (
    "relu_binary",
    "relu_dense",
    "relu_ternary",
    "signed_binary",
    "allneg_dense",
    "rect_binary",
    "zero_maps",
)
GROUNDING_CASES = ("relu_binary", "signed_binary", "tiny_features", "uneven_binary")
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On tensors this small threads only wait for each other, on a busy machine for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def losses(golden):
    return golden("losses")


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return request.param


def close(got, want, precision):
    """The golden README's tolerances; single values of gradients relative to the largest."""
    want = np.asarray(want)
    if precision == "f64":
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def leaf(array, precision):
    return torch.tensor(array, dtype=PRECISIONS[precision], requires_grad=True)


@pytest.mark.parametrize("name", DIVERSITY_CASES)
def test_diversity_golden(losses, name, precision):
    """Golden items 21 and 22, ties included (sample 0 of zero_maps): they share equally."""
    maps = leaf(losses[f"fdl_{name}_feature_maps"], precision)
    logits = leaf(losses[f"fdl_{name}_outputs"], precision)
    weight = leaf(losses[f"fdl_{name}_weight"], precision)
    loss = feature_diversity_loss(maps, logits, weight, beta=float(losses[f"fdl_{name}_beta"]))
    loss.backward()
    close(loss.item(), losses[f"exp_fdl_{name}_loss_{precision}"], precision)
    close(maps.grad, losses[f"exp_fdl_{name}_grad_maps_{precision}"], precision)
    close(weight.grad, losses[f"exp_fdl_{name}_grad_weight_{precision}"], precision)
    assert logits.grad is None


@pytest.mark.parametrize("name", GROUNDING_CASES)
def test_grounding_golden(losses, name, precision):
    """Golden item 23: the authors' factor 2, and the paper's 1 by default."""
    features = leaf(losses[f"fgl_{name}_features"], precision)
    labels = torch.from_numpy(losses[f"fgl_{name}_labels"])
    weight = torch.from_numpy(losses[f"fgl_{name}_weight"])
    loss = feature_grounding_loss(features, labels, weight, factor=AUTHORS_GROUNDING_FACTOR)
    loss.backward()
    close(loss.item(), losses[f"exp_fgl_{name}_loss_{precision}"], precision)
    close(features.grad, losses[f"exp_fgl_{name}_grad_features_{precision}"], precision)
    per_sample = [
        feature_grounding_loss(f[None], y[None], weight, AUTHORS_GROUNDING_FACTOR).item()
        for f, y in zip(features.detach(), labels, strict=True)
    ]
    close(per_sample, losses[f"exp_fgl_{name}_per_sample_{precision}"], precision)
    paper = feature_grounding_loss(features.double(), labels, weight).item()
    assert paper == pytest.approx(float(losses[f"own_fgl_{name}_loss_factor1"]), rel=1e-6)


def equations_31_and_32(maps, logits, weight):
    """Sample by sample, without floors."""
    total = 0.0
    for sample, scores in zip(maps, logits, strict=True):
        w = np.abs(weight[scores.argmax()])
        f = sample.mean(axis=(1, 2))
        soft = np.exp(sample) / np.exp(sample).sum(axis=(1, 2), keepdims=True)
        scaled = soft * (f / f.max() * w / np.linalg.norm(w))[:, None, None]
        total -= scaled.max(axis=0).sum()
    return total / len(maps)


def test_diversity_against_a_plain_loop():
    rng = np.random.default_rng(0)
    maps = np.maximum(rng.normal(size=(5, 8, 3, 4)), 0) + 0.01
    logits, weight = rng.normal(size=(5, 4)), 100 * rng.normal(size=(4, 8))
    got = feature_diversity_loss(*map(torch.from_numpy, (maps, logits, weight)), beta=2.0)
    assert got.item() == pytest.approx(2 * equations_31_and_32(maps, logits, weight), rel=1e-5)


def test_diversity_prefers_features_apart():
    weight, logits = torch.ones(1, 2), torch.ones(1, 1)
    apart = torch.eye(2).view(1, 2, 1, 2) * 5
    alike = torch.tensor([[[[5.0, 0.0]], [[5.0, 0.0]]]])
    assert feature_diversity_loss(apart, logits, weight) < feature_diversity_loss(
        alike, logits, weight
    )


def test_gradients_against_finite_differences():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 4, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda m, w: feature_diversity_loss(m, logits, w), (maps, weight)
    )
    features = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0])
    assigned = torch.rand(3, 5, generator=generator) < 0.5
    assert torch.autograd.gradcheck(
        lambda f: feature_grounding_loss(f, labels, assigned.double()), features
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_cost_precision(dtype):
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(3, 6, 4, 4, generator=generator).to(dtype)
    logits, weight = torch.randn(3, 5, generator=generator), torch.randn(5, 6, generator=generator)
    labels = torch.tensor([0, 1, 2])
    diversity = feature_diversity_loss(maps.float(), logits, weight)
    grounding = feature_grounding_loss(maps.mean((2, 3)).float(), labels, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert feature_diversity_loss(maps, logits, weight).dtype == torch.float32
        torch.testing.assert_close(feature_diversity_loss(maps, logits, weight), diversity)
        torch.testing.assert_close(
            feature_grounding_loss(maps.mean((2, 3)), labels, weight), grounding
        )


def test_channels_last_maps_give_the_same():
    maps, logits, weight = torch.rand(2, 6, 3, 3), torch.randn(2, 4), torch.randn(4, 6)
    last = maps.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        feature_diversity_loss(last, logits, weight), feature_diversity_loss(maps, logits, weight)
    )


def test_classes_with_all_or_no_features_stay_finite():
    """Golden item 23: the authors' code divides by 0 where all features are assigned."""
    features = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert feature_grounding_loss(features[:1], torch.tensor([0]), weight).item() == pytest.approx(
        -2 / 3
    )
    assert feature_grounding_loss(features[1:], torch.tensor([1]), weight).item() == pytest.approx(
        2 / 3
    )
