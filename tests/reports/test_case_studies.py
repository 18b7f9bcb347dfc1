"""Case studies: which pictures stand in which row, with which score."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark.contracts import UserError
from reports.case_studies import figure, left_by, read
from reports.comparisons import TILE
from reports.records import from_json


@pytest.fixture
def artifacts(tmp_path, run_at, explaining):
    """The artifacts of three explainers, one of which found similar images of its own."""
    names = [("zoom", "Zoom"), ("cover", "Cover"), ("cam", "CAM")]
    data = [explaining(*name, 0.2, 0.1) for name in names]
    folder = run_at(tmp_path, data)
    records = [from_json(one, folder) for one in data]
    return {record.entry: record.artifacts for record in records}


def test_explainers_that_found_the_same_images_share_their_row(artifacts):
    cases = read(artifacts)
    assert [case.title for case in cases] == [
        "Test image 7, Blue <Toybird>, taken for Red Toybird",
        "Test image 8, rightly predicted as Blue <Toybird>",
    ]
    heads = [[line.head for line in strip] for strip in cases[0].strips]
    assert heads == [
        ["Similar images found by Cover", "Cover"],
        ["Similar images found by CAM, Zoom", "CAM", "Zoom"],
    ]
    assert cases[0].notes == ("Cover: covered 33, purity 0.5.",)
    assert cases[0].columns == ("input", "similar 1", "similar 2", "similar 3", "similar 4")
    assert len(read(artifacts, limit=1)) == 1


def test_scores_and_pictures_are_those_that_the_run_left(artifacts):
    entry, folder = next((e, f) for e, f in artifacts.items() if e.method == "cover")
    about = json.loads((folder / "case_studies.json").read_text())[1]
    images, heat = read({entry: folder})[1].strips[0]
    assert [picture.score for picture in images.pictures] == about["scores"]
    assert [picture.score for picture in heat.pictures] == about["masked_scores"]
    assert (images.method, heat.method) == ("", "cover")
    for picture in (*images.pictures, *heat.pictures):
        assert picture.pixels.shape == (TILE, TILE, 3)
        assert picture.pixels.dtype == np.uint8


def test_scores_of_other_classifiers_are_not_mixed(artifacts):
    """The same similar images, but another score: another classifier was explained."""
    folder = next(f for e, f in artifacts.items() if e.method == "zoom")
    cases = json.loads((folder / "case_studies.json").read_text())
    cases[0]["scores"][0] = 0.4
    (folder / "case_studies.json").write_text(json.dumps(cases))
    first, second = read(artifacts)
    assert (len(first.strips), len(second.strips)) == (3, 2)


def test_the_figure_has_a_row_a_line_and_the_scores_below(artifacts):
    case = read(artifacts)[0]
    drawn = figure(case)
    grid = np.array(drawn.axes).reshape(5, 5)
    lines = [line for strip in case.strips for line in strip]
    for row, line in zip(grid, lines, strict=True):
        scores = [f"{picture.score:.2f}" for picture in line.pictures]
        assert [axes.get_xlabel() for axes in row][: len(scores)] == scores
        assert sum(len(axes.images) for axes in row) == len(scores)


def test_what_is_not_there_or_broken(tmp_path, artifacts):
    assert not left_by(tmp_path)
    entry, folder = next(iter(artifacts.items()))
    assert left_by(folder)
    (folder / "case_studies.json").write_text('[{"test_image": 1}]')
    with pytest.raises(UserError, match=r"case studies in .* cannot be read"):
        read({entry: folder})
    assert read({}) == []
