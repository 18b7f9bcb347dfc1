"""Reading and merging records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.contracts import UserError
from reports.records import Scope, from_json, merge, read, scopes_of


def test_a_record_keeps_what_its_json_says(tmp_path, made, run_at):
    run_at(tmp_path / "run", made(seeds=(16, 17)))
    records = read([tmp_path / "run"])
    assert len(records) == 10
    qpm = next(r for r in records if r.entry.method == "qpm" and r.seed == 17)
    assert qpm.scope == Scope("toybirds", "thin_resnet")
    assert qpm.entry.label == "QPM"
    assert qpm.solver["objective"] == 327.2
    assert (qpm.artifacts / "comparisons.json").exists()


def test_a_folder_without_records_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no records in .*nowhere"):
        read([tmp_path / "nowhere"])


@pytest.mark.parametrize("text", ["{", "[]", '{"key": "1"}', '{"key": "1", "cell": 3}'])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "abc.json").write_text(text)
    with pytest.raises(UserError, match=r"abc\.json is not the record of a cell"):
        read([tmp_path])


def test_of_two_records_for_a_cell_the_newer_counts(record_of):
    method = ("m", "M", 0.9, 5, 20, 1, 16)
    old = record_of(*method, started="2025-01-01T00:00:00+0000")
    new = record_of(*method, started="2025-02-01T00:00:00+0000") | {"key": "0"}
    for order in ([old, new], [new, old]):
        kept, replaced = merge([from_json(data, Path()) for data in order])
        assert [record.key for record in kept] == [new["key"]]
        assert [record.key for record in replaced] == [old["key"]]


def test_different_parameters_are_never_averaged(record_of):
    method = ("m", "M", 0.9, 5, 20, 1)
    settings = [{"m": {"n": 5, "k": 1}}, {"m": {"n": 7, "k": 1}}]
    data = [record_of(*method, seed, parameters=p) for p in settings for seed in (16, 17)]
    kept, replaced = merge([from_json(one, Path()) for one in data])
    assert replaced == []
    assert {record.entry.variant for record in kept} == {"m.n=5", "m.n=7"}
    assert len({(record.entry, record.seed) for record in kept}) == 4


def test_presets_are_told_apart_by_their_name_alone(record_of):
    data = []
    for preset, epochs in (("quick", 20), ("paper", 150)):
        one = record_of("m", "M", 0.9, 5, 20, 1, 16, parameters={"dense": {"epochs": epochs}})
        one["cell"]["preset"] = preset
        data.append(one)
    kept, _ = merge([from_json(one, Path()) for one in data])
    assert {record.entry.variant for record in kept} == {"preset=quick", "preset=paper"}


def test_one_set_of_parameters_per_dataset_is_one_entry(record_of):
    data = [
        record_of("m", "M", 0.9, 5, 20, 1, 16, dataset=name, parameters={"n": n})
        for name, n in (("a", 1), ("b", 2))
    ]
    kept, _ = merge([from_json(one, Path()) for one in data])
    assert {record.entry.variant for record in kept} == {""}
    assert [scope.dataset for scope in scopes_of(kept)] == ["a", "b"]


def test_an_explainer_says_what_it_explains(record_of):
    data = record_of("cam", "CAM", 0, 0, 0, 0, 16, kind="explainer", explains="dense")
    assert from_json(json.loads(json.dumps(data)), Path()).entry.label == "CAM, explaining dense"
