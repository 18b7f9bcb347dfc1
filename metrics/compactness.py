"""How many features there are to understand (QPM paper, table 2)."""

from __future__ import annotations

from torch import Tensor

from benchmark.contracts import Tables


def total_features(weight: Tensor) -> Tensor:
    """Number of features with a nonzero weight in some class.

    Args:
        weight: (C, d).

    Returns:
        A count, 0 to d.

    >>> import torch
    >>> total_features(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -2.0]]))
    tensor(2)
    """
    return (weight != 0).any(dim=0).sum()


def features_per_class(weight: Tensor) -> Tensor:
    """Mean number of nonzero weights of a class; classes without any count too.

    Args:
        weight: (C, d).

    Returns:
        A mean count, 0 to d, float64.

    >>> import torch
    >>> features_per_class(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, -2.0]]))
    tensor(1.5000, dtype=torch.float64)
    """
    return (weight != 0).sum(dim=1).double().mean()


def total_features_of(tables: Tables) -> float:
    """:func:`total_features` of a classifier's tables."""
    assert tables.weight is not None
    return float(total_features(tables.weight))


def features_per_class_of(tables: Tables) -> float:
    """:func:`features_per_class` of a classifier's tables."""
    assert tables.weight is not None
    return float(features_per_class(tables.weight))
