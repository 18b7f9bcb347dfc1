"""Boundaries, polytopes and heat maps against closed forms and plain loops, on hand-made nets.

The networks take images as their own feature maps (the trunk is the identity), so that Omega is
known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import explain
from benchmark.backbones import BackboneSpec, build_parts
from benchmark.classifier import LayeredHead
from benchmark.evaluate import keep_top
from methods.explainers.omega import cluster
from methods.explainers.references import References, of_images
from methods.representative_interp.boundaries import distinct, linear_boundaries
from methods.representative_interp.method import (
    RepresentativeInterpretations,
    interpret,
    reference_margins,
    sample_boundaries,
    semantic_distance,
)

CLASSES, CHANNELS, SIDE = 5, 3, 4


class PooledLinear(nn.Module):
    """G(t) = weight @ mean of t over places + bias."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.linear(maps.mean((2, 3)), self.weight, self.bias)


def pooled_network(seed: int = 0) -> tuple[explain.Cut, PooledLinear]:
    generator = torch.Generator().manual_seed(seed)
    top = PooledLinear(
        torch.randn(CLASSES, CHANNELS, generator=generator),
        0.1 * torch.randn(CLASSES, generator=generator),
    )
    return explain.Cut(nn.Identity(), top), top


def hidden_network(seed: int = 0) -> explain.Cut:
    """Two hidden layers over all places, as VGG's fully connected head."""
    torch.manual_seed(seed)
    top = nn.Sequential(
        nn.Flatten(),
        nn.Linear(CHANNELS * SIDE * SIDE, 24),
        nn.ReLU(),
        nn.Linear(24, 16),
        nn.ReLU(),
        nn.Linear(16, CLASSES),
    )
    return explain.Cut(nn.Identity(), top.eval())


