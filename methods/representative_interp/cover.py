"""Algorithm 1 of Lam et al. on packed bits: which boundaries make the polytope of an image.

Bit r of a row of words says something of reference image r, 64 images a word. With Q boundaries
and R reference images an iteration of the greedy algorithm is three passes over Q R / 64 words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BITS = 64


def pack(flags: np.ndarray) -> np.ndarray:
    """Booleans (..., R) to words (..., ceil(R / 64)) uint64; bits beyond R are 0.

    >>> pack(np.array([[True, False, True]])).tolist(), pack(np.ones(65, dtype=bool)).shape
    ([[5]], (2,))
    """
    flags = np.asarray(flags, dtype=bool)
    spare = -flags.shape[-1] % BITS
    padded = np.concatenate([flags, np.zeros((*flags.shape[:-1], spare), dtype=bool)], axis=-1)
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8")


def unpack(words: np.ndarray, n: int) -> np.ndarray:
    """The first n booleans (..., n) of packed words.

    >>> unpack(pack(np.array([True, False, True])), 3).tolist()
    [True, False, True]
    """
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :n].astype(bool)


def count(words: np.ndarray) -> np.ndarray:
    """Bits that are set, summed over the last axis.

    >>> int(count(pack(np.array([True, False, True]))))
    2
    """
    return _ones(words).sum(axis=-1, dtype=np.int64)


def _ones_by_table(words: np.ndarray) -> np.ndarray:
    return _TABLE[np.ascontiguousarray(words).view(np.uint16)]


# numpy 2 counts bits itself; before, a table of all 16-bit words does.
_TABLE = np.unpackbits(np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2), axis=1).sum(
    axis=1, dtype=np.uint8
)
_ones: Callable[[np.ndarray], np.ndarray] = getattr(np, "bitwise_count", _ones_by_table)


@dataclass(frozen=True)
class Cover:
    """A polytope P(x): the boundaries chosen, in order, and the reference images inside.

    ``words`` are the packed images covered; ``tau`` the images of another prediction that no
    choice of boundaries could keep out; ``inside`` and ``impure`` count the images covered and
    those among them of another prediction.
    """

    members: tuple[int, ...]
    words: np.ndarray
    tau: int
    inside: int
    impure: int


def same_side(sides: np.ndarray, of: np.ndarray, everyone: np.ndarray) -> np.ndarray:
    """Which reference images lie on the image's side of each boundary.

    Args:
        sides: (Q, words) packed, bit r set where reference image r is on the positive side.
        of: (Q,) bool, whether the image itself is.
        everyone: (words,) packed, set for all reference images.

    Returns:
        (Q, words) packed.
    """
    flipped = np.where(of, np.uint64(0), ~np.uint64(0))
    return (sides ^ flipped[:, None]) & everyone


def tau(same: np.ndarray, other: np.ndarray) -> int:
    """tau(x): images of another prediction on the image's side of every boundary.

    Args:
        same: (Q, words) of :func:`same_side`.
        other: (words,) packed, D(x): the images predicted otherwise than x.
    """
    return int(count(np.bitwise_and.reduce(same, axis=0, initial=~np.uint64(0)) & other))


def greedy(
    same: np.ndarray, everyone: np.ndarray, other: np.ndarray, delta: int | None = None
) -> Cover:
    """Algorithm 1: boundaries are added until at most delta images of D(x) are covered.

    Each step takes the boundary that excludes fewest images for each image of D(x) that it
    excludes (equation 4). Among boundaries of equal ratio, as among those that exclude images of
    D(x) alone (the paper's tie rule), the one that excludes most of D(x) is taken, and of those
    the first.

    Args:
        same: (Q, words) packed: images on x's side of each boundary.
        everyone: (words,) packed: R.
        other: (words,) packed: D(x), a part of R.
        delta: images of D(x) that may stay; less than tau(x) is not feasible and means tau(x),
            as None does.

    Returns:
        the :class:`Cover`.

    >>> same = pack(np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool))
    >>> greedy(same, pack(np.ones(4, dtype=bool)), pack(np.array([0, 0, 1, 1], dtype=bool))).members
    (1,)
    """
    least = tau(same, other)
    delta = least if delta is None else max(delta, least)
    covered = everyone.copy()
    impure = int(count(other))
    members: list[int] = []
    # What each boundary would exclude of D(x) and of the rest; words without such images are left
    # out, which spares most work where images of one prediction lie side by side.
    lost_other = _without_empty(other & ~same, other)
    lost_own = _without_empty(everyone & ~other & ~same, everyone & ~other)
    while impure > delta:
        gain = count(lost_other)
        cost = gain + count(lost_own)
        ratio = np.divide(cost, gain, where=gain > 0, out=np.full(len(gain), np.inf))
        best = int(np.where(ratio == ratio.min(), gain, -1).argmax())
        members.append(best)
        covered &= same[best]
        impure -= int(gain[best])
        lost_other &= ~lost_other[best]
        lost_own &= ~lost_own[best]
    return Cover(tuple(members), covered, least, int(count(covered)), impure)


def _without_empty(words: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The columns of words (Q, W) in which the mask (W,) has a bit."""
    return np.ascontiguousarray(words[:, mask != 0])
