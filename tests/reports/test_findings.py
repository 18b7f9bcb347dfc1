"""Sentences computed from the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.findings import caveats, findings
from reports.records import from_json, merge
from reports.sections import HEAT_MAPS, INTERPRETABILITY
from reports.tidy import tidy


@pytest.fixture
def said(cards):
    def say(data):
        records, replaced = merge([from_json(one, Path()) for one in data])
        found = findings(tidy(records, cards), records, cards, INTERPRETABILITY, HEAT_MAPS)
        return found, caveats(records, replaced)

    return say


def fixed(record, **values):
    """The record with these metrics alone."""
    return record | {"metrics": {k: {"value": v, "reason": None} for k, v in values.items()}}


def test_the_best_its_size_and_the_gap_to_the_reference(said, record_of):
    data = [
        fixed(record_of("dense", "Dense", 0, 0, 0, 0, 16), accuracy=0.95),
        fixed(
            record_of("a", "A", 0, 0, 0, 0, 16),
            accuracy=0.93,
            features_per_class=5,
            total_features=20,
            sid_at_5=0.9,
        ),
        fixed(record_of("b", "B", 0, 0, 0, 0, 16), accuracy=0.9, sid_at_5=0.95),
    ]
    assert said(data)[0] == [
        "On toybirds with thin_resnet, A is the most accurate interpretable classifier at 93.0 % "
        "with 5 of 20 features per class, 2.0 points below Dense (95.0 %). B is 3.0 points behind; "
        "with a single run of each, that may be chance. Of the measures of interpretability, B "
        "leads in SID@5."
    ]


def test_explainers_are_compared_for_each_classifier_that_they_explain(said, explaining):
    data = [
        explaining("a", "A", 0.2, 0.3),
        explaining("b", "B", 0.4, 0.3),
        explaining("a", "A", 0.5, 0.1, explains="other"),
    ]
    assert said(data)[0] == [
        "On toybirds with thin_resnet, among the explainers of dense, A leads in Average drop; "
        "A and B lead in Average increase."
    ]


@pytest.mark.parametrize(
    ("second", "expected"),
    [(0.90, "B is 1.0 points behind, which is within one standard"), (0.70, "more than the")],
)
def test_a_gap_is_judged_by_the_spread(said, record_of, second, expected):
    data = [
        fixed(record_of(name, name.upper(), 0, 0, 0, 0, seed), accuracy=value + shift)
        for name, value in (("a", 0.91), ("b", second))
        for seed, shift in ((16, -0.02), (17, 0.02))
    ]
    (sentence,), _ = said(data)
    assert expected in sentence


def test_values_that_are_printed_alike_lead_together(said, record_of):
    data = [
        fixed(record_of(name, name.upper(), 0, 0, 0, 0, 16), accuracy=0.9, sid_at_5=sid)
        for name, sid in (("a", 0.80001), ("b", 0.80004), ("c", 0.5))
    ]
    assert "A and B lead in SID@5." in said(data)[0][0]


def test_without_a_result_it_says_so(said, made, failing):
    data = [failing(record, "RuntimeError: no") for record in made()]
    assert said(data)[0] == ["On toybirds with thin_resnet, no classifier has a result."]


def test_single_seeds_are_called_weak(said, made):
    assert "single-seed claims are weak" in said(made())[1][0]
    assert said(made(seeds=(16, 17)))[1] == []
    mixed = made(seeds=(16, 17)) + made(dataset="other")
    assert said(mixed)[1] == ["5 of 10 rows come from a single seed: no spread, and weak claims."]


def test_replaced_records_are_mentioned(said, record_of):
    data = [record_of("a", "A", 0.9, 5, 20, 0, 16, started=f"2025-01-0{day}") for day in (1, 2)]
    assert any("1 older record" in caveat for caveat in said(data)[1])