def pictures(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def logits_of(network: explain.Network, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.head(network.maps(images))[1]


def explainer(
    network: explain.Network, found: References, *, n_inputs: int = 6, n_sampled: int = 40
) -> RepresentativeInterpretations:
    clusters = cluster(np.asarray(found.points), n_inputs, seed=0)
    sample = np.random.default_rng(0).choice(len(found), n_sampled, replace=False)
    boundaries = sample_boundaries(network, found, sample)
    margins = reference_margins(network, found, boundaries)
    return interpret(network, found, clusters, boundaries, margins)


# --------------------------------------------------------------------------------- equation 2


def test_boundaries_of_a_pooled_linear_head_are_differences_of_class_weights():
    network, top = pooled_network()
    found = linear_boundaries(network, [pictures(60)])
    assert found.pooled
    assert found.places == SIDE * SIDE
    low, high = found.classes.T
    assert bool((low < high).all())
    expected = (top.weight[low] - top.weight[high]) / found.places
    torch.testing.assert_close(found.normals[:, :, 0, 0], expected)
    torch.testing.assert_close(found.offsets, top.bias[low] - top.bias[high], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.channel_weights(), expected)


def test_equal_boundaries_are_kept_once():
    network, _ = pooled_network()
    images = pictures(400)
    best = logits_of(network, images).topk(2).indices.sort(1).values
    found = distinct(linear_boundaries(network, images.split(100)))
    assert len(found) == len(best.unique(dim=0)) <= CLASSES * (CLASSES - 1) // 2


def test_different_regions_of_a_hidden_layer_give_different_boundaries():
    network = hidden_network()
    images = pictures(30)
    every = linear_boundaries(network, [images, images])  # each image twice
    assert len(every) == 60
    assert not every.pooled
    found = distinct(every)
    assert len(found) == len(distinct(linear_boundaries(network, [images]))) == 30


@pytest.mark.parametrize("network", [pooled_network()[0], hidden_network()])
def test_margin_at_the_image_is_the_difference_of_the_best_two_scores(network):
    images = pictures(50)
    found = linear_boundaries(network, [images])
    best = logits_of(network, images).topk(2)
    sign = torch.where(best.indices[:, 0] < best.indices[:, 1], 1.0, -1.0)
    margins = found.margins(images).diagonal()
    torch.testing.assert_close(
        margins, sign * (best.values[:, 0] - best.values[:, 1]), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(("network", "least"), [(pooled_network()[0], 50), (hidden_network(), 10)])
def test_crossing_a_boundary_flips_the_order_of_its_classes(network, least):
    """From each image straight over its hyperplane the order of the two classes flips there.

    A head with hidden layers is linear within a region only: there those images count whose way
    stays in their region, which the slopes of all scores tell.
    """
    images = pictures(50)
    found = linear_boundaries(network, [images])
    margins = found.margins(images).diagonal()
    crossed = 0
    for n, image in enumerate(images):
        normal = found.normals[n].expand(-1, SIDE, SIDE)
        way = -margins[n] / normal.square().sum() * normal
        before, after = image + 0.99 * way, image + 1.01 * way
        if not torch.allclose(slopes(network, image), slopes(network, after), atol=1e-6):
            continue
        low, high = found.classes[n]
        one, two = logits_of(network, torch.stack([before, after]))
        assert torch.sign(one[low] - one[high]) == torch.sign(margins[n])
        assert torch.sign(two[low] - two[high]) == -torch.sign(margins[n])
        crossed += 1
    assert crossed >= least


def test_the_decision_boundary_of_vggs_head_is_where_equation_2_has_it():
    """Between images of two predictions the decision changes at a point that bisection finds; the
    hyperplane of the region next to it goes through that point, and stepping over it flips the
    order. Max pool, rectifiers and two hidden layers: more boundaries than pairs of classes."""
    torch.manual_seed(0)
    backbone, hidden = build_parts(BackboneSpec("thin_vgg"))
    head = LayeredHead.untrained(backbone.n_features, hidden, 4).double().eval()
    maps = torch.randn(80, 128, 8, 8, dtype=torch.float64).relu()
    with torch.no_grad():
        head.last.bias -= head.classify(maps)[1].mean(0)  # so that all classes are predicted
    network = explain.Cut(nn.Identity(), lambda maps: head.classify(maps)[1])
    predicted = logits_of(network, maps).argmax(1)
    found = distinct(linear_boundaries(network, [maps]))
    assert not found.pooled
    assert len(found) > 4 * 3 // 2

    pairs = [(i, i + 1) for i in range(79) if predicted[i] != predicted[i + 1]]
    assert len(pairs) >= 20
    for one, two in pairs:
        near, far = maps[one], maps[two]
        for _ in range(40):
            middle = (near + far) / 2
            here = logits_of(network, middle[None]).argmax() == predicted[one]
            near, far = (middle, far) if here else (near, middle)
        other = logits_of(network, far[None]).argmax()
        boundary = linear_boundaries(network, [near[None]])
        assert set(boundary.classes[0].tolist()) == {int(predicted[one]), int(other)}
        normal = boundary.normals[0].double()
        way = normal / normal.norm()
        apart = boundary.margins(near[None])[0, 0] / normal.norm()
        assert abs(float(apart)) < 1e-5 * float((maps[one] - maps[two]).norm())
        low, high = boundary.classes[0]
        for side in (1.0, -1.0):
            scores = logits_of(network, (near + side * 1e-6 * way)[None])[0]
            assert torch.sign(scores[low] - scores[high]) == side


def slopes(network: explain.Cut, image: torch.Tensor) -> torch.Tensor:
    """Gradients of all scores at an image's map (C, 1, d, h, w)."""
    return torch.autograd.functional.jacobian(lambda maps: network.head(maps)[1][0], image[None])


def test_margins_from_pooled_maps_are_those_from_maps():
    network, _ = pooled_network()
    images = pictures(20)
    found = linear_boundaries(network, [images])
    torch.testing.assert_close(found.margins(images), found.margins_of_pooled(images.mean((2, 3))))
    plain = torch.stack(
        [
            (w * images).sum((1, 2, 3)) + b
            for w, b in zip(found.normals, found.offsets, strict=True)
        ],
        1,
    )
    torch.testing.assert_close(found.margins(images), plain, atol=1e-4, rtol=1e-4)


def test_a_head_that_depends_on_nothing_has_no_boundaries():
    network = explain.Cut(
        nn.Identity(), lambda maps: 0 * maps.sum((1, 2, 3))[:, None] + torch.arange(3.0)
    )
    assert len(linear_boundaries(network, [pictures(4)])) == 0


# ------------------------------------------------------------------- a polytope that is known


def test_polytopes_of_a_plane_with_known_boundaries(tmp_path):
    """Three sectors of the plane, split by known lines: each polytope is its class's own sector,
    bounded by its two lines alone."""
    directions = torch.tensor([[0.0, 2.0], [-(3**0.5), -1.0], [3**0.5, -1.0]])
    network = explain.Cut(lambda images: images[:, :2], PooledLinear(directions, torch.zeros(3)))
    angle = torch.arange(120) * torch.pi / 60 + 0.01
    plane = torch.stack([angle.cos(), angle.sin(), torch.zeros(120)], 1)[:, :, None, None]
    found = of_images(network, plane, tmp_path)
    predicted = (plane[:, :2, 0, 0] @ directions.T).argmax(1)
    result = explainer(network, found, n_inputs=3, n_sampled=120)
    assert len(result.boundaries) == 3
    for v in range(3):
        own = result.input_classes[v]
        members = result.boundaries.classes[result.signs[v] != 0]
        assert sorted(members.tolist()) == sorted([sorted([own, c]) for c in range(3) if c != own])
        inside = result.covers(result.margins)[:, v]
        assert torch.equal(inside, predicted == own)
    report = result.report()
    assert report["purity"] == 1
    assert report["representativeness"] == 40
    assert report["polytope_size"] == 2
    assert bool(result.covered(plane).all())


# ---------------------------------------------------------------------------------- heat maps


def by_hand(
    image: torch.Tensor, normals: torch.Tensor, offsets: torch.Tensor, of: torch.Tensor
) -> torch.Tensor:
    """Section 5.1 with loops: boundaries (K, d, h, w) turned to the side of the map ``of``."""
    maps = []
    for normal, offset in zip(normals, offsets, strict=True):
        normal = normal.expand(-1, SIDE, SIDE)
        if (normal * of).sum() + offset < 0:
            normal = -normal
        alpha = normal.mean((1, 2))
        raw = torch.zeros(SIDE, SIDE)
        for k in range(CHANNELS):
            raw += alpha[k] * image[k]
        raw = raw.clamp(min=0)
        raw = raw - raw.min()
        maps.append(raw / raw.max() if raw.max() > 0 else raw)
    return torch.stack(maps).mean(0)


@pytest.mark.parametrize("network", [pooled_network()[0], hidden_network()])
def test_heat_maps_by_hand(network, tmp_path):
    images, unseen = pictures(150), pictures(12, seed=5)
    result = explainer(network, of_images(network, images, tmp_path))
    which = result.assign(unseen)
    for n, heat in enumerate(result.heatmap(unseen)):
        members = result.signs[which[n]] != 0
        source = images[int(result.inputs[which[n]])]
        expected = by_hand(
            unseen[n],
            result.boundaries.normals[members],
            result.boundaries.offsets[members],
            source,
        )
        torch.testing.assert_close(heat, expected, atol=1e-5, rtol=1e-4)
    mask = result.mask(unseen, keep=0.25)
    assert torch.equal(mask, keep_top(result.heatmap(unseen), 0.25))
    assert mask.flatten(1).sum(1).tolist() == [4] * 12


@pytest.mark.parametrize("network", [pooled_network()[0], hidden_network()])
def test_assignment_of_unseen_images(network, tmp_path):
    """The covering polytope of the nearest centre, or else the nearest centre."""
    images, unseen = pictures(200), pictures(60, seed=6)
    result = explainer(network, of_images(network, images, tmp_path), n_inputs=8)
    margins = result.boundaries.margins(unseen)
    distances = torch.cdist(unseen.flatten(1), result.centres)
    covering = []
    for n, v in enumerate(result.assign(unseen).tolist()):
        inside = [
            u
            for u in range(8)
            if all(
                (margins[n, q] > 0) == (result.signs[u, q] > 0)
                for q in range(len(result.boundaries))
                if result.signs[u, q] != 0
            )
        ]
        covering.append(bool(inside))
        assert v == min(inside or range(8), key=lambda u: float(distances[n, u]))
    assert result.covered(unseen).tolist() == covering
    assert sum(covering) > 0


def test_every_input_is_covered_by_its_own_polytope(tmp_path):
    network, _ = pooled_network()
    images = pictures(200)
    result = explainer(network, of_images(network, images, tmp_path))
    covers = result.covers(result.margins)
    assert bool(covers[torch.from_numpy(result.inputs), torch.arange(6)].all())
    report = result.report()
    agrees = torch.from_numpy(result.predicted[:, None] == result.input_classes)
    inside = [covers[:, v].sum().item() for v in range(6)]
    pure = [(covers & agrees)[:, v].sum().item() / inside[v] for v in range(6)]
    assert report["representativeness"] == pytest.approx(np.mean(inside))
    assert report["purity"] == pytest.approx(np.mean(pure))
    assert report["polytope_size"] == pytest.approx((result.signs != 0).sum() / 6)


def test_a_network_with_one_prediction_has_empty_polytopes_and_still_draws(tmp_path):
    network = explain.Cut(
        nn.Identity(),
        PooledLinear(torch.eye(3), torch.tensor([100.0, 0.0, 0.0])),
    )
    images = pictures(50)
    result = explainer(network, of_images(network, images, tmp_path), n_inputs=2, n_sampled=20)
    assert not bool(result.signs.any())
    assert result.report()["representativeness"] == 50
    unseen = pictures(3, seed=9)
    assert bool((result.heatmap(unseen).amax((1, 2)) == 1).all())
    explanation = result.explain(unseen[0])
    assert explanation.report == {"boundaries": 0, "covered": 50, "purity": 1, "tau": 0}
    assert bool((explanation.heatmap(unseen).amax((1, 2)) == 1).all())


# ------------------------------------------------------------------------ explaining an image


@pytest.mark.parametrize("network", [pooled_network()[0], hidden_network()])
def test_explanation_of_an_image(network, tmp_path):
    images, image = pictures(150), pictures(1, seed=8)[0]
    result = explainer(network, of_images(network, images, tmp_path))
    explanation = result.explain(image)
    assert explanation.predicted == int(logits_of(network, image[None]).argmax())
    assert explanation.report["covered"] == len(explanation.similar)
    # Equation 6 with whole maps, and in ascending order; P(x) is that of algorithm 1.
    positive = result.boundaries.margins(images) > 0
    side = result.boundaries.margins(image[None])[0] > 0
    other = logits_of(network, images).argmax(1) != explanation.predicted
    from_greedy = greedy_members(positive.numpy(), side.numpy(), other.numpy())
    normals = result.boundaries.normals[from_greedy].expand(-1, -1, SIDE, SIDE)
    covered = (positive[:, from_greedy] == side[from_greedy]).all(1).nonzero()[:, 0].tolist()
    assert sorted(explanation.similar.tolist()) == covered
    for index, distance in zip(explanation.similar, explanation.distances, strict=True):
        expected = sum(abs(float((w * (image - images[index])).sum())) for w in normals)
        assert distance == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert list(explanation.distances) == sorted(explanation.distances)
    expected = by_hand(images[3], normals, result.boundaries.offsets[from_greedy], of=image)
    torch.testing.assert_close(explanation.heatmap(images[3:4])[0], expected, atol=1e-5, rtol=1e-4)


def greedy_members(positive: np.ndarray, side: np.ndarray, other: np.ndarray) -> list[int]:
    """Algorithm 1, plainly."""
    same, chosen = (positive == side).T, []
    covered = np.ones(len(other), dtype=bool)
    while (covered & other).sum() > (same.all(0) & other).sum():
        ratios = [
            ((covered & ~same[h]).sum() / gain, -gain, h)
            for h in range(len(same))
            if (gain := (covered & other & ~same[h]).sum()) > 0
        ]
        chosen.append(min(ratios)[2])
        covered &= same[chosen[-1]]
    return chosen


def test_semantic_distance_ignores_offsets():
    margins = torch.tensor([[1.0, -2.0], [4.0, 0.5]])
    shifted = margins + torch.tensor([10.0, -3.0])
    one = semantic_distance(margins[0], margins)
    torch.testing.assert_close(one, semantic_distance(shifted[0], shifted))
    assert one.tolist() == [0.0, 5.5]


@pytest.mark.parametrize("network", [pooled_network()[0], hidden_network()])
def test_save_and_load(network, tmp_path: Path):
    images, unseen = pictures(120), pictures(10, seed=3)
    (tmp_path / "references").mkdir()
    result = explainer(network, of_images(network, images, tmp_path / "references"))
    explain.save(result, tmp_path / "saved")
    again = explain.load(tmp_path / "saved", network)
    assert isinstance(again, RepresentativeInterpretations)
    torch.testing.assert_close(again.heatmap(unseen), result.heatmap(unseen))
    assert torch.equal(again.covered(unseen), result.covered(unseen))
    assert again.report() == result.report()
    one, two = result.explain(unseen[0]), again.explain(unseen[0])
    assert one.report == two.report
    assert np.array_equal(one.similar, two.similar)


def test_a_network_like_vgg(tmp_path):
    """Fully connected layers with rectifiers and dropout after the last maps, as in the paper."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU())
    top = nn.Sequential(
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(24, 32), nn.ReLU(), nn.Dropout(),
        nn.Linear(32, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 4),
    )  # fmt: skip
    network = explain.Cut(trunk.eval(), top.eval())
    images = torch.randn(150, 3, 16, 16)
    result = explainer(network, of_images(network, images, tmp_path))
    assert not result.boundaries.pooled
    assert len(result.boundaries) > 6  # more than four classes have pairs
    # Exact at the images it was taken from: the margin is the difference of the two scores.
    found = linear_boundaries(network, [images[:40]])
    scores = logits_of(network, images[:40])
    low, high = found.classes.T
    expected = scores.gather(1, low[:, None]) - scores.gather(1, high[:, None])
    margins = found.margins(network.maps(images[:40])).diagonal()
    torch.testing.assert_close(margins, expected[:, 0], atol=1e-5, rtol=1e-4)
    assert result.heatmap(images[:5]).shape == (5, 16, 16)
    assert result.report()["purity"] > 0.9
