"""Published numbers beside the measured ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from reports.published import published, published_table
from reports.records import from_json, merge
from reports.sections import COMPACTNESS, INTERPRETABILITY
from reports.tidy import tidy


@pytest.fixture
def table_of(cards):
    def table(data):
        records, _ = merge([from_json(one, Path()) for one in data])
        names = COMPACTNESS + INTERPRETABILITY
        shown = [card for name in names for card in cards if card.name == name]
        return published_table(tidy(records, cards), records, shown, "published")

    return table


def test_the_extract_is_the_transcription(shared):
    whole = pd.read_csv(shared / "published" / "published_results.csv", dtype={"table": str})
    tables = whole[(whole["source"] == "qpm") & whole["table"].isin(["2", "3"])]
    mine = published()
    columns = ["dataset", "backbone", "method", "metric", "mean", "unit"]
    expected = tables[columns].astype({"mean": float}).sort_values(columns).reset_index(drop=True)
    found = mine[columns].sort_values(columns).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_a_claim_stands_beside_what_was_measured(table_of, made):
    table = table_of(made(dataset="cub", backbone="resnet50"))
    qpm = next(row for row in table.rows if row.head == "QPM")
    texts = [cell.text for cell in qpm.cells]
    heads = [(column.group, column.title) for column in table.columns]
    assert heads[:2] == [("Accuracy [%]", "here"), ("Accuracy [%]", "paper")]
    # Tables 2 and 3: accuracy, features, features per class, SID@5, independence, ...
    assert texts[1::2] == ["85.1", "50", "5", "90.1", "97.0", "96.0", "47.9"]
    assert texts[0] != "85.1"


def test_without_published_numbers_there_is_no_table(table_of, made):
    assert table_of(made()) is None
    assert table_of(made(dataset="cub", backbone="thin_resnet")) is None


def test_a_variant_is_not_held_against_the_default(table_of, record_of):
    data = [
        record_of("qpm", "QPM", 0.9, 10, 20, 1, 16, dataset="cub", backbone="resnet50", variant=v)
        for v in ("", "n_wc=10")
    ]
    assert [row.head for row in table_of(data).rows] == ["QPM"]


def test_another_preset_than_the_papers_is_said(table_of, record_of):
    data = record_of("qpm", "QPM", 0.9, 5, 20, 1, 16, dataset="cub", backbone="resnet50")
    data["cell"]["preset"] = "quick"
    assert [row.head for row in table_of([data]).rows] == ["QPM, preset quick"]
