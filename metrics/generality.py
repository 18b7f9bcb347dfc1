"""Are features shared concepts, or detectors of one class?"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import Tables
from metrics.blocks import column_blocks
from metrics.reduction import Reduction, reduce


def class_independence(
    features: Tensor,
    labels: Tensor,
    reduction: Reduction = "mean",
    *,
    denominator_floor: float = 0.0,
) -> Tensor:
    """Class-Independence tau (QPM paper, eq. 14), over training features and true classes.

    Per feature: one minus the largest share that a single class has of its activation, counted
    from the feature's minimum. Summed in float64, whatever the input.

    Args:
        features: (N, d).
        labels: (N,), the true classes, from 0.
        reduction: ``"mean"`` over the features that count, or ``"none"``.
        denominator_floor: the activation's sum is raised to it. At 0 the share of a constant
            feature is 0/0: it does not count. The authors' code has 1e-8, so that a constant
            feature adds 1 to the mean (golden item 13).

    Returns:
        A fraction, 0 (one class per feature) to 1 - 1/C (all alike); or (d,), NaN for constant
        features.

    Raises:
        NotApplicable: every feature is constant.
        ValueError: features with NaN or infinite values.

    >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
    >>> class_independence(features, torch.tensor([0, 1, 0, 1]))
    tensor(0.3750, dtype=torch.float64)
    """
    classes = int(labels.max()) + 1 if len(labels) else 0
    tau = features.new_full((features.shape[1],), torch.nan, dtype=torch.float64)
    for part, block in column_blocks(features) if classes else ():
        activation = block - block.amin(dim=0)
        per_class = activation.new_zeros(classes, activation.shape[1])
        per_class.index_add_(0, labels, activation)
        total = per_class.sum(dim=0).clamp(min=denominator_floor)
        tau[part] = 1 - per_class.amax(dim=0) / total
    return reduce(tau, reduction, "every feature is constant")


def dependence(
    features: Tensor, logits: Tensor, weight: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Dependence (Q-SENN; golden formula): how much of a decision hangs on one feature.

    Per sample: the largest share that one feature has of the magnitudes of all contributions
    ``feature * weight`` to the predicted class; the bias has no part in it.

    Args:
        features: (N, d).
        logits: (N, C); the predicted class is the first largest.
        weight: (C, d).
        reduction: ``"mean"`` over the samples that count, or ``"none"``.

    Returns:
        A fraction, 1/d to 1; or (N,), NaN where every contribution is zero (golden item 20). In
        the features' precision, at least float32.

    Raises:
        NotApplicable: no sample has a contribution.
        ValueError: shapes that do not fit; features with NaN or infinite values.

    >>> features = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    >>> logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> dependence(features, logits, torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    tensor(0.7500)
    """
    if features.shape != (len(logits), weight.shape[1]):
        raise ValueError(
            f"features of shape {tuple(features.shape)} do not fit: "
            f"({len(logits)}, {weight.shape[1]}) is needed; restrict both to the same columns"
        )
    precision = torch.promote_types(features.dtype, torch.float32)
    contribution = (features.to(precision) * weight[logits.argmax(dim=1)].to(precision)).abs_()
    if not bool(contribution.isfinite().all()):
        raise ValueError("the features or weights hold NaN or infinite values")
    share = contribution.amax(dim=1) / contribution.sum(dim=1)
    return reduce(share, reduction, "no sample has a contribution to its predicted class")


def class_independence_of(tables: Tables) -> float:
    """:func:`class_independence` of a classifier's tables."""
    return float(class_independence(tables.features, tables.labels))


def dependence_of(tables: Tables) -> float:
    """:func:`dependence` of a classifier's tables, streamed over samples."""
    pieces = zip(tables.features.split(4096), tables.logits.split(4096), strict=True)
    assert tables.weight is not None
    values = [dependence(f, z, tables.weight, reduction="none") for f, z in pieces]
    reason = "no sample has a contribution to its predicted class"
    return float(reduce(torch.cat(values).double(), "mean", reason))
