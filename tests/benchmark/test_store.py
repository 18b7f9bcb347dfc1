"""The cache: computed once, whole or not at all, found by everything that decided it."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from benchmark.store import Store, canonical, code_hash, derive_seed, key_of, write_atomically


def test_a_result_is_computed_once_and_found_by_a_later_store(tmp_path: Path) -> None:
    calls = []

    def compute(folder: Path) -> None:
        calls.append(1)
        (folder / "answer").write_text("42")

    first = Store(tmp_path).get("stage", {"a": 1}, compute)
    second = Store(tmp_path).get("stage", {"a": 1}, compute)
    assert (len(calls), first.cached, second.cached) == (1, False, True)
    assert (second.folder / "answer").read_text() == "42"
    assert [entry["event"] for entry in Store(tmp_path).log()] == ["computed", "found"]


def test_a_failed_computation_leaves_no_result_but_keeps_its_checkpoints(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        store.get("stage", {"a": 1}, fail)
    assert not store.has("stage", {"a": 1})

    def proceed(folder: Path) -> None:
        assert (folder / "checkpoint").read_text() == "half"

    assert not store.get("stage", {"a": 1}, proceed).cached
    assert store.has("stage", {"a": 1})


def test_seconds_of_inner_stages_are_not_counted_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def inner(folder: Path) -> None:
        time.sleep(0.2)

    def outer(folder: Path) -> float:
        store.get("inner", {}, inner)
        return 5.0  # seconds of an earlier attempt

    assert 5.0 <= store.get("outer", {}, outer).seconds < 5.15


def _count(root: Path, counter: Path) -> None:
    def compute(folder: Path) -> None:
        with open(counter, "a") as file:
            file.write("x")
        time.sleep(0.3)

    Store(root).get("stage", {"a": 1}, compute)


def test_two_processes_compute_a_result_once(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=_count, args=(tmp_path / "cache", tmp_path / "counter")
        )
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0, 0]
    assert (tmp_path / "counter").read_text() == "x"


@pytest.mark.parametrize("change", [{"a": 2}, {"b": 1}, {"a": 1, "b": None}, {"a": 1.5}])
def test_whatever_differs_changes_the_key(change: dict) -> None:
    assert key_of(change) != key_of({"a": 1})


def test_keys_do_not_depend_on_order_and_refuse_what_has_no_plain_form() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": (2,), "a": 1})
    with pytest.raises(TypeError, match="cannot be an ingredient"):
        canonical({"a": object()})


def test_code_hash_changes_with_the_source(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "somepackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_hash(("somepackage",))
    (package / "part.py").write_text("x = 2\n")
    code_hash.cache_clear()
    assert code_hash(("somepackage",)) != before


def test_atomic_writing_leaves_the_old_text_when_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_atomically(file, json.dumps({"a": 1}))
    with pytest.raises(TypeError):
        write_atomically(file, object())  # type: ignore[arg-type]
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_seeds_of_different_axes_differ() -> None:
    seeds = {derive_seed(d, m, s) for d in ("cub", "cars") for m in ("a", "b") for s in range(5)}
    assert len(seeds) == 20
