"""ACE's parts against scikit-learn and plain loops; the whole on images with a known concept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import nn

from benchmark import explain
from methods.ace.card import ACEParameters
from methods.ace.concepts import Concepts, activation_vectors, discover, order_segments, tcav
from methods.ace.method import ACE, Sight, concept_sets, keep_segments, paint
from methods.ace.segments import patches, segments, without_duplicates
from methods.explainers.omega import cluster
from methods.explainers.references import of_images

slic = pytest.importorskip("skimage.segmentation")


def test_activation_vectors_are_ridge_regression():
    rng = np.random.default_rng(0)
    concept, counterparts = rng.normal(1, 1, (9, 6)), rng.normal(size=(4, 7, 6))
    found = activation_vectors(concept, counterparts, ridge=0.3)
    for vector, other in zip(found, counterparts, strict=True):
        rows = np.concatenate([concept, other])
        size = ((rows - rows.mean(0)) ** 2).sum(1).mean()
        target = np.repeat([1.0, -1.0], [9, 7])
        expected = Ridge(alpha=0.3 * size).fit(rows, target).coef_
        np.testing.assert_allclose(vector, expected, rtol=1e-8, atol=1e-10)


def test_activation_vectors_point_to_the_concept():
    rng = np.random.default_rng(1)
    concept, counterparts = rng.normal(size=(20, 40)), rng.normal(size=(3, 20, 40))
    concept[:, 5] += 6
    assert (activation_vectors(concept, counterparts).argmax(1) == 5).all()


def test_tcav_by_hand():
    rng = np.random.default_rng(2)
    vectors, slopes = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    signs = [s @ v / np.linalg.norm(v) for s in slopes for v in vectors]
    score, mean = tcav(vectors, slopes)
    assert score == pytest.approx(np.mean(np.array(signs) > 0))
    assert mean == pytest.approx(np.mean(signs))


def test_concepts_keep_the_segments_nearest_to_their_centre():
    rng = np.random.default_rng(3)
    features = np.concatenate([rng.normal(0, 1, (30, 3)), rng.normal(20, 1, (12, 3))])
    image = np.concatenate([np.arange(30) % 6, np.full(12, 7)])
    groups = discover(features, image, concepts=2, most=5, images=1, seed=0)
    assert sorted(len(rows) for rows in groups) == [5, 5]
    for rows in groups:
        cluster_rows = np.arange(30) if rows[0] < 30 else np.arange(30, 42)
        centre = features[cluster_rows].mean(0)
        distances = np.linalg.norm(features[cluster_rows] - centre, axis=1)
        assert rows.tolist() == cluster_rows[np.argsort(distances)[:5]].tolist()
    # The second cluster comes from one image alone and goes, unless nothing else would be left.
    (only,) = discover(features, image, concepts=2, most=5, images=2, seed=0)
    assert only.max() < 30
    assert len(discover(features, image, concepts=2, most=5, images=99, seed=0)) == 2


def test_order_of_segments():
    concepts = Concepts(np.array([[0.0], [10.0]]), np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    features = np.array([[11.0], [0.5], [5.0], [0.1], [-0.9], [14.0]])
    assert order_segments(features, concepts).tolist() == [3, 1, 4, 0, 5, 2]


@given(st.integers(0, 10**6), st.floats(0.05, 0.9))
@settings(deadline=None, max_examples=50)
def test_masks_keep_whole_segments_until_more_than_the_share(seed, keep):
    rng = np.random.default_rng(seed)
    masks = rng.random((rng.integers(1, 9), 6, 7)) < 0.3
    mask = keep_segments(torch.from_numpy(paint(masks))[None], keep)[0].numpy()
    expected = np.zeros((6, 7), dtype=bool)
    for one in masks:  # "iteratively select the most important segments until more than ..."
        if expected.mean() > keep:
            break
        expected |= one
    assert np.array_equal(mask, expected)


def test_duplicates_by_hand():
    rng = np.random.default_rng(4)
    masks = rng.random((25, 8, 8)) < rng.random((25, 1, 1))
    masks[:, 0, 0] = True
    kept: list[np.ndarray] = []
    for mask in masks:
        if all((mask & one).sum() / (mask | one).sum() <= 0.5 for one in kept):
            kept.append(mask)
    assert np.array_equal(without_duplicates(masks), np.stack(kept))
    assert len(kept) < 25


def test_segments_of_one_size_partition_the_picture():
    picture = np.random.default_rng(5).random((24, 24, 3))
    masks = segments(picture, (9,))
    assert (masks.sum(0) == 1).all()
    more = segments(picture, (9, 9))  # the second time all are duplicates
    assert np.array_equal(more, masks)


def test_patches_are_the_boxes_enlarged():
    image = torch.randn(3, 12, 10)
    masks = torch.zeros(2, 12, 10, dtype=torch.bool)
    masks[0, 2:8, 3:8] = True
    masks[1] = True
    found = patches(image, masks)
    box = nn.functional.interpolate(image[None, :, 2:8, 3:8], (12, 10), mode="bilinear")[0]
    # Inside, where no neighbour beyond the box has a share, the two agree.
    torch.testing.assert_close(found[0, :, 1:-1, 1:-1], box[:, 1:-1, 1:-1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1], image, atol=1e-5, rtol=1e-4)
    masks[0, 4, 5] = False  # what is not of the segment is of the mean colour, 0
    assert float(patches(torch.ones(3, 12, 10), masks)[0].min()) < 0.9


# -------------------------------------------------------------------- a concept that is known


def scenes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey noise with a red or a green square; (N, 3, 32, 32), and where the square is."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.05, (n, 3, 32, 32))
    where = np.zeros((n, 32, 32), dtype=bool)
    for i in range(n):
        y, x = rng.integers(2, 18, 2)
        images[i, i % 2, y : y + 12, x : x + 12] += rng.uniform(2, 4)
        where[i, y : y + 12, x : x + 12] = True
    return torch.from_numpy(images).float(), torch.from_numpy(where)


@pytest.fixture(scope="module")
def network() -> explain.Cut:
    """Mean redness and greenness, which are all of Omega; the class is the larger one."""
    trunk = nn.Conv2d(3, 2, 1)
    trunk.weight.data = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])[:, :, None, None]
    trunk.bias.data.zero_()
    return explain.Cut(
        lambda images: trunk(images).relu().mean((2, 3), keepdim=True),
        lambda maps: maps[:, :, 0, 0],
    )


@pytest.fixture(scope="module")
def ace(network, tmp_path_factory) -> ACE:
    images, _ = scenes(24, seed=0)
    found = of_images(network, images, tmp_path_factory.mktemp("references"))
    sight = Sight(network, (4, 12), np.full(3, 0.3), np.full(3, 0.2))
    parameters = ACEParameters(
        images_per_set=12, concepts=2, segments_per_concept=200, counterparts=5
    )
    clusters = cluster(np.asarray(found.points), 2, seed=0)
    return concept_sets(sight, found, clusters, parameters, np.random.default_rng(0))


def test_the_known_concept_is_found(ace, network):
    images, where = scenes(10, seed=1)
    assert all(some.scores[0] == 1 for some in ace.concepts)
    assert all((np.diff(some.scores) <= 0).all() for some in ace.concepts)
    heat = ace.heatmap(images)
    hottest = heat == heat.amax((1, 2), keepdim=True)
    share = (hottest & where).sum((1, 2)) / hottest.sum((1, 2))
    assert float(share.mean()) > 0.8
    mask = ace.mask(images)
    assert bool((mask.flatten(1).float().mean(1) > 0.2).all())


def test_a_fit_that_was_killed_goes_on(network, tmp_path, monkeypatch):
    images, _ = scenes(24, seed=0)
    found = of_images(network, images, tmp_path)
    sight = Sight(network, (4, 12), np.full(3, 0.3), np.full(3, 0.2))
    clusters = cluster(np.asarray(found.points), 3, seed=0)
    parameters = ACEParameters(images_per_set=4, concepts=2, counterparts=3)

    def fit(folder: Path | None) -> ACE:
        generator = np.random.default_rng(0)
        return concept_sets(sight, found, clusters, parameters, generator, folder=folder)

    fit(tmp_path / "work")
    (tmp_path / "work" / "set 2.npz").unlink()  # as if killed before the last set
    seen = []
    real = Sight.__call__

    def watched(self: Sight, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        seen.append(image)
        return real(self, image)

    monkeypatch.setattr(Sight, "__call__", watched)
    again = fit(tmp_path / "work")
    assert len(seen) == min(4, int((clusters.owner == 2).sum()))
    whole = fit(None)
    for one, two in zip(again.concepts, whole.concepts, strict=True):
        np.testing.assert_array_equal(one.centres, two.centres)
        np.testing.assert_array_equal(one.scores, two.scores)


def test_save_and_load(ace, network, tmp_path: Path):
    explain.save(ace, tmp_path)
    again = explain.load(tmp_path, network)
    images, _ = scenes(3, seed=2)
    assert torch.equal(again.heatmap(images), ace.heatmap(images))
    one, two = ace.explain(images[0]), again.explain(images[0])
    assert one.report == two.report
    assert np.array_equal(one.similar, two.similar)
    assert torch.equal(one.mask(images), keep_segments(one.heatmap(images), 0.2))
