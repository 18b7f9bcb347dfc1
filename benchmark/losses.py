"""Losses beside cross-entropy that shape features while a network is trained."""

from __future__ import annotations

import torch
from torch import Tensor

# Floors of the authors' code (golden item 21): the equations divide by these as they are.
MEAN_FLOOR = 1e-6
NORM_FLOOR = 1e-5
SCALE_FLOOR = 0.01
AUTHORS_GROUNDING_FACTOR = 2.0


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def feature_diversity_loss(
    feature_maps: Tensor, logits: Tensor, weight: Tensor, beta: float = 1.0
) -> Tensor:
    """Feature diversity loss (QPM paper, eqs. 31-33): features should look at different places.

    Each map is soft-maxed over its places, scaled by its mean relative to the largest mean and by
    its weight's share in the predicted class; the largest of these over the features, summed over
    the places, is what a low loss wants to be large.

    Gradients flow through softmax, means, maxima (ties share equally) and weights, none into the
    logits. Computed in float32 also where the inputs, or autocast, have less.

    Two floors keep the divisions finite: 1e-6 for the largest mean, and 1e-5 added to the weights'
    norm. If no map of a sample has a mean above the first, its part of the loss can be large and
    positive.

    Args:
        feature_maps: (B, d, h, w).
        logits: (B, C); the predicted class is the first largest.
        weight: (C, d) of the final layer.
        beta: factor of the loss.

    Returns:
        A scalar, the mean over the batch; from -beta upwards where the means are positive.

    >>> maps = torch.tensor([[[[9.0, 0.0]], [[0.0, 9.0]]]])
    >>> feature_diversity_loss(maps, torch.tensor([[1.0]]), torch.tensor([[1.0, 1.0]]))
    tensor(-1.4140)
    """
    with torch.autocast(feature_maps.device.type, enabled=False):
        maps = _full_precision(feature_maps).flatten(2)
        weights = _full_precision(weight)[logits.argmax(dim=1)].abs()
        mean = maps.mean(dim=2)
        relative = mean / mean.amax(dim=1, keepdim=True).clamp(min=MEAN_FLOOR)
        norm = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
        significance = weights / (norm + NORM_FLOOR)
        scaled = maps.softmax(dim=2) * (relative * significance)[:, :, None]
        return -beta * scaled.amax(dim=1).sum() / len(maps)


def feature_grounding_loss(
    features: Tensor, labels: Tensor, weight: Tensor, factor: float = 1.0
) -> Tensor:
    """Feature grounding loss (CHiQPM): a class's own features should be active, others not.

    Per sample: (factor * mean of the features not assigned to its class - mean of the assigned
    ones) / largest magnitude of its features, floored at 0.01. The gradient flows through the
    scale too. A class with all features assigned, or none, lacks that mean and its part.

    Args:
        features: (B, d).
        labels: (B,), the true classes.
        weight: (C, d); a feature is assigned to a class where its weight is not zero.
        factor: of the mean of the features that are not assigned: 1 in the paper. The authors'
            code has 2 (golden item 23), :data:`AUTHORS_GROUNDING_FACTOR`.

    Returns:
        A scalar, the mean over the batch.

    >>> features = torch.tensor([[4.0, 2.0, 0.0]])
    >>> weight = torch.tensor([[1.0, 0.0, 0.0]])
    >>> feature_grounding_loss(features, torch.tensor([0]), weight)
    tensor(-0.7500)
    """
    with torch.autocast(features.device.type, enabled=False):
        features = _full_precision(features)
        assigned = weight[labels] != 0
        own = (features * assigned).sum(dim=1) / assigned.sum(dim=1).clamp(min=1)
        other = (features * ~assigned).sum(dim=1) / (~assigned).sum(dim=1).clamp(min=1)
        scale = features.abs().amax(dim=1).clamp(min=SCALE_FLOOR)
        return ((factor * other - own) / scale).mean()
