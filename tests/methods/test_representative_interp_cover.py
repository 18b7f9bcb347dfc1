"""Algorithm 1 on packed bits against a plain transcription and against all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from methods.representative_interp import cover


def transcription(same: np.ndarray, other: np.ndarray, delta: int | None = None) -> list[int]:
    """Algorithm 1 line by line: ``same`` (Q, R) and ``other`` (R,) bool."""
    chosen: list[int] = []
    covered = np.ones(same.shape[1], dtype=bool)
    least = (same.all(axis=0) & other).sum()
    delta = least if delta is None else max(delta, least)
    while (covered & other).sum() > delta:
        best, best_key = None, None
        for h in range(len(same)):
            if h in chosen:
                continue
            after = covered & same[h]
            numerator = covered.sum() - after.sum()
            denominator = (covered & other).sum() - (after & other).sum()
            if denominator == 0:
                continue
            key = (numerator / denominator, -denominator)
            if best_key is None or key < best_key:
                best, best_key = h, key
        assert best is not None
        chosen.append(best)
        covered &= same[best]
    return chosen


def packed(same: np.ndarray, other: np.ndarray, delta: int | None = None) -> cover.Cover:
    everyone = cover.pack(np.ones(same.shape[1], dtype=bool))
    return cover.greedy(cover.pack(same), everyone, cover.pack(other), delta)


@st.composite
def problems(draw: st.DrawFn, most_boundaries: int = 12) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 150))
    q = draw(st.integers(1, most_boundaries))
    return draw(arrays(bool, (q, n))), draw(arrays(bool, n))


@given(problems(), st.none() | st.integers(0, 40))
@settings(deadline=None, max_examples=150)
def test_greedy_is_the_transcription(problem, delta):
    same, other = problem
    found = packed(same, other, delta)
    assert list(found.members) == transcription(same, other, delta)
    covered = same[list(found.members)].all(axis=0)
    assert np.array_equal(cover.unpack(found.words, len(other)), covered)
    assert found.inside == covered.sum()
    assert found.impure == (covered & other).sum()


@pytest.mark.parametrize("classes", [2, 4, 30])
def test_greedy_is_the_transcription_on_polytopes(classes):
    """Sides of real hyperplanes, and enough images for several words of each class."""
    rng = np.random.default_rng(classes)
    points, directions = rng.normal(size=(1500, 6)), rng.normal(size=(classes, 6))
    scores = points @ directions.T
    predicted = scores.argmax(1)
    one, two = np.argsort(-scores[:40], axis=1)[:, :2].T
    positive = points @ (directions[one] - directions[two]).T > 0
    for x in range(15):
        same, other = (positive == positive[x]).T, predicted != predicted[x]
        assert list(packed(same, other).members) == transcription(same, other)


@given(problems(most_boundaries=6))
@settings(deadline=None, max_examples=60)
def test_tau_and_greedy_against_all_subsets(problem):
    """tau is the least that any choice reaches; greedy is feasible, and no choice covers more
    images than the best one."""
    same, other = problem
    n = len(other)
    outcomes = []
    for size in range(len(same) + 1):
        for members in combinations(range(len(same)), size):
            covered = same[list(members)].all(axis=0) if members else np.ones(n, dtype=bool)
            outcomes.append((int((covered & other).sum()), int(covered.sum())))
    least = min(impure for impure, _ in outcomes)
    found = packed(same, other)
    assert found.tau == cover.tau(cover.pack(same), cover.pack(other)) == least
    assert found.impure == least
    assert found.inside <= max(inside for impure, inside in outcomes if impure <= least)


@given(problems(), st.data())
@settings(deadline=None, max_examples=100)
def test_excluded_images_are_monotone_and_submodular(problem, data):
    """Theorem 1: cost and cover are both monotone submodular functions of the boundaries."""
    same, other = problem
    chosen = data.draw(st.sets(st.integers(0, len(same) - 1)))
    fewer = data.draw(st.sets(st.sampled_from(sorted(chosen)))) if chosen else set()
    new = data.draw(st.integers(0, len(same) - 1))
    words, everyone = cover.pack(same), cover.pack(np.ones(len(other), dtype=bool))

    def excluded(members: set[int], among: np.ndarray) -> int:
        inside = np.bitwise_and.reduce(words[sorted(members)], axis=0, initial=~np.uint64(0))
        return int(cover.count(among) - cover.count(inside & among))

    for among in (everyone, cover.pack(other)):
        assert excluded(fewer, among) <= excluded(chosen, among)
        gain_early = excluded(fewer | {new}, among) - excluded(fewer, among)
        gain_late = excluded(chosen | {new}, among) - excluded(chosen, among)
        assert gain_early >= gain_late


def test_known_polytope_in_the_plane():
    """A square around the image is the best polytope; a diagonal that cuts it is not taken."""
    xs, ys = np.meshgrid(np.arange(-3, 4), np.arange(-3, 4))
    points = np.stack([xs.ravel(), ys.ravel()], axis=1)
    inside = (np.abs(points) <= 1).all(axis=1)  # nine images predicted as x is
    normals = np.array([[1, 1], [1, 0], [-1, 0], [0, 1], [0, -1]])
    offsets = np.array([0.5, 1.5, 1.5, 1.5, 1.5])
    same = (points @ normals.T <= offsets).T
    found = packed(same, ~inside)
    assert sorted(found.members) == [1, 2, 3, 4]
    assert (found.inside, found.impure, found.tau) == (9, 0, 0)


def test_tie_rule():
    """Boundaries that exclude images of D(x) alone come first, the one with most of them first."""
    other = np.array([0, 0, 1, 1, 1, 1], dtype=bool)
    same = np.array(
        [
            [1, 1, 0, 1, 1, 1],  # nothing lost, one image of D(x) excluded
            [0, 1, 0, 0, 0, 0],  # all of D(x) excluded at the price of an image
            [1, 1, 1, 0, 0, 0],  # nothing lost, three excluded
        ],
        dtype=bool,
    )
    assert packed(same, other).members == (2, 0)


def test_delta_below_tau_means_tau_and_a_larger_one_stops_early():
    same = np.array([[1, 0, 1, 1], [1, 1, 0, 1]], dtype=bool)
    other = np.array([0, 1, 1, 1], dtype=bool)
    assert packed(same, other, 0).impure == packed(same, other).impure == 1
    assert packed(same, other, 0).members == packed(same, other).members == (0, 1)
    assert packed(same, other, 2).impure == 2
    assert packed(same, other, 3).members == ()


@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(0, 200))))
@settings(deadline=None, max_examples=50)
def test_packing(flags):
    words = cover.pack(flags)
    assert words.dtype == np.uint64
    assert np.array_equal(cover.unpack(words, flags.shape[1]), flags)
    assert np.array_equal(cover.count(words), flags.sum(1))
    assert np.array_equal(cover._ones_by_table(words).sum(1, dtype=int), flags.sum(1))


@given(problems(), st.data())
@settings(deadline=None, max_examples=30)
def test_same_side(problem, data):
    positive, _ = problem
    of = data.draw(arrays(bool, len(positive)))
    n = positive.shape[1]
    words = cover.same_side(cover.pack(positive), of, cover.pack(np.ones(n, dtype=bool)))
    assert np.array_equal(cover.unpack(words, n), positive == of[:, None])
    assert int(cover.count(words).sum()) == (positive == of[:, None]).sum()  # no bit beyond R
