"""Contrastive comparisons of similar classes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark.contracts import UserError
from reports.comparisons import TILE, figure, normalised, overlay, read


@pytest.fixture
def artifacts(tmp_path, made, run_at):
    run_at(tmp_path, [record for record in made() if record["cell"]["method"] == "qpm"])
    return next((tmp_path / "artifacts").iterdir())


def test_the_most_similar_pairs_come_first(artifacts):
    found = read(artifacts)
    assert [comparison.similarity for comparison in found] == [0.8, 0.5]
    assert found[0].names == ("Red-crowned Toybird", "Blue <Toybird>")
    assert [len(read(artifacts, limit=n)) for n in (0, 1, 2, 3)] == [0, 1, 2, 2]


def test_features_keep_their_flags_and_groups(artifacts):
    comparison = read(artifacts)[0]
    written = json.loads((artifacts / "comparisons.json").read_text())[1]["features"]
    assert [c.feature for c in comparison.columns] == [f["feature"] for f in written]
    flags = [(c.tiles[0].assigned, c.tiles[1].assigned) for c in comparison.columns]
    assert flags == [(f["first"], f["second"]) for f in written]
    assert comparison.groups == [
        ("only Red-crowned Toybird", 2),
        ("shared by both", 3),
        ("only Blue <Toybird>", 2),
    ]
    assert comparison.described() == (
        "3 features are shared; 2 features only Red-crowned Toybird has, "
        "2 features only Blue <Toybird>."
    )


def test_no_artifacts_are_no_comparisons(tmp_path):
    assert read(tmp_path) == []


def test_broken_artifacts_are_named(artifacts):
    (artifacts / "comparisons.json").write_text("[{]")
    with pytest.raises(UserError, match="cannot be read"):
        read(artifacts)


def test_maps_are_scaled_for_each_feature_over_both_images():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 3, 3))
    second[2] = first[2] = 1.5  # a feature that is the same everywhere shows nothing
    scaled = normalised(first, second)
    for k in range(4):
        both = np.concatenate([first[k].ravel(), second[k].ravel()])
        for raw, result in zip((first, second), scaled, strict=True):
            if k == 2:
                assert (result[k] == 0).all()
            else:
                expected = (raw[k] - both.min()) / (both.max() - both.min())
                np.testing.assert_allclose(result[k], expected)


def test_an_overlay_is_tinted_where_the_map_is_strong_and_grey_elsewhere():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    heat = np.zeros((5, 5))
    heat[0, 0] = 1.0
    result = overlay(image, heat, "#ff0000").astype(int)
    assert result.shape == (round(TILE * 40 / 60), TILE, 3)
    corner, far = result[:10, :10], result[-40:, -40:]
    assert (corner[..., 0] - corner[..., 1]).mean() > 80
    assert np.ptp(far, axis=-1).max() <= 1


def test_the_figure_has_two_rows_and_a_column_for_each_feature(artifacts):
    comparison = read(artifacts)[0]
    drawn = figure(comparison)
    assert len(drawn.axes) == 2 * (len(comparison.columns) + 1)
    labelled = [axes.get_xlabel() for axes in drawn.axes]
    assert labelled.count("not assigned") == 4
