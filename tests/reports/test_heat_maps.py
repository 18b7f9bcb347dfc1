"""Average drop and increase: what is compared with what."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import pytest

from reports.heat_maps import heat_map_table
from reports.records import from_json, merge
from reports.tables import to_latex, to_markdown
from reports.tidy import tidy

NAMES = ("average_drop", "average_increase", "purity")


@pytest.fixture
def table_of(cards):
    known = {card.name: card for card in cards}

    def table(data):
        records, _ = merge([from_json(one, Path()) for one in data])
        shown = [known[name] for name in NAMES]
        titles = {"dense": "DENSE", "q": "Q"}
        return heat_map_table(tidy(records, cards), records, shown, "t", "T", titles)

    return table


def named(record, **values):
    return record | {"metrics": {k: {"value": v, "reason": None} for k, v in values.items()}}


@pytest.fixture
def data(explaining, record_of):
    own = {
        name: named(record_of(name, name.upper(), 0, 0, 0, 0, 16), average_drop=drop)
        for name, drop in [("dense", 0.1), ("q", 0.05), ("r", 0.5)]
    }
    return [
        *own.values(),
        explaining("cam", "CAM", 0.25, 0.1, 0),
        explaining("cam", "CAM", 0.35, 0.3, 1),
        explaining("cover", "Cover", 0.2, 0.1, 0),
        explaining("cover", "Cover", 0.2, 0.1, 1),
        explaining("cam", "CAM", 0.9, 0.0, explains="q"),
    ]


def test_rows_stand_with_what_they_explain_and_the_best_of_each_group_is_marked(table_of, data):
    table = table_of(data)
    marks = {
        group: [(row.head, row.cells[0].text, row.cells[0].mark) for row in rows]
        for group, rows in table.row_groups
    }
    assert marks == {
        "toybirds, explaining DENSE": [
            ("DENSE, its own", "10.0", "best"),
            ("Cover", "20.0", "second"),
            ("CAM", "30.0", ""),
        ],
        "toybirds, explaining Q": [("Q, its own", "5.0", "best"), ("CAM", "90.0", "second")],
        "toybirds, each classifier by its own": [("R", "50.0", "")],
    }


def test_mean_and_deviation_are_over_the_repetitions(table_of, data):
    table = table_of(data)
    row = next(row for row in table.rows if row.head == "CAM")
    for cell, values in zip(row.cells, [(25, 35), (10, 30)], strict=False):
        assert cell.value == pytest.approx(mean(values))
        assert cell.spread == f"± {stdev(values):.1f}"
    assert row.cells[2].footnote
    assert "covers no images" in table.footnotes


def test_what_no_row_has_is_no_column(table_of, explaining):
    table = table_of([explaining("cam", "CAM", 0.25, 0.1)])
    assert [column.title for column in table.columns] == ["Average drop", "Average increase"]
    assert "±" not in table.caption
    assert table_of([named(explaining("cam", "CAM", 0, 0))]) is None


def test_a_reference_stands_apart_among_classifiers_that_speak_for_themselves(table_of, data):
    table = table_of(data[:3])
    assert [(row.head, row.apart) for row in table.rows] == [
        ("DENSE", True),
        ("Q", False),
        ("R", False),
    ]
    assert [row.cells[0].mark for row in table.rows] == ["", "best", "second"]


def test_groups_are_named_in_markdown_and_latex(table_of, data):
    table = table_of(data)
    markdown, latex = to_markdown(table), to_latex(table)
    assert markdown.index("**toybirds, explaining Q**") < markdown.index("Q, its own")
    assert r"\multicolumn{4}{l}{\emph{toybirds, explaining Q}} \\" in latex
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1
