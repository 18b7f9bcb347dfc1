"""The tidy table and its summaries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.records import from_json, merge
from reports.tidy import AFTER, BEFORE, COLUMNS, stages_of, summarise, summary_of, tidy


@pytest.fixture
def frame_of(cards):
    def frame(data):
        records, _ = merge([from_json(one, Path()) for one in data])
        return records, tidy(records, cards)

    return frame


def test_columns_are_those_promised(frame_of, made):
    _, frame = frame_of(made())
    assert ",".join(frame.columns) == (
        "dataset,backbone,method,variant,explains,seed,repetition,"
        "metric,value,unit,higher_is_better,status,reason"
    )
    assert tuple(frame.columns) == COLUMNS


def test_shares_are_shown_in_per_cent_and_counts_as_they_are(frame_of, record_of):
    data = record_of("m", "M", 0.9, 4.9, 61, 0, 16)
    data["metrics"]["accuracy"]["value"] = 0.123
    _, frame = frame_of([data])
    value = frame.set_index("metric")["value"]
    assert value["accuracy"] == pytest.approx(12.3)
    assert value["features_per_class"] == 4.9
    assert value["total_features"] == 61


def test_a_null_stays_a_null_with_its_reason(frame_of, record_of):
    _, frame = frame_of([record_of("m", "M", 0.9, 5, 20, 0, 16, grounded=False)])
    row = frame.set_index("metric").loc["structural_grounding"]
    assert np.isnan(row["value"])
    assert row["reason"] == "the dataset has no class attributes"
    assert row["status"] == "ok"


def test_a_failed_cell_has_one_row_that_says_why(frame_of, record_of, failing):
    data = failing(record_of("m", "M", 0.9, 5, 20, 0, 16), "ValueError: no")
    _, frame = frame_of([data])
    assert len(frame) == 1
    assert frame.loc[0, ["status", "reason"]].tolist() == ["failed", "ValueError: no"]
    assert frame["value"].isna().all()


def test_a_metric_without_a_card_is_not_hidden(frame_of, record_of):
    data = record_of("m", "M", 0.9, 5, 20, 0, 16)
    data["metrics"]["unheard_of"] = {"value": 0.5, "reason": None}
    _, frame = frame_of([data])
    assert frame.set_index("metric").loc["unheard_of", "value"] == 0.5


def test_accuracy_around_all_finetunings(frame_of, record_of):
    data = record_of("m", "M", 0.9, 5, 20, 3, 16)
    phases = data["fit"]["phases"]
    _, frame = frame_of([data])
    value = frame.set_index("metric")["value"]
    assert value[BEFORE] == pytest.approx(100 * phases[0]["accuracy_before"])
    assert value[AFTER] == pytest.approx(100 * phases[2]["accuracy_after"])


def test_dense_training_is_no_finetuning(frame_of, record_of):
    _, frame = frame_of([record_of("dense", "Dense", 0.9, 5, 20, 0, 16)])
    assert not frame["metric"].isin([BEFORE, AFTER]).any()


def test_a_summary_is_that_of_the_entrys_runs(frame_of, made):
    records, frame = frame_of(made(seeds=(16, 17, 18)))
    for entry in {record.entry for record in records}:
        values = [
            100 * r.metrics["accuracy"]["value"] for r in records if r.entry == entry and r.ok
        ]
        summary = summarise(frame, records[0].scope, entry, "accuracy")
        assert summary.mean == pytest.approx(np.mean(values))
        assert summary.std == pytest.approx(np.std(values, ddof=1))
        assert (summary.values, summary.runs) == (3, 3)


def test_a_failed_run_is_counted_and_explained(frame_of, made, record_of, failing):
    data = made(seeds=(16, 17))
    data.append(failing(record_of("qpm", "QPM", 0.9, 5, 20, 1, 18), "MemoryError: too small"))
    records, frame = frame_of(data)
    entry = next(r.entry for r in records if r.entry.method == "qpm")
    summary = summarise(frame, records[0].scope, entry, "accuracy")
    assert (summary.values, summary.runs) == (2, 3)
    assert summary.reasons == ("MemoryError: too small",)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_summaries_agree_with_numpy(values):
    summary = summary_of(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert summary.std == pytest.approx(np.std(values, ddof=1), abs=1e-6)


def test_a_fit_is_split_and_loses_no_second(record_of):
    data = record_of("m", "M", 0.9, 5, 20, 2, 16)
    data["timings"] = [
        {
            "stage": "fit",
            "seconds": 100.0,
            "cached": False,
            "parts": [
                {"stage": "assignment", "seconds": 20.0, "cached": False},
                {"stage": "selection", "seconds": 500.0, "cached": True},
            ],
        },
        {"stage": "evaluate", "seconds": 9.0, "cached": True},
    ]
    stages = stages_of(from_json(data, Path()))
    tuning = sum(phase["seconds"] for phase in data["fit"]["phases"])
    assert stages == [
        ("assignment", 20.0, False),
        ("selection", 500.0, True),
        ("fine-tuning", tuning, False),
        ("fit", pytest.approx(100.0 - 20.0 - tuning), False),
        ("evaluate", 9.0, True),
    ]
