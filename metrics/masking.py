"""Does the part of the image that a heat map keeps carry the prediction?

Equations 7 and 8 of "Finding Representative Interpretations on Convolutional Neural Networks"
(Lam et al., ICCV 2021). A score is the softmax probability of the class predicted for the
unmasked image; the masked image keeps the 20 % of the pixels where the heat map is highest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import Batch
from metrics.reduction import Reduction, reduce


def average_drop(scores: Tensor, masked_scores: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Average Drop (eq. 7): mean of ``max(0, score - masked score) / score``.

    Args:
        scores: (N,) probabilities of the predicted class on the whole image.
        masked_scores: (N,) of the same class on the masked image.
        reduction: ``"mean"``, or ``"none"`` for one value per sample.

    Returns:
        A fraction, 0 to 1, lower is better; or (N,), NaN where a score is 0 or NaN.

    Raises:
        NotApplicable: no sample counts.

    >>> average_drop(torch.tensor([0.8, 0.5]), torch.tensor([0.4, 0.6]))
    tensor(0.2500)
    """
    drop = (scores - masked_scores).clamp(min=0) / scores
    return reduce(drop, reduction, "there are no samples with a score")


def average_increase(
    scores: Tensor, masked_scores: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Average Increase (eq. 8): share of the samples whose score is higher on the masked image.

    Args:
        scores: (N,) probabilities of the predicted class on the whole image.
        masked_scores: (N,) of the same class on the masked image.
        reduction: ``"mean"``, or ``"none"`` for one 0 or 1 per sample.

    Returns:
        A fraction, 0 to 1, higher is better; or (N,), NaN where a score is NaN.

    Raises:
        NotApplicable: no sample counts.

    >>> average_increase(torch.tensor([0.8, 0.5]), torch.tensor([0.4, 0.6]))
    tensor(0.5000)
    """
    higher = (masked_scores > scores).to(scores.dtype)
    higher = higher.masked_fill(scores.isnan() | masked_scores.isnan(), torch.nan)
    return reduce(higher, reduction, "there are no samples with a score")


def scores_of(logits: Tensor, masked_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax probability of the class predicted for the whole image, without and with the mask.

    Args:
        logits, masked_logits: (N, C).

    Returns:
        Two (N,) tensors in [0, 1], at least float32.

    >>> scores_of(torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    (tensor([0.9999]), tensor([0.5000]))
    """
    predicted = logits.argmax(dim=1, keepdim=True)

    def probability(values: Tensor) -> Tensor:
        precision = torch.promote_types(values.dtype, torch.float32)
        return values.softmax(dim=1, dtype=precision).gather(1, predicted).squeeze(1)

    return probability(logits), probability(masked_logits)


def average_drop_of(batch: Batch) -> Tensor:
    """:func:`average_drop` per sample of a batch that has masked logits."""
    assert batch.masked_logits is not None
    return average_drop(*scores_of(batch.logits, batch.masked_logits), reduction="none")


def average_increase_of(batch: Batch) -> Tensor:
    """:func:`average_increase` per sample of a batch that has masked logits."""
    assert batch.masked_logits is not None
    return average_increase(*scores_of(batch.logits, batch.masked_logits), reduction="none")
