"""Are features on or off? Two normals fitted to each feature, and how little they overlap.

All features are fitted at once and deterministically. The value depends on the start and on the
stopping rule, and published values come from scikit-learn's defaults, so these are followed: an
exact 2-means start (scikit-learn's k-means finds it nearly always), expectation-maximisation that
stops when the mean log-likelihood moves by less than 1e-3 or after 100 steps, and 1e-6 added to
each variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.contracts import NotApplicable, Tables
from metrics.blocks import column_block, column_slices
from metrics.reduction import Reduction, reduce

CPU_ELEMENTS = 2**17  # of a block, which with its scratch arrays should stay in the cache
GPU_ELEMENTS = 2**24
TOLERANCE = 1e-3
MAX_STEPS = 100
VARIANCE_FLOOR = 1e-6


class TwoNormals(NamedTuple):
    """A mixture of two normals for each of d features; column 0 has the lower mean."""

    means: Tensor  # (d, 2)
    variances: Tensor  # (d, 2)
    weights: Tensor  # (d, 2), rows sum to 1
    log_likelihood: Tensor  # (d,) mean over samples, in the last E-step
    steps: Tensor  # (d,) EM steps taken


def _two_means(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and variances (2, m, 1) of the best two clusters of each row of (m, n).

    In one dimension two clusters are the two sides of a threshold, so all n - 1 splits of the
    sorted values are compared by the scatter between their means.
    """
    n = x.shape[1]
    centre = x.mean(dim=1, keepdim=True)
    ordered = (x - centre).sort(dim=1).values
    sums = ordered.cumsum(dim=1)
    below, total = sums[:, :-1], sums[:, -1:]
    sizes = torch.arange(1, n, dtype=x.dtype, device=x.device)
    scatter = below.square() / sizes + (total - below).square() / (n - sizes)
    size = scatter.argmax(dim=1, keepdim=True) + 1
    lower = torch.arange(n, device=x.device) < size
    sides = torch.stack([lower, ~lower])
    count = torch.stack([size, n - size]).to(x.dtype)
    mean = (ordered * sides).sum(dim=2, keepdim=True) / count
    variance = ((ordered - mean).square() * sides).sum(dim=2, keepdim=True) / count
    return count / n, mean + centre, variance


def _expectation_maximisation(x: Tensor) -> TwoNormals:
    """All rows of ``x`` (m, n) at once, float64 and finite; a row that converged leaves."""
    n = x.shape[1]
    weight, mean, variance = _two_means(x)
    variance = variance + VARIANCE_FLOOR
    fitted = [weight.clone(), mean.clone(), variance.clone()]
    likelihood = x.new_full((len(x),), -torch.inf)
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    active = torch.arange(len(x), device=x.device)
    before = likelihood.clone()
    for step in range(1, MAX_STEPS + 1):
        distance = x - mean
        log_density = distance.square().mul_(-0.5 / variance)
        log_density += weight.log() - 0.5 * (2 * math.pi * variance).log()
        log_total = torch.logaddexp(log_density[0], log_density[1])
        now = log_total.mean(dim=1)

        share = log_density.sub_(log_total).exp_()
        mass = share.sum(dim=2, keepdim=True) + 10 * torch.finfo(x.dtype).eps
        # Moments about the old means: a narrow spike far from 0 loses no digits.
        shift = (share * distance).sum(dim=2, keepdim=True) / mass
        square = (share * distance.square()).sum(dim=2, keepdim=True) / mass
        weight, mean = mass / n, mean + shift
        variance = (square - shift.square()).clamp(min=0) + VARIANCE_FLOOR

        for whole, part in zip(fitted, (weight, mean, variance), strict=True):
            whole[:, active] = part
        likelihood[active], steps[active] = now, step
        moving = (now - before).abs() >= TOLERANCE
        if not bool(moving.any()):
            break
        x, active, before = x[moving], active[moving], now[moving]
        weight, mean, variance = weight[:, moving], mean[:, moving], variance[:, moving]
    weights, means, variances = (part.squeeze(2).T for part in fitted)
    return TwoNormals(means, variances, weights, likelihood, steps)


