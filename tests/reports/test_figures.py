"""Figures: colours, label placement, what they are drawn from, and how they get into a page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from reports.figures import FIGURES, Drawing, drawn, inline, spread, times, training_curve
from reports.records import Entry, from_json, merge
from reports.style import (
    DARK_SURFACE,
    INK,
    MARKS,
    MUTED,
    REFERENCE,
    SERIES,
    SURFACE,
    contrast,
    styles,
)
from reports.tidy import tidy


@pytest.fixture
def drawing_of(cards):
    def drawing(data):
        records, _ = merge([from_json(one, Path()) for one in data])
        return Drawing(tidy(records, cards), records, styles(r.entry for r in records))

    return drawing


@pytest.mark.parametrize("colour", [*SERIES, REFERENCE])
@pytest.mark.parametrize("surface", [SURFACE, DARK_SURFACE])
def test_colours_are_legible_on_light_and_dark(colour, surface):
    assert contrast(colour, surface) >= 3.0


def test_the_pages_surfaces_are_those_of_the_figures():
    sheet = (Path(__file__).parents[2] / "reports" / "templates" / "report.css").read_text()
    surfaces = re.findall(r"--surface: (#\w+)", sheet)
    inks = re.findall(r"--ink: (#\w+)", sheet)
    mutes = re.findall(r"--muted: (#\w+)", sheet)
    assert surfaces == [SURFACE, DARK_SURFACE]
    assert (inks[0], mutes[0]) == (INK, MUTED)
    for text in (inks, mutes):
        for colour, surface in zip(text, surfaces, strict=True):
            assert contrast(colour, surface) >= 4.5


def test_a_methods_style_is_its_own_and_stays_when_results_change():
    entries = [Entry(f"m{i}", "", "", f"M{i}", "classifier") for i in range(8)]
    looks = styles(entries)
    assert len({(look.colour, look.mark) for look in looks.values()}) == 8
    assert styles(reversed(entries)) == looks
    assert len(SERIES) == len(MARKS)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 20))
def test_labels_are_spread_with_the_least_movement(heights, gap):
    """Least squares under "neighbours at least gap apart" is an isotonic regression."""
    result = np.array(spread(heights, gap))
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    wished = np.array(heights)[order] - steps
    expected = IsotonicRegression().fit_transform(np.arange(len(heights)), wished) + steps
    np.testing.assert_allclose(result[order], expected, atol=1e-4)


def test_every_figure_is_drawn_where_there_is_data(drawing_of, made):
    drawing = drawing_of(made(seeds=(16, 17)))
    for spec in FIGURES:
        figure = drawn(spec, drawing)
        assert figure is not None, spec.name
        assert figure[0].startswith(b"\x89PNG")
        ElementTree.fromstring(figure[1])


def test_no_figure_is_drawn_without_data(drawing_of, record_of):
    data = record_of("m", "M", 0.9, 5, 20, 0, 16)
    data |= {"metrics": {}, "timings": [], "fit": {"report": {}, "phases": []}}
    drawing = drawing_of([data])
    assert [spec.name for spec in FIGURES if spec.draw(drawing)] == []


def test_points_lie_at_the_means(drawing_of, made):
    drawing = drawing_of(made(seeds=(16, 17, 18)))
    figure = FIGURES[0].draw(drawing)
    points = {
        tuple(float(v) for v in line.get_xydata()[0])
        for line in figure.axes[0].lines
        if line.get_marker() in MARKS
    }
    frame = drawing.frame
    means = frame.pivot_table(index="method", columns="metric", values="value")
    expected = means.drop("dense")[["features_per_class", "accuracy"]].to_numpy()
    np.testing.assert_allclose(sorted(points), sorted(map(tuple, expected)))


def test_a_classifier_without_features_has_no_place_on_a_log_scale(drawing_of, record_of):
    empty, full = record_of("a", "A", 0.2, 0, 0, 0, 16), record_of("b", "B", 0.9, 5, 20, 0, 16)
    marks = FIGURES[0].draw(drawing_of([empty, full])).axes[0].lines
    assert len([line for line in marks if line.get_marker() in MARKS]) == 1
    assert FIGURES[0].draw(drawing_of([empty])) is None


def test_finetunings_follow_each_other_with_a_gap(drawing_of, record_of):
    drawing = drawing_of([record_of("m", "M", 0.9, 5, 20, 2, 16)])
    axes = training_curve("loss", "Loss", reference=False)(drawing).axes[0]
    x, y = axes.lines[0].get_data()
    history = [step["loss"] for phase in drawing.records[0].phases for step in phase["history"]]
    np.testing.assert_allclose(np.asarray(y)[np.isfinite(y)], history)
    np.testing.assert_allclose(np.asarray(x)[np.isfinite(y)], np.arange(1, 13))
    assert np.isnan(y[6])


def test_cached_time_is_hatched_and_all_time_is_shown(drawing_of, made):
    drawing = drawing_of(made(seeds=(16, 17)))
    bars = times(drawing).axes[0].patches
    total = sum(t["seconds"] for r in drawing.records for t in r.timings) / 2
    assert sum(bar.get_width() for bar in bars) == pytest.approx(total)
    hatched = sum(bar.get_width() for bar in bars if bar.get_hatch())
    cached = sum(t["seconds"] for r in drawing.records for t in r.timings if t["cached"]) / 2
    assert hatched == pytest.approx(cached)


def test_an_inlined_figure_brings_no_foreign_ids_or_page_colours(drawing_of, made):
    drawing = drawing_of(made())
    _, svg = drawn(FIGURES[0], drawing)
    page = inline(svg, "one")
    assert page.startswith("<svg")
    assert all(name.startswith("one-") for name in re.findall(r'\bid="([^"]*)"', page))
    used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', page))
    assert used <= set(re.findall(r'\bid="([^"]*)"', page))
    assert not any(colour in page for colour in (INK, MUTED, SURFACE))


def test_the_same_records_give_the_same_figure(drawing_of, made):
    drawing = drawing_of(made())
    assert drawn(FIGURES[0], drawing) == drawn(FIGURES[0], drawing)
