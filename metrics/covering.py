"""How far interpretations that cover images reach, and how pure they are.

Section 3 of "Finding Representative Interpretations on Convolutional Neural Networks" (Lam et
al., ICCV 2021): an interpretation covers the images in its convex polytope; its representativeness
is the number of reference images that it covers.
"""

from __future__ import annotations

from torch import Tensor

from metrics.reduction import Reduction, reduce


def representativeness(covers: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Reference images that an interpretation covers, |P(x) ∩ R|.

    Args:
        covers: (V, R) bool, whether interpretation v covers reference image r.
        reduction: ``"mean"`` over interpretations, or ``"none"`` for one count each.

    Returns:
        A count, 0 to R, higher is better; or (V,).

    Raises:
        NotApplicable: there are no interpretations.

    >>> import torch
    >>> representativeness(torch.tensor([[True, True, False], [True, False, False]]))
    tensor(1.5000, dtype=torch.float64)
    """
    return reduce(covers.double().sum(1), reduction, "there are no interpretations")


def purity(covers: Tensor, agrees: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Share of the covered images whose prediction is that of the interpreted image.

    Args:
        covers: (V, R) bool, whether interpretation v covers reference image r.
        agrees: (V, R) bool, whether r is predicted as the image that v interprets.
        reduction: ``"mean"`` over interpretations that cover something, or ``"none"``.

    Returns:
        A fraction, 0 to 1, 1 being what the paper's constraint (1b) asks for; or (V,), NaN where
        nothing is covered.

    Raises:
        NotApplicable: no interpretation covers anything.

    >>> import torch
    >>> purity(torch.tensor([[True, True]]), torch.tensor([[True, False]]))
    tensor(0.5000, dtype=torch.float64)
    """
    share = (covers & agrees).double().sum(1) / covers.double().sum(1)
    return reduce(share, reduction, "no interpretation covers an image")


def unseen_coverage(covers: Tensor) -> Tensor:
    """Share of unseen images that at least one interpretation covers.

    Args:
        covers: (V, N) bool, whether interpretation v covers unseen image n.

    Returns:
        A fraction, 0 to 1, higher is better.

    >>> import torch
    >>> unseen_coverage(torch.tensor([[True, False], [True, False]]))
    tensor(0.5000, dtype=torch.float64)
    """
    return covers.any(0).double().mean()


def polytope_size(members: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Linear boundaries of a polytope, |P(x)|.

    Args:
        members: (V, Q) bool, whether boundary q belongs to interpretation v.
        reduction: ``"mean"`` over interpretations, or ``"none"`` for one count each.

    Returns:
        A count, 0 to Q; or (V,).

    >>> import torch
    >>> polytope_size(torch.tensor([[True, True, False], [True, False, False]]))
    tensor(1.5000, dtype=torch.float64)
    """
    return reduce(members.double().sum(1), reduction, "there are no interpretations")
