"""Is the prediction right: over all classes, and within pairs made hard on purpose."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import Batch
from metrics.reduction import Reduction, reduce


def accuracy(logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Share of the samples whose largest logit is that of their class.

    Args:
        logits: (N, C). Of equal largest logits the first counts.
        labels: (N,), 0 to C - 1.
        reduction: ``"mean"`` for one number, ``"none"`` for one 0 or 1 per sample.

    Returns:
        A fraction, 0 to 1; or (N,).

    Raises:
        NotApplicable: no samples.
        ValueError: logits that are NaN.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    tensor(0.5000)
    """
    if bool(logits.isnan().any()):
        raise ValueError("the logits hold NaN; the classifier diverged?")
    right = (logits.argmax(dim=1) == labels).float()
    return reduce(right, reduction, "there are no samples")


def pair_accuracy(
    logits: Tensor, labels: Tensor, pairs: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Accuracy within given pairs of classes: is the right one of the two the larger?

    Only samples of a class in some pair count; where a class is in several pairs, the sample's
    value is its mean over them. Chance is 0.5, and a tie is wrong. (This project's own measure
    for classes that differ in a single detail; no paper's.)

    Args:
        logits: (N, C).
        labels: (N,), 0 to C - 1.
        pairs: (k, 2) classes.
        reduction: ``"mean"``, or ``"none"`` for one value per sample.

    Returns:
        A fraction, 0 to 1; or (N,), NaN for samples whose class is in no pair.

    Raises:
        NotApplicable: no sample's class is in a pair.
        ValueError: logits that are NaN.

    >>> logits = torch.tensor([[2.0, 1.0, 9.0], [0.0, 3.0, 9.0], [1.0, 0.0, 0.0]])
    >>> pair_accuracy(logits, torch.tensor([0, 0, 2]), torch.tensor([[0, 1]]))
    tensor(0.5000)
    """
    if bool(logits.isnan().any()):
        raise ValueError("the logits hold NaN; the classifier diverged?")
    own, other = torch.cat([pairs, pairs.flip(1)]).T
    concerned = labels[:, None] == own
    won = concerned & (logits.gather(1, labels[:, None]) > logits[:, other])
    share = won.sum(dim=1) / concerned.sum(dim=1)
    return reduce(share, reduction, "no sample's class is in a pair")


def accuracy_of(batch: Batch) -> Tensor:
    """:func:`accuracy` per sample of a batch."""
    return accuracy(batch.logits, batch.labels, reduction="none")


def pair_accuracy_of(batch: Batch) -> Tensor:
    """:func:`pair_accuracy` per sample of a batch that has pairs."""
    assert batch.pairs is not None
    return pair_accuracy(batch.logits, batch.labels, batch.pairs, reduction="none")
