"""Concepts: clusters of segments that look alike to a network, and how much a class needs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

RIDGE = 0.1  # penalty, in units of the mean squared distance of the rows from their mean


@dataclass(frozen=True)
class Concepts:
    """The K concepts of one set of images, the most important first.

    ``centres`` (K, d) of the pooled features; ``radii`` (K,): what lies farther from a centre is
    an outlier; ``scores`` (K,) TCAV in [0, 1].
    """

    centres: np.ndarray
    radii: np.ndarray
    scores: np.ndarray


def discover(
    features: np.ndarray,
    image: np.ndarray,
    *,
    concepts: int,
    most: int,
    images: int,
    seed: int,
) -> list[np.ndarray]:
    """Clusters of segments: for each, the segments nearest to its centre, nearest first.

    Args:
        features: (S, d) of the segments.
        image: (S,) which image each comes from.
        concepts: clusters.
        most: segments that a concept keeps.
        images: a cluster whose segments come from fewer images is dropped (all are kept if that
            would leave none).
        seed: of k-means, below 2^32.

    Returns:
        for each concept the rows of its segments.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct segments than asked
        means = KMeans(min(concepts, len(features)), n_init=1, random_state=seed).fit(features)
    own = np.linalg.norm(features - means.cluster_centers_[means.labels_], axis=1)
    groups = [np.flatnonzero(means.labels_ == k) for k in np.unique(means.labels_)]
    common = [rows for rows in groups if len(np.unique(image[rows])) >= images]
    return [rows[np.argsort(own[rows], kind="stable")[:most]] for rows in common or groups]


def activation_vectors(
    concept: np.ndarray, counterparts: np.ndarray, ridge: float = RIDGE
) -> np.ndarray:
    """Normals of linear classifiers that tell a concept from each of n random counterparts.

    Ridge regression on +1 and -1, with an intercept, in the space of the samples.

    Args:
        concept: (m, d) features of a concept's segments.
        counterparts: (n, k, d).
        ridge: the penalty, in units of the mean squared distance of the rows from their mean.

    Returns:
        (n, d), pointing from the counterpart to the concept.
    """
    n, k, _ = counterparts.shape
    rows = np.concatenate([np.broadcast_to(concept, (n, *concept.shape)), counterparts], axis=1)
    target = np.concatenate([np.ones(len(concept)), -np.ones(k)])
    rows = rows - rows.mean(axis=1, keepdims=True)
    target = target - target.mean()
    gram = rows @ rows.transpose(0, 2, 1)
    size = np.trace(gram, axis1=1, axis2=2) / gram.shape[1]
    penalty = ridge * np.maximum(size, 1e-12)[:, None, None] * np.eye(gram.shape[1])
    dual = np.linalg.solve(gram + penalty, np.broadcast_to(target, (n, len(target)))[..., None])
    return (rows.transpose(0, 2, 1) @ dual)[..., 0]


def tcav(vectors: np.ndarray, slopes: np.ndarray) -> tuple[float, float]:
    """TCAV (Kim et al. 2018): how often going towards the concept raises the class's score.

    Args:
        vectors: (n, d) concept activation vectors.
        slopes: (m, d) gradients of the class's score at the set's images.

    Returns:
        the share of positive directional derivatives over images and vectors, and their mean
        along unit vectors.

    >>> tcav(np.array([[2.0, 0.0]]), np.array([[1.0, 5.0], [-3.0, 0.0]]))
    (0.5, -1.0)
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    derivatives = slopes @ (vectors / np.maximum(length, 1e-12)).T
    return float((derivatives > 0).mean()), float(derivatives.mean())


def rank(scores: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """Concepts by TCAV score, those of equal score by their mean directional derivative.

    >>> rank(np.array([0.5, 1.0, 1.0]), np.array([9.0, 1.0, 2.0])).tolist()
    [2, 1, 0]
    """
    return np.lexsort((-derivatives, -scores))


def order_segments(features: np.ndarray, concepts: Concepts) -> np.ndarray:
    """Segments by the importance of their concept, the most important first.

    A segment belongs to the concept with the nearest centre; those that no concept reaches come
    last. Among segments of the same concept the nearer to its centre comes first.

    Args:
        features: (S, d).
        concepts: ranked.

    Returns:
        (S,) rows of the segments.
    """
    distances = np.linalg.norm(features[:, None] - concepts.centres, axis=2)  # (S, K)
    nearest = distances.argmin(1)
    near = distances[np.arange(len(features)), nearest]
    outlying = near > concepts.radii[nearest]
    return np.lexsort((near, np.where(outlying, len(concepts.centres), nearest), outlying))
