"""Do features follow attributes that people annotated?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark.contracts import ImageAttributes, Tables
from metrics.blocks import column_blocks
from metrics.reduction import Reduction, reduce

NOT_VISIBLE = 1
PROBABLY = 3


def _mean_over(images: Tensor, attributes: Tensor, samples: int, count: int) -> Tensor:
    """(count, samples) weights: a row times the features is the mean over the attribute's rows."""
    hits = torch.bincount(attributes * samples + images, minlength=count * samples)
    table = hits.view(count, samples).double()
    return table / table.sum(dim=1, keepdim=True)  # 0 / 0 = NaN: an attribute without such rows


def alignment_matrix(
    features: Tensor,
    attributes: ImageAttributes,
    *,
    minimum_certainty: int = PROBABLY,
    count_not_visible: bool = False,
) -> Tensor:
    """How much higher each feature is where an attribute is present (QPM paper, eqs. 28 and 29).

    ``(mean over images with the attribute - mean over those without) / (mean - minimum)`` of each
    feature: in units of its mean activation. Summed in float64, whatever the input.

    Args:
        features: (N, d), of the training samples.
        attributes: rows of "image shows attribute"; ``image`` indexes the N samples.
        minimum_certainty: rows below it are left out (2 guessing, 3 probably, 4 definitely).
        count_not_visible: rows of certainty 1 ("not visible") count too. The authors' code means
            to do this, but drops them; so does the default (golden item 19).

    Returns:
        (d, n_a) float64; NaN for a feature that is constant and for an attribute that is present
        in all rows or in none.

    Raises:
        ValueError: an image index beyond the samples; features with NaN or infinite values.

    >>> rows = ImageAttributes(np.array([0, 1]), np.array([0, 0]), np.array([True, False]),
    ...                        np.array([4, 3]))
    >>> alignment_matrix(torch.tensor([[3.0], [1.0]]), rows)
    tensor([[2.]], dtype=torch.float64)
    """
    samples, device = len(features), features.device
    if len(attributes.image) and attributes.image.max() >= samples:
        raise ValueError(
            f"an attribute row names image {attributes.image.max()} of {samples} training images"
        )
    kept = attributes.certainty >= minimum_certainty
    if count_not_visible:
        kept |= attributes.certainty == NOT_VISIBLE
    count = int(attributes.attribute.max()) + 1 if len(attributes.attribute) else 0

    def mean_over(rows: np.ndarray) -> Tensor:
        image = torch.as_tensor(attributes.image[rows].astype(np.int64), device=device)
        attribute = torch.as_tensor(attributes.attribute[rows].astype(np.int64), device=device)
        return _mean_over(image, attribute, samples, count)

    present = attributes.present.astype(bool)
    difference = mean_over(kept & present) - mean_over(kept & ~present)
    aligned = features.new_empty(features.shape[1], count, dtype=torch.float64)
    for part, block in column_blocks(features):
        activation = block - block.amin(dim=0)
        aligned[part] = ((difference @ activation) / activation.mean(dim=0)).T
    return aligned


def feature_alignment(
    features: Tensor,
    attributes: ImageAttributes,
    reduction: Reduction = "mean",
    *,
    minimum_certainty: int = PROBABLY,
    count_not_visible: bool = False,
) -> Tensor:
    """Feature alignment r (Q-SENN; QPM paper, eq. 29): mean over features of the best attribute.

    Constant features, and attributes that are always or never present, are left out; the authors'
    code is NaN as soon as there is one of them (golden item 19).

    Args:
        features, attributes, minimum_certainty, count_not_visible: see :func:`alignment_matrix`.
        reduction: ``"mean"`` over the features that count, or ``"none"``.

    Returns:
        In units of the features' mean activation above their minimum, unbounded; or (d,), NaN for
        features that do not count.

    Raises:
        NotApplicable: every feature is constant, or no attribute both present and absent.
        ValueError: as :func:`alignment_matrix`.

    >>> rows = ImageAttributes(np.array([0, 1]), np.array([0, 0]), np.array([True, False]),
    ...                        np.array([4, 3]))
    >>> feature_alignment(torch.tensor([[3.0], [1.0]]), rows)
    tensor(2., dtype=torch.float64)
    """
    aligned = alignment_matrix(
        features,
        attributes,
        minimum_certainty=minimum_certainty,
        count_not_visible=count_not_visible,
    )
    if not aligned.shape[1]:
        aligned = aligned.new_full((len(aligned), 1), torch.nan)
    best = aligned.nan_to_num(nan=-torch.inf).amax(dim=1)
    best = best.masked_fill(best.isneginf(), torch.nan)
    reason = "no feature varies, or no attribute is both present and absent"
    return reduce(best, reduction, reason)


def feature_alignment_of(tables: Tables) -> float:
    """:func:`feature_alignment` of a classifier's tables that have image attributes."""
    assert tables.image_attributes is not None
    return float(feature_alignment(tables.features, tables.image_attributes))
