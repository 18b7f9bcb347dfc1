"""Do the features behind a prediction look at different places? SID@k and diversity@k.

Only the k maps of each sample's predicted class are gathered and soft-maxed, so the cost does
not grow with the number of features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import Batch
from metrics.reduction import Reduction, reduce

SCALE_FLOOR = 1e-5  # of mean |M|: a dead map gets a uniform softmax instead of 0 / 0


def top_features(
    logits: Tensor, weight: Tensor, k: int = 5, absolute_weights: bool = False
) -> tuple[Tensor, Tensor]:
    """The k features of each sample's predicted class with the highest weights.

    Of equal weights the feature with the lowest index comes first, on every device.

    Args:
        logits: (N, C); the predicted class is the first largest.
        weight: (C, d).
        k: how many.
        absolute_weights: rank by magnitude instead of by signed weight.

    Returns:
        Indices (N, min(k, d)), best first; and (N,) booleans: has the predicted class at least k
        nonzero weights?

    >>> weight = torch.tensor([[0.0, 2.0, -3.0], [1.0, 0.0, 0.0]])
    >>> top_features(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), weight, k=2)
    (tensor([[1, 0],
            [0, 1]]), tensor([ True, False]))
    """
    if k < 1:
        raise ValueError(f"k is {k}; at least one feature is needed")
    classes, row = logits.argmax(dim=1).unique(return_inverse=True)
    weights = weight[classes]
    ranked = weights.abs() if absolute_weights else weights
    best = ranked.sort(dim=1, descending=True, stable=True).indices[:, :k]
    enough = (weights != 0).sum(dim=1) >= k
    return best[row], enough[row]


def share_of_places(maps: Tensor) -> Tensor:
    """Mass of the cell-wise maximum of k soft-maxed maps, divided by k (eqs. 15 right and 16).

    Args:
        maps: (N, k, h, w).

    Returns:
        (N,): 1/k where all maps look at the same places alike, towards 1 where each has its own.

    >>> share_of_places(torch.tensor([[[[9.0, 0.0]], [[0.0, 9.0]]], [[[9.0, 0.0]], [[9.0, 0.0]]]]))
    tensor([0.9999, 0.5000])
    """
    return maps.flatten(2).softmax(dim=2).amax(dim=1).sum(dim=1) / maps.shape[1]


def scale_invariant(maps: Tensor) -> Tensor:
    """Each map divided by its mean magnitude over the places (eq. 15 left), floored at 1e-5.

    >>> scale_invariant(torch.tensor([[[[2.0, -6.0]]]]))
    tensor([[[[ 0.5000, -1.5000]]]])
    """
    return maps / maps.abs().mean(dim=(2, 3), keepdim=True).clamp(min=SCALE_FLOOR)


def maps_of(feature_maps: Tensor, index: Tensor) -> Tensor:
    """The maps with the given indices: (N, d, h, w) and (N, k) -> (N, k, h, w), at least float32.

    >>> maps_of(torch.arange(3.0).view(1, 3, 1, 1), torch.tensor([[2, 0]])).flatten()
    tensor([2., 0.])
    """
    samples = torch.arange(len(feature_maps), device=feature_maps.device)[:, None]
    maps = feature_maps[samples, index.to(feature_maps.device)]
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def _selected(
    feature_maps: Tensor, logits: Tensor, weight: Tensor, k: int, absolute_weights: bool
) -> tuple[Tensor, Tensor]:
    if feature_maps.ndim != 4 or feature_maps.shape[:2] != (len(logits), weight.shape[1]):
        raise ValueError(
            f"feature maps of shape {tuple(feature_maps.shape)} do not fit: "
            f"(N = {len(logits)}, d = {weight.shape[1]}, h, w) is needed"
        )
    index, enough = top_features(logits, weight, k, absolute_weights)
    return maps_of(feature_maps, index), enough


def _finish(share: Tensor, enough: Tensor, k: int, reduction: Reduction) -> Tensor:
    if not bool(share.isfinite().all()):
        raise ValueError("the feature maps hold NaN or infinite values; the classifier diverged?")
    values = share.masked_fill(~enough, torch.nan)
    return reduce(values, reduction, f"no predicted class has {k} nonzero weights")


def sid_at_k(
    feature_maps: Tensor,
    logits: Tensor,
    weight: Tensor,
    k: int = 5,
    reduction: Reduction = "mean",
    *,
    absolute_weights: bool = False,
) -> Tensor:
    """Scale-Invariant Diversity (QPM paper, eqs. 15 and 16).

    Of the k features with the highest weights for the predicted class, each map is divided by its
    mean magnitude and soft-maxed over its places; the cell-wise maximum over the k is summed and
    divided by k.

    Args:
        feature_maps: (N, d, h, w), the raw maps of the d used features.
        logits: (N, C).
        weight: (C, d).
        k: features per sample.
        reduction: ``"mean"`` over the samples that count, or ``"none"``.
        absolute_weights: rank features by magnitude. The paper's "highest weighted", and the
            published numbers, are by signed weight: a class with fewer than k positive weights
            then gets features of weight zero before its negative ones (golden items 3 and 4).

    Returns:
        A fraction, 1/k (all k look at the same places alike) to 1 (all apart); or (N,), NaN for
        samples whose predicted class has fewer than k nonzero weights (golden item 5). In the
        maps' precision, at least float32.

    Raises:
        NotApplicable: no sample counts.
        ValueError: shapes that do not fit; maps with NaN or infinite values.

    >>> maps = torch.tensor([[[[5.0, 0.0]], [[0.0, 7.0]]]])
    >>> sid_at_k(maps, torch.tensor([[1.0]]), torch.tensor([[1.0, 1.0]]), k=2)
    tensor(0.8808)
    """
    maps, enough = _selected(feature_maps, logits, weight, k, absolute_weights)
    return _finish(share_of_places(scale_invariant(maps)), enough, k, reduction)


def diversity_at_k(
    feature_maps: Tensor,
    logits: Tensor,
    weight: Tensor,
    k: int = 5,
    reduction: Reduction = "mean",
    *,
    absolute_weights: bool = False,
) -> Tensor:
    """Diversity (SLDD-Model; QPM paper, table 8): :func:`sid_at_k` without scaling the maps.

    Depends on the scale of the maps, which is why the QPM paper replaces it. Arguments, result
    and errors are those of :func:`sid_at_k`.

    >>> maps = torch.tensor([[[[5.0, 0.0]], [[0.0, 7.0]]]])
    >>> diversity_at_k(maps, torch.tensor([[1.0]]), torch.tensor([[1.0, 1.0]]), k=2)
    tensor(0.9962)
    """
    maps, enough = _selected(feature_maps, logits, weight, k, absolute_weights)
    return _finish(share_of_places(maps), enough, k, reduction)


def sid_at_5_of(batch: Batch) -> Tensor:
    """:func:`sid_at_k` with k = 5 per sample of a batch."""
    assert batch.weight is not None
    return sid_at_k(batch.maps, batch.logits, batch.weight, k=5, reduction="none")


def diversity_at_5_of(batch: Batch) -> Tensor:
    """:func:`diversity_at_k` with k = 5 per sample of a batch."""
    assert batch.weight is not None
    return diversity_at_k(batch.maps, batch.logits, batch.weight, k=5, reduction="none")