@contextmanager
def _one_thread_per_operation() -> Iterator[int]:
    """Yields how many threads torch has, and keeps its operations from sharing them meanwhile.

    Whole blocks run side by side instead: the many short operations of a fit would otherwise wait
    for all threads each time, which on a busy machine costs ten times the work itself. It also
    makes the sums, and so the result, the same for any number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def fit_two_normals(features: Tensor) -> TwoNormals:
    """Fit a mixture of two normals to the values of each feature, in float64.

    Deterministic: exact 2-means start, then EM until the mean log-likelihood moves by less than
    1e-3, at most 100 steps, with 1e-6 added to each variance. Memory stays bounded: features are
    taken in blocks, one per thread, and a feature that converged leaves its block.

    Args:
        features: (N, d).

    Returns:
        :class:`TwoNormals`, all float64 but the steps. Both normals of a constant feature are the
        same.

    Raises:
        NotApplicable: fewer than two samples.
        ValueError: features with NaN or infinite values.

    >>> fit = fit_two_normals(torch.tensor([[0.0], [0.0], [0.0], [5.0]]))
    >>> fit.means, fit.weights
    (tensor([[0., 5.]], dtype=torch.float64), tensor([[0.7500, 0.2500]], dtype=torch.float64))
    """
    if len(features) < 2:
        raise NotApplicable(f"two normals cannot be fitted to {len(features)} samples")
    on_cpu = features.device.type == "cpu"
    parts = column_slices(features, CPU_ELEMENTS if on_cpu else GPU_ELEMENTS)
    if not parts:
        raise NotApplicable("there are no features")

    def fit(part: slice) -> TwoNormals:
        return _expectation_maximisation(column_block(features, part).T.contiguous())

    with (
        _one_thread_per_operation() as threads,
        ThreadPoolExecutor(threads if on_cpu else 1) as pool,
    ):
        fits = list(pool.map(fit, parts))
    means, variances, weights, likelihood, steps = map(torch.cat, zip(*fits, strict=True))
    order = means.argsort(dim=1, stable=True)
    return TwoNormals(
        means.gather(1, order),
        variances.gather(1, order),
        weights.gather(1, order),
        likelihood,
        steps,
    )


def normal_overlap(means: Tensor, variances: Tensor) -> Tensor:
    """Overlap of two normals of unit mass: integral of the smaller of the two densities.

    In closed form: the densities cross where a quadratic is zero, and between the crossings the
    narrower one is the larger (Inman & Bradley, 1989).

    Args:
        means: (..., 2).
        variances: (..., 2), above 0.

    Returns:
        (...), 0 (apart) to 1 (the same).

    >>> means = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    >>> normal_overlap(means, torch.tensor([[1.0, 1.0], [4.0, 4.0]]))
    tensor([0.3173, 1.0000])
    """
    narrow = variances.argmin(dim=-1, keepdim=True)
    v1, v2 = variances.gather(-1, narrow), variances.gather(-1, 1 - narrow)
    # Seen from the narrow normal (mean 0): (1 - ratio) t^2 - 2 apart t + apart^2 + v2 log ratio = 0
    apart = means.gather(-1, 1 - narrow) - means.gather(-1, narrow)
    apart = apart.abs()  # mirrored where negative
    excess = (v2 - v1) / v1
    log_ratio = torch.log1p(excess)
    root = ((1 + excess) * apart.square() + excess * v2 * log_ratio).sqrt()
    far = -(apart + root) / excess  # -inf for equal variances
    near = (apart.square() + v2 * log_ratio) / (apart + root)
    crossings = torch.cat([far, near], dim=-1)
    narrow_mass = torch.special.ndtr(crossings / v1.sqrt())
    wide_mass = torch.special.ndtr((crossings - apart) / v2.sqrt())
    inside = narrow_mass.diff(dim=-1) - wide_mass.diff(dim=-1)
    same = (apart == 0) & (excess == 0)
    return (1 - inside.masked_fill(same, 0.0)).squeeze(-1)


def contrastiveness(features: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Contrastiveness (QPM paper, eq. 13, as a mean over features).

    One minus the overlap of the two normals, each of unit mass, that are fitted to a feature's
    values by :func:`fit_two_normals`. A feature with many exact zeros scores near 1 whatever its
    other values, and one-humped features depend on start and stopping rule (golden items 14, 15).

    Args:
        features: (N, d), of the training samples.
        reduction: ``"mean"``, or ``"none"`` for one value per feature.

    Returns:
        A fraction, 0 (the two are the same; so for a constant feature) to 1 (on or off); or (d,).
        float64.

    Raises:
        NotApplicable: fewer than two samples, or no features.
        ValueError: features with NaN or infinite values.

    >>> on_or_off = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> contrastiveness(on_or_off)
    tensor(1., dtype=torch.float64)
    """
    fit = fit_two_normals(features)
    return reduce(1 - normal_overlap(fit.means, fit.variances), reduction, "there are no features")


def contrastiveness_of(tables: Tables) -> float:
    """:func:`contrastiveness` of a classifier's tables."""
    return float(contrastiveness(tables.features))
