"""Sections: tables that are not tables of metrics, names of files, solver reports."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from reports.records import from_json, merge
from reports.sections import finetuning_table, flat, slug, solver_table, time_table
from reports.tidy import tidy


@pytest.fixture
def read(cards):
    def records_and_frame(data):
        records, _ = merge([from_json(one, Path()) for one in data])
        return records, tidy(records, cards)

    return records_and_frame


def test_each_finetuning_has_its_line_with_before_after_and_gain(read, made):
    data = made(seeds=(16, 17))
    records, frame = read(data)
    table = finetuning_table(frame, records, "t")
    assert [row.head for row in table.rows if "Q-SENN" in row.head] == [
        f"Q-SENN, fine-tuning {i}" for i in (1, 2, 3, 4)
    ]
    assert not any("Dense" in row.head for row in table.rows)
    row = next(row for row in table.rows if row.head == "Q-SENN, fine-tuning 2")
    phases = [r.phases[1] for r in records if r.entry.title == "Q-SENN"]
    before = 100 * np.mean([phase["accuracy_before"] for phase in phases])
    after = 100 * np.mean([phase["accuracy_after"] for phase in phases])
    assert [cell.value for cell in row.cells] == pytest.approx(
        [6, before, after, after - before, 18.6]
    )


def test_a_finetuning_that_lost_accuracy_is_not_passed_over(read, made):
    data = made()
    phase = next(r for r in data if r["cell"]["method"] == "qpm")["fit"]["phases"][0]
    phase["accuracy_after"] = phase["accuracy_before"] - 0.01
    records, frame = read(data)
    table = finetuning_table(frame, records, "t")
    assert table.caption == "5 of 6 fine-tunings gained accuracy."
    assert next(r for r in table.rows if r.head.startswith("QPM")).cells[3].text == "-1.0"


def test_cached_seconds_are_in_parentheses(read, made):
    records, frame = read(made(seeds=(16, 17)))
    table = time_table(frame, records, "t")
    texts = {
        row.head: dict(zip([c.title for c in table.columns], row.cells, strict=True))
        for row in table.rows
    }
    assert texts["Dense"]["dense"].text == "95.0"
    assert texts["QPM"]["dense"].text == "(95.0)"
    assert texts["QPM"]["fine-tuning"].text == "18.6"
    assert texts["Dense"]["fine-tuning"].text == "–"


def test_stages_are_in_the_order_in_which_they_happen(read, made):
    records, frame = read(made())
    table = time_table(frame, records, "t")
    expected = ["dense", "features", "fine-tuning", "fit", "evaluate"]
    assert [column.title for column in table.columns] == expected


def test_a_solvers_report_has_a_column_for_each_run(read, made):
    records, _ = read(made(seeds=(16, 17)))
    mine = [record for record in records if record.solver]
    table = solver_table(mine[0].entry, mine)
    assert [column.title for column in table.columns] == ["seed 16", "seed 17"]
    assert [row.head for row in table.rows] == ["objective", "upper bound", "gap", "rounds"]
    assert [cell.text for cell in table.rows[0].cells] == ["326.2", "327.2"]
    assert solver_table(records[0].entry, [r for r in records if not r.solver]) is None


def test_long_lists_of_a_solver_are_counted_not_printed():
    assert flat({"history": [{"t": i} for i in range(50)], "hit": False}) == {
        "history": "50 values",
        "hit": False,
    }


@pytest.mark.parametrize("parts", [("a/b", "../c"), ("x y", "ü:1,2"), ("", "n=5")])
def test_names_of_files_are_safe(parts):
    assert re.fullmatch(r"[\w.\-]+", slug(*parts))
    assert "/" not in slug(*parts)
