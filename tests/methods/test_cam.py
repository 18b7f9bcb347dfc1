"""The CAM family against the package grad-cam and plain loops; Omega; reuse on unseen images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark import explain
from benchmark.evaluate import keep_top
from methods.explainers.cam import Cam
from methods.explainers.heat import channel_heat
from methods.explainers.omega import cluster, omega
from methods.explainers.references import load_omega, of_images, sample_per_class, save_omega
from methods.grad_cam.method import GradCAM
from methods.grad_cam_pp.method import GradCAMPlusPlus
from methods.score_cam.method import ScoreCAM

KINDS = [GradCAM, GradCAMPlusPlus, ScoreCAM]


class Small(nn.Module):
    """A trunk of two convolutions and a head with a hidden layer."""

    def __init__(self, stride: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, stride, 1), nn.ReLU()
        )
        side = -(-8 // stride)
        self.top = nn.Sequential(
            nn.Flatten(), nn.Linear(5 * side * side, 12), nn.ReLU(), nn.Linear(12, 4)
        )
        # Steep scores: the package adds 1e-6 to Grad-CAM++'s denominator, which must not count.
        self.top[-1].weight.data *= 300
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.top(self.trunk(images))

    def network(self) -> explain.Cut:
        return explain.Cut(self.trunk, self.top)


def pictures(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def fitted(kind: type[Cam], network: explain.Network, folder: Path, n_inputs: int = 5) -> Cam:
    found = of_images(network, pictures(60), folder)
    return kind.fit(network, found, cluster(np.asarray(found.points), n_inputs, seed=0))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_own_heat_maps_are_those_of_the_package(kind, stride, tmp_path):
    package = pytest.importorskip("pytorch_grad_cam")
    if kind is ScoreCAM and stride != 1:
        pytest.skip("the package enlarges masks with another rule at the borders (align_corners)")
    theirs = {"GradCAM": "GradCAM", "GradCAMPlusPlus": "GradCAMPlusPlus", "ScoreCAM": "ScoreCAM"}
    model = Small(stride)
    explainer = fitted(kind, model.network(), tmp_path)
    images = pictures(6, seed=2)
    with getattr(package, theirs[kind.__name__])(model=model, target_layers=[model.trunk]) as cam:
        expected = np.stack([cam(input_tensor=image[None], targets=None)[0] for image in images])
    for image, heat in zip(images, expected, strict=True):
        own = explainer.explain(image).heatmap(image[None])[0]
        np.testing.assert_allclose(own.numpy(), heat, atol=2e-4)


def test_grad_cam_of_a_pooled_linear_head_is_the_row_of_its_class():
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]])
    network = explain.Cut(nn.Identity(), lambda maps: maps.mean((2, 3)) @ weight.T)
    images = pictures(10)
    predicted = network.head(images)[1].argmax(1)
    torch.testing.assert_close(GradCAM.rule(network, images), weight[predicted] / 64)


def test_grad_cam_plus_plus_by_hand():
    network = Small(1).network()
    images = pictures(3)
    maps = network.maps(images)
    weights = GradCAMPlusPlus.rule(network, images)
    for n in range(3):
        single = maps[n : n + 1].clone().requires_grad_()
        network.head(single)[1].max().backward()
        slope = single.grad[0]
        for k in range(5):
            total = 0.0
            for place in range(64):
                g = float(slope[k].flatten()[place])
                bottom = 2 * g**2 + float(maps[n, k].sum()) * g**3
                total += (g**2 / bottom if bottom else 0.0) * max(g, 0.0)
            assert float(weights[n, k]) == pytest.approx(total, rel=1e-4, abs=1e-6)


def test_score_cam_by_hand(monkeypatch):
    monkeypatch.setattr("methods.score_cam.method.BATCH", 2)  # five channels, three batches
    model = Small(2)
    images = pictures(2)
    weights = ScoreCAM.rule(model.network(), images)
    with torch.no_grad():
        for n, image in enumerate(images):
            predicted = int(model(image[None]).argmax())
            scores = []
            for channel in model.trunk(image[None])[0]:
                large = nn.functional.interpolate(channel[None, None], (8, 8), mode="bilinear")[
                    0, 0
                ]
                span = large.max() - large.min()
                mask = (large - large.min()) / (span if span > 0 else 1)
                scores.append(model((image * mask)[None])[0, predicted])
            expected = torch.stack(scores).softmax(0)
            torch.testing.assert_close(weights[n], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_unseen_images_reuse_the_weights_of_the_nearest_centre(kind, tmp_path):
    model = Small(2)
    network = model.network()
    explainer = fitted(kind, network, tmp_path)
    unseen = pictures(15, seed=4)
    maps = network.maps(unseen)
    inputs = pictures(60)[torch.from_numpy(explainer.inputs)]
    nearest = torch.cdist(maps.flatten(1), explainer.centres).argmin(1)
    weights = kind.rule(network, inputs)[nearest]
    raw = (weights[:, :, None, None] * maps).sum(1).relu()
    raw = nn.functional.interpolate(raw[:, None], (8, 8), mode="bilinear")[:, 0]
    raw = raw - raw.amin((1, 2), keepdim=True)
    expected = raw / raw.amax((1, 2), keepdim=True).clamp_min(1e-20)
    torch.testing.assert_close(explainer.heatmap(unseen), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(explainer.mask(unseen), keep_top(explainer.heatmap(unseen), 0.2))
    assert not hasattr(explainer, "covered")  # it covers nothing, and says nothing of covers


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind, tmp_path):
    network = Small(2).network()
    (tmp_path / "references").mkdir()
    explainer = fitted(kind, network, tmp_path / "references")
    explain.save(explainer, tmp_path / "saved")
    again = explain.load(tmp_path / "saved", network)
    assert type(again) is kind
    unseen = pictures(5, seed=3)
    torch.testing.assert_close(again.heatmap(unseen), explainer.heatmap(unseen))
    one, two = explainer.explain(unseen[0]), again.explain(unseen[0])
    assert np.array_equal(one.similar, two.similar)


def test_a_fit_that_was_killed_goes_on(tmp_path, monkeypatch):
    """Weights that are there already are not computed again, and the result is the same."""
    monkeypatch.setattr("methods.explainers.cam.BATCH", 2)
    network = Small(2).network()
    found = of_images(network, pictures(60), tmp_path)
    clusters = cluster(np.asarray(found.points), 7, seed=0)
    calls = []

    class Watched(GradCAM):
        @staticmethod
        def rule(network, images):
            if len(calls) == 2:
                calls.append("killed")
                raise KeyboardInterrupt
            calls.append(len(images))
            return GradCAM.rule(network, images)

    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        Watched.fit(network, found, clusters, folder=work)
    again = Watched.fit(network, found, clusters, folder=work)
    assert calls == [2, 2, "killed", 2, 1]
    whole = GradCAM.fit(network, found, clusters)
    assert torch.equal(again.weights.table, whole.weights.table)


def test_nearest_reference_images(tmp_path):
    network = Small(2).network()
    explainer = fitted(GradCAM, network, tmp_path)
    image = pictures(1, seed=7)
    explanation = explainer.explain(image[0])
    points = network.maps(pictures(60)).flatten(1)
    distances = torch.cdist(network.maps(image).flatten(1), points)[0]
    assert explanation.similar.tolist() == distances.argsort()[:16].tolist()
    np.testing.assert_allclose(explanation.distances, distances.sort().values[:16], rtol=1e-4)


# ------------------------------------------------------------------------------- Omega and heat


def test_projection_keeps_distances():
    maps = torch.randn(20, 8, 25, 25, generator=torch.Generator().manual_seed(0))
    space = omega(8 * 25 * 25, 4096, np.random.default_rng(0))
    points = space.points(maps)
    assert points.shape == (20, 4096)
    exact, projected = torch.cdist(maps.flatten(1), maps.flatten(1)), torch.cdist(points, points)
    off = ~torch.eye(20, dtype=torch.bool)
    assert float((projected[off] / exact[off] - 1).abs().max()) < 0.08
    # By its definition: each coordinate goes into one sum, with a sign.
    flat, plain = maps[0].flatten().tolist(), torch.zeros(4096)
    for place, (coordinate, sign) in enumerate(
        zip(space.deal.order.tolist(), space.deal.sign.tolist(), strict=True)
    ):
        if coordinate < len(flat):
            plain[place % 4096] += sign * flat[coordinate]
    torch.testing.assert_close(points[0], plain, atol=1e-4, rtol=1e-4)
    assert sorted(space.deal.order.tolist()) == list(range(8192))


def test_omega_is_saved(tmp_path):
    maps = torch.randn(2, 10, 4, 4)
    for most in (64, None):
        space = omega(160, most, np.random.default_rng(0))
        save_omega(space, tmp_path)
        assert torch.equal(load_omega(tmp_path).points(maps), space.points(maps))


def test_omega_is_left_alone_where_it_is_small():
    maps = torch.randn(3, 4, 2, 2)
    assert torch.equal(omega(16, 4096, np.random.default_rng(0)).points(maps), maps.flatten(1))


def test_inputs_are_the_images_nearest_to_the_centres():
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(90, 6)) + 8 * rng.integers(0, 3, 90)[:, None]).astype(np.float32)
    found = cluster(points, 3, seed=1)
    distances = np.linalg.norm(points[:, None] - found.centres, axis=2)
    assert found.nearest.tolist() == distances.argmin(0).tolist()
    assert found.owner.tolist() == distances.argmin(1).tolist()
    for v in range(3):
        np.testing.assert_allclose(found.centres[v], points[found.owner == v].mean(0), rtol=1e-4)
    assert len(cluster(points[:2], 5, seed=0).nearest) == 2


def test_absent_weights_do_not_count(monkeypatch):
    maps, weights, size = torch.randn(4, 3, 5, 5), torch.randn(4, 2, 3), (9, 7)
    present = torch.tensor([[True, False], [True, True], [False, True], [False, False]])
    heat = channel_heat(maps, weights, size, present)
    torch.testing.assert_close(heat[:1], channel_heat(maps[:1], weights[:1, :1], size))
    torch.testing.assert_close(heat[1:2], channel_heat(maps[1:2], weights[1:2], size))
    torch.testing.assert_close(heat[2:3], channel_heat(maps[2:3], weights[2:3, 1:], size))
    assert not heat[3].any()
    monkeypatch.setattr("methods.explainers.heat.AT_ONCE", 1)  # one image at a time
    torch.testing.assert_close(channel_heat(maps, weights, size, present), heat)


def test_large_classes_are_sampled():
    labels = np.repeat([0, 1, 2], [10, 3, 6])
    chosen = sample_per_class(labels, 5, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [5, 3, 5]
    assert len(set(chosen.tolist())) == len(chosen)
    assert chosen.tolist() == sorted(chosen.tolist())


def test_missing_images_are_an_error(tmp_path):
    from methods.explainers.references import measure

    with pytest.raises(ValueError, match="n_images=4"):
        measure(Small(1).network(), [pictures(3)], 4, tmp_path)
