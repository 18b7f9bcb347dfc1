"""From one value per sample (or feature) to one number."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from benchmark.contracts import NotApplicable

Reduction = Literal["mean", "none"]


def reduce(values: Tensor, reduction: Reduction, nothing: str) -> Tensor:
    """``values`` as they are (``"none"``) or the mean of those that count (``"mean"``).

    Args:
        values: (N,), NaN where a sample or feature does not count.
        reduction: ``"mean"`` or ``"none"``.
        nothing: the reason that is given when no value counts.

    Raises:
        NotApplicable: reduction ``"mean"``, and all values are NaN or there are none.
        ValueError: unknown reduction.

    >>> import torch
    >>> reduce(torch.tensor([1.0, torch.nan, 2.0]), "mean", "no sample counts")
    tensor(1.5000)
    """
    if reduction == "none":
        return values
    if reduction != "mean":
        raise ValueError(f'reduction is {reduction!r}; use "mean" or "none"')
    if bool(values.isnan().all()):
        raise NotApplicable(nothing)
    return values.nanmean()


def mean_of_whole_blocks(values: Tensor, block: int = 300, count_from: int | None = None) -> Tensor:
    """The mean as the authors' code takes it: over whole blocks of test samples only.

    Only for comparing with published numbers (golden items 1 and 2): up to ``block - 1`` samples
    at the end are left out. Every other mean here is over all samples.

    Args:
        values: (N,), one value per test sample in order, NaN where a sample does not count.
        block: samples in a block.
        count_from: the number of samples that decides how many blocks there are: the test
            samples themselves (default; CHiQPM) or the training samples (QPM and Q-SENN).

    Raises:
        NotApplicable: no whole block, or no sample in the blocks counts (the authors' code
            answers 0 there).

    >>> import torch
    >>> mean_of_whole_blocks(torch.tensor([1.0, 3.0, 8.0]), block=2)
    tensor(2.)
    """
    blocks = (len(values) if count_from is None else count_from) // block
    reason = f"no sample that counts within {blocks} whole blocks of {block}"
    return reduce(values[: blocks * block], "mean", reason)
