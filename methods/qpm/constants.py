"""The constants of the quadratic program: A, R and b (sections 3.2 to 3.4 of the QPM paper)."""

from __future__ import annotations

import numpy as np

from benchmark.features import Locality

LAMBDA = 10**-0.5  # largest magnitude of the bias, section 4.1.1


def class_sums(
    features: np.ndarray, labels: np.ndarray, n_classes: int, rows: int = 65536
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: sums (C, d) and counts (C,); and the features' sums of squares (d,); streamed.

    The sums are about the first row, so that large means cost no digits in float64.
    """
    origin = np.asarray(features[0], dtype=np.float64)
    sums = np.zeros((n_classes, features.shape[1]))
    squares = np.zeros(features.shape[1])
    for start in range(0, len(features), rows):
        block = features[start : start + rows] - origin
        np.add.at(sums, labels[start : start + rows], block)
        squares += np.einsum("nd,nd->d", block, block)
    return sums, np.bincount(labels, minlength=n_classes), squares


def pearson(features: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """A (C, d): Pearson correlation of each feature with each class's 0/1 indicator.

    With p the share of a class and s the feature's deviation, the correlation is
    (mean over the class - mean) / s * sqrt(p / (1 - p)); so class means are all it takes. A
    constant feature correlates with nothing: 0, where a plain division gives NaN.

    >>> pearson(np.array([[0.0], [1.0]]), np.array([0, 1]), 2).round(6).tolist()
    [[-1.0], [1.0]]
    """
    sums, counts, squares = class_sums(features, labels, n_classes)
    n = len(features)
    mean = sums.sum(0) / n
    variance = squares / n - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))
    share = counts / n
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums / counts[:, None] - mean
        correlation = apart / deviation * np.sqrt(share / (1 - share))[:, None]
    constant = deviation <= 1e-12 * np.maximum(np.sqrt(squares / n), 1e-300)
    return np.where(constant | ~np.isfinite(correlation), 0.0, correlation)


def auroc(features: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """A (C, d) by AUROC instead (appendix J): the chance that an image of the class has more.

    From ranks (Mann-Whitney U, ties sharing their rank), shifted by 1/2 so that a feature that
    tells nothing of a class has 0, as with a correlation.

    >>> auroc(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1]), 2).tolist()
    [[-0.5], [0.5]]
    """
    from scipy.stats import rankdata

    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    area = np.zeros((n_classes, features.shape[1]))
    for d in range(features.shape[1]):  # a column at a time: ranks need it whole, memory is spared
        ranks = rankdata(features[:, d])
        sums = np.bincount(labels, weights=ranks, minlength=n_classes)
        wins = sums - counts * (counts + 1) / 2
        area[:, d] = wins / np.maximum(counts * (len(labels) - counts), 1) - 0.5
    return area


def scale_to_one(values: np.ndarray) -> np.ndarray:
    """Divided by the largest magnitude (all zeros stay so)."""
    largest = np.abs(values).max(initial=0.0)
    return values / largest if largest > 0 else values


def cosine_similarity(similarity: np.ndarray) -> np.ndarray:
    """Rectified cosines (d, d) between the columns of A, zero diagonal (section 3.3).

    >>> cosine_similarity(np.array([[1.0, 1.0], [0.0, 1.0]])).round(3).tolist()
    [[0.0, 0.707], [0.707, 0.0]]
    """
    norms = np.linalg.norm(similarity, axis=0)
    unit = similarity / np.maximum(norms, 1e-12)
    cosine = np.maximum(unit.T @ unit, 0.0)
    np.fill_diagonal(cosine, 0.0)
    return (cosine + cosine.T) / 2


def threshold(cosine: np.ndarray, n_features: int) -> float:
    """Epsilon of section 4.1.1: the smallest for which n_f* mutually dissimilar features exist.

    "Dissimilar" is r < epsilon for each pair. Finding such a set is NP-hard (it is a clique of
    the graph of equation 11); this bisects over the values of R and builds an independent set of
    the graph {r >= epsilon} by the min-degree greedy heuristic (Halldorsson and Radhakrishnan,
    1997), so epsilon may come out larger than the smallest possible.

    >>> threshold(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.2], [0.1, 0.2, 0.0]]), 2)
    0.2
    """
    values = np.unique(cosine)
    above = np.append(values[values > 0], np.inf)
    low, high = 0, len(above) - 1
    while low < high:
        middle = (low + high) // 2
        if independent_set(cosine >= above[middle]) >= n_features:
            high = middle
        else:
            low = middle + 1
    return float(above[low])


def independent_set(graph: np.ndarray) -> int:
    """Size of the independent set that always taking a node of least degree builds.

    ``graph`` (d, d) is a symmetric boolean adjacency without loops.

    >>> independent_set(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool))
    2
    """
    degree = graph.sum(1).astype(np.int64)
    alive = np.ones(len(graph), dtype=bool)
    size = 0
    never = len(graph) + 1
    while alive.any():
        node = int(np.where(alive, degree, never).argmin())
        gone = graph[node] & alive
        gone[node] = True
        alive &= ~gone
        degree -= graph[gone].sum(0)
        size += 1
    return size


def redundancy(similarity: np.ndarray, n_features: int) -> np.ndarray:
    """R (d, d): rectified cosines, those below epsilon set to 0, the largest scaled to 1."""
    cosine = cosine_similarity(similarity)
    return scale_to_one(np.where(cosine >= threshold(cosine, n_features), cosine, 0.0))


def locality(sums: Locality) -> np.ndarray:
    """Equation 8: each feature's spatial softmax peak, averaged by activation (d,)."""
    return sums.peak / np.maximum(sums.activation, 1e-12)


