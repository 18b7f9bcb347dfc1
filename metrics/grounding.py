"""Are classes that are alike in reality alike in the model?"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contracts import NotApplicable, Tables
from metrics.cosine import cosine_matrix


def class_similarity(class_attributes: Tensor) -> Tensor:
    """Ground-truth similarity of classes (QPM paper, section 4.2): cosine of their attributes.

    Args:
        class_attributes: (C, n_a), for each class the share of its images in which people see
            each attribute, 0 to 1.

    Returns:
        (C, C) float64, symmetric, diagonal 0.

    Raises:
        ValueError: a class without any attribute, whose similarity is undefined.

    >>> class_similarity(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([[0.0000, 0.7071],
            [0.7071, 0.0000]], dtype=torch.float64)
    """
    empty = (class_attributes == 0).all(dim=1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"classes {empty} have no attribute: their similarity is undefined")
    return cosine_matrix(class_attributes).fill_diagonal_(0)


def most_similar_pairs(class_similarity: Tensor, pairs: int = 25) -> Tensor:
    """The pairs of different classes with the largest similarity, best first.

    Each pair counts once; of equally similar pairs the one with the lower classes comes first.

    Args:
        class_similarity: (C, C), symmetric; only the part above the diagonal is read.
        pairs: how many; all where there are fewer.

    Returns:
        (pairs, 2) with first class < second class.

    >>> similarity = torch.tensor([[0.0, 0.2, 0.9], [0.2, 0.0, 0.4], [0.9, 0.4, 0.0]])
    >>> most_similar_pairs(similarity, pairs=2)
    tensor([[0, 2],
            [1, 2]])
    """
    classes = len(class_similarity)
    if class_similarity.shape != (classes, classes):
        raise ValueError(f"a (C, C) matrix is needed, not {tuple(class_similarity.shape)}")
    every = torch.triu_indices(classes, classes, offset=1, device=class_similarity.device)
    similarity = class_similarity[every[0], every[1]]
    best = similarity.sort(descending=True, stable=True).indices[:pairs]
    return every[:, best].T


def structural_grounding(weight: Tensor, class_similarity: Tensor, pairs: int = 25) -> Tensor:
    """Structural Grounding (QPM paper, eq. 12).

    Of the pairs of classes that are most similar in reality, the summed cosine of their weight
    vectors divided by the summed ground-truth similarity.

    Args:
        weight: (C, d).
        class_similarity: (C, C), ground truth, symmetric.
        pairs: unique pairs that are looked at; all where there are fewer.

    Returns:
        A ratio; 1 where the classes are as alike in the model as in reality, negative where
        weights oppose each other.

    Raises:
        NotApplicable: a class of those pairs has no nonzero weight, or no pair is similar.
        ValueError: shapes that do not fit.

    >>> weight = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    >>> similarity = torch.tensor([[0.0, 0.8, 0.1], [0.8, 0.0, 0.2], [0.1, 0.2, 0.0]])
    >>> structural_grounding(weight, similarity, pairs=1)
    tensor(0.6250, dtype=torch.float64)
    """
    if len(weight) != len(class_similarity):
        raise ValueError(
            f"weights are of {len(weight)} classes, class_similarity of {len(class_similarity)}"
        )
    compared = most_similar_pairs(class_similarity, pairs)
    truth = class_similarity[compared[:, 0], compared[:, 1]].double().sum()
    if not bool(truth > 0):
        raise NotApplicable("no pair of classes is similar in the ground truth")
    unit = torch.nn.functional.normalize(weight[compared].double(), dim=2)
    mute = compared[(unit == 0).all(dim=2)].unique().tolist()
    if mute:
        raise NotApplicable(f"classes {mute} have no nonzero weight, so no similarity to others")
    return (unit[:, 0] * unit[:, 1]).sum() / truth


def structural_grounding_of(tables: Tables) -> float:
    """:func:`structural_grounding` of a classifier's tables that have a class similarity."""
    assert tables.class_similarity is not None
    assert tables.weight is not None
    return float(structural_grounding(tables.weight, tables.class_similarity))
