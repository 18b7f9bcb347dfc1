"""Do features repeat each other?"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import Tables
from metrics.cosine import cosine_matrix
from metrics.reduction import Reduction, reduce

NORM_FLOOR = 1e-8  # of the authors' code, golden item 17


def correlation(
    features: Tensor, reduction: Reduction = "mean", *, zero_diagonal: bool = False
) -> Tensor:
    """Correlation (QPM paper, eq. 18): mean over features of the largest cosine with another.

    The cosine is uncentred and signed. Summed in float64, whatever the input.

    Args:
        features: (N, d), of the training samples.
        reduction: ``"mean"`` over the features that count, or ``"none"``.
        zero_diagonal: as the authors' code (golden item 17): the cosine of a feature with itself,
            and all those of a feature that is always zero, are 0 and take part in the maximum, so
            that no feature is below 0.

    Returns:
        -1 to 1; or (d,), NaN for features that are zero for every sample.

    Raises:
        NotApplicable: fewer than two features that are not always zero.
        ValueError: features with NaN or infinite values.

    >>> correlation(torch.tensor([[1.0, 3.0, 0.0], [0.0, 4.0, -2.0]]))
    tensor(0.4000, dtype=torch.float64)
    """
    if zero_diagonal:
        cosines = cosine_matrix(features.T, NORM_FLOOR).fill_diagonal_(0)
    else:
        cosines = cosine_matrix(features.T).fill_diagonal_(torch.nan)
    others = cosines.nan_to_num(nan=-torch.inf)
    highest = others.amax(dim=1) if len(others) else others.new_empty(0)
    highest = highest.masked_fill(highest.isneginf(), torch.nan)
    return reduce(highest, reduction, "fewer than two features are ever nonzero")


def correlation_of(tables: Tables) -> float:
    """:func:`correlation` of a classifier's tables."""
    return float(correlation(tables.features))