def centre(sums: Locality) -> np.ndarray:
    """Equation 26: minus the activation-weighted mean of 1 / (1 + distance to the border)."""
    return -sums.centre / np.maximum(sums.activation, 1e-12)


def locality_as_published(sums: Locality, weight: float = LAMBDA) -> np.ndarray:
    """The locality bias of the authors' code: features that peak on the border get the least.

    Activations are divided by their sum in each image first; where the scaled edge term is
    negative the peak term is set to its minimum, and all is clipped and scaled again.
    """
    peak = clip_and_scale(sums.share_peak, weight, as_published=True)
    edge = clip_and_scale(-sums.share_edge, weight, as_published=True)
    return clip_and_scale(np.where(edge < 0, peak.min(), peak), weight, as_published=True)


def clip_and_scale(
    values: np.ndarray, weight: float = LAMBDA, *, as_published: bool = False
) -> np.ndarray:
    """Outliers clipped, centred, scaled so that the largest magnitude is ``weight`` (sec. 4.1.1).

    Outliers are what lies beyond the largest MeanShift cluster (the authors' choice; the paper
    only says "outliers"). ``as_published`` moves an outlier of the other sign than the cluster's
    end to minus that end, as the authors' code does; the default is an ordinary clip.
    """
    low, high = largest_cluster(values)
    if as_published:
        clipped = np.where(values > high, np.sign(values) * np.abs(high), values)
        clipped = np.where(values < low, np.sign(values) * np.abs(low), clipped)
    else:
        clipped = values.clip(low, high)
    return weight * scale_to_one(clipped - clipped.mean())


def largest_cluster(values: np.ndarray) -> tuple[float, float]:
    """Least and greatest value of the largest MeanShift cluster (default bandwidth)."""
    from sklearn.cluster import MeanShift, estimate_bandwidth

    column = np.asarray(values, dtype=np.float64)[:, None]
    if estimate_bandwidth(column) <= 0:  # (nearly) all equal: nothing is an outlier
        return float(column.min()), float(column.max())
    labels = MeanShift().fit(column).labels_
    inside = column[labels == np.bincount(labels).argmax()]
    return float(inside.min()), float(inside.max())
