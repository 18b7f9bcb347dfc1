"""Runs from end to end, in small: what is shared, what is kept, what a failure costs."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import time
from pathlib import Path

import pytest

from benchmark.contracts import UserError
from benchmark.store import Store

METHODS = ["dense", "glm_saga", "sldd", "qsenn", "qpm"]


def _values(records: list[dict]) -> dict:
    return {(r["cell"]["method"], r["cell"]["seed"]): r["metrics"] for r in records}


def test_five_methods_stand_on_one_dense_classifier(run_tiny, tmp_path, cache) -> None:
    before = len(Store(cache).log())
    records = run_tiny(METHODS, seeds=[11])
    assert [r["status"] for r in records] == ["ok"] * 5, [r["reason"] for r in records]
    log = Store(cache).log()[before:]
    trained = [e for e in log if e["stage"] == "dense" and e["event"] == "computed"]
    assert len(trained) == 1
    selected = [e for e in log if e["stage"] == "selection"]
    assert [e["event"] for e in selected] == ["computed", "found"]  # sldd and qsenn share it
    for record in records:
        assert json.loads((tmp_path / "run/cells" / f"{record['key']}.json").read_text()) == record
        assert record["metrics"]["accuracy"]["value"] is not None
    by_name = {r["cell"]["method"]: r for r in records}
    for name, phases in {"sldd": 1, "qsenn": 2, "qpm": 1}.items():
        found = by_name[name]["fit"]["phases"]
        assert len(found) == phases
        for phase in found:
            assert 0 <= phase["accuracy_before"] <= 1
            assert 0 <= phase["accuracy_after"] <= 1
            assert phase["seconds"] > 0
        after = found[-1]["accuracy_after"]
        assert by_name[name]["metrics"]["accuracy"]["value"] == pytest.approx(after)
    weights_per_class = by_name["qpm"]["metrics"]["features_per_class"]["value"]
    assert weights_per_class == 2
    assert (tmp_path / "run/config.yaml").exists()

    # A later run finds it all, and a new method trains nothing twice.
    before = len(Store(cache).log())
    again = run_tiny(METHODS, seeds=[11])
    assert {e["event"] for e in Store(cache).log()[before:]} == {"found"}
    assert _values(again) == _values(records)


def test_same_seed_same_numbers_and_other_seed_others(run_tiny, tmp_path, cache) -> None:
    first = run_tiny(["dense", "qpm"], seeds=[1, 2])
    fresh = tmp_path / "fresh"
    shutil.copytree(cache / "datasets", fresh / "datasets")
    second = run_tiny(["dense", "qpm"], seeds=[1, 2], cache=fresh)
    assert _values(first) == _values(second)
    losses = {r["fit"]["phases"][0]["history"][0]["loss"] for r in first}
    assert len(losses) == 4


def test_adding_a_method_changes_no_other_numbers(run_tiny, tmp_path, cache) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(cache / "datasets", fresh / "datasets")
    alone = run_tiny(["qpm"], seeds=[3], cache=fresh)
    among = run_tiny(["sldd", "dense", "qpm"], seeds=[3])
    assert _values(alone)["qpm", 3] == _values(among)["qpm", 3]


BROKEN = """
from benchmark.contracts import MethodCard, Parameters

def fit(context):
    context.dense()
    raise ZeroDivisionError("of all things")

CARD = MethodCard("broken", "Broken", "classifier", "none", Parameters, fit)
"""


def test_a_failure_costs_its_own_cell_only(run_tiny, tmp_path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    records = run_tiny(["broken", "dense"], plugins=[str(plugin)])
    assert [r["status"] for r in records] == ["failed", "ok"]
    assert records[0]["reason"] == "ZeroDivisionError: of all things"
    assert records[0]["metrics"] == {}
    trace = (tmp_path / "run/errors" / f"{records[0]['key']}.txt").read_text()
    assert "in fit" in trace


NEAREST = Path(__file__).resolve().parents[2] / "docs" / "adding-a-method.md"


def test_the_method_of_the_docs_runs_as_a_plugin(run_tiny, tmp_path) -> None:
    code = NEAREST.read_text().split("```python\n")[1].split("```")[0]
    plugin = tmp_path / "nearest_mean.py"
    plugin.write_text(code)
    records = run_tiny(
        ["dense", "nearest_mean"],
        plugins=[str(plugin)],
        parameters={"nearest_mean": {"n_features": 9}},
    )
    assert [r["status"] for r in records] == ["ok", "ok"], [r["reason"] for r in records]
    assert records[1]["metrics"]["total_features"]["value"] == 9
    assert records[1]["cell"]["variant"] == "n_features=9"
    assert len(records[1]["fit"]["report"]["kept"]) == 9


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("qpm", {"n_features": 9}),
        ("qpm", {"n_per_class": 3}),
        ("qpm", {"redundancy": False}),
        ("qpm", {"bias": "none"}),
        ("qpm", {"bias_weight": 0.1}),
        ("qpm", {"similarity": "auroc"}),
        ("qpm", {"exact_per_class": False}),
        ("qpm", {"learning_rate": 0.03}),
        ("qpm", {"diversity": 0.3}),
        ("qpm", {"dropout": 0.3}),
        ("dense", {"epochs": 3}),
        ("dense", {"weight_decay": 0.1}),
        ("dense", {"augment": "none"}),
        ("data", {"image_size": 40}),
    ],
)
def test_each_parameter_that_changes_a_result_changes_the_key(
    group, values, tmp_path, cache
) -> None:
    from benchmark import config
    from benchmark.contracts import Silent
    from benchmark.plan import cells, groups
    from benchmark.registry import discover
    from benchmark.runner import Run, fit_ingredients, open_dataset, pick_device, share
    from benchmark.store import key_of

    def key(parameters: dict) -> str:
        fields = {
            "methods": ["qpm"],
            "datasets": ["toybirds:classes=6,images=8,pixels=48"],
            "parameters": parameters,
        }
        settings, registry = config.build(fields), discover()
        run = Run(settings, registry, tmp_path / "run", Store(cache), Silent())
        (one,) = groups(settings, registry)
        dataset = open_dataset(one.dataset, settings, registry, run.store, Silent())
        shared = share(one, dataset, pick_device("cpu"), run)
        (cell,) = cells(one, settings, registry)
        return key_of(fit_ingredients(cell, shared))

    assert key({group: values}) != key({})


def _attempt(folder: str, cache: str, fields: dict) -> None:
    """One attempt at a run, in a process of its own."""
    import torch

    torch.set_num_threads(1)
    from benchmark import config, runner
    from benchmark.contracts import Silent
    from benchmark.registry import discover

    settings = config.build(fields)
    runner.execute(runner.Run(settings, discover(), Path(folder), Store(Path(cache)), Silent()))


def test_a_run_killed_again_and_again_ends_with_the_same_numbers(tmp_path, cache, tiny_fields):
    fields = tiny_fields(["dense", "qsenn", "qpm"], seeds=[21], parameters={"dense": {"epochs": 4}})
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch", "torchvision", "timm", "sklearn.cluster"])
    times = random.Random(0)

    def attempt(name: str, seconds: float | None) -> int | None:
        process = server.Process(
            target=_attempt, args=(str(tmp_path / name), str(tmp_path / f"{name}-cache"), fields)
        )
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()  # SIGKILL: nothing can be tidied up
            process.join()
        return process.exitcode

    for name in ("whole", "killed"):
        shutil.copytree(cache / "datasets", tmp_path / f"{name}-cache" / "datasets")
    first = server.Process(target=time.sleep, args=(0,))  # the server imports torch, once
    first.start()
    first.join()
    started = time.monotonic()
    assert attempt("whole", None) == 0
    whole = time.monotonic() - started
    codes = [attempt("killed", times.uniform(0.2, 0.6) * whole) for _ in range(4)]
    assert -9 in codes
    assert attempt("killed", None) == 0

    def numbers(name: str) -> dict:
        cells = (json.loads(f.read_text()) for f in (tmp_path / name / "cells").glob("*.json"))
        return {
            c["cell"]["method"]: (
                c["metrics"],
                [(p["accuracy_before"], p["accuracy_after"], [h["loss"] for h in p["history"]])
                 for p in c["fit"]["phases"]],
            )
            for c in cells
        }  # fmt: skip

    assert numbers("killed") == numbers("whole")
    # Each epoch of the dense training was run once, or at most once more for each kill.
    log = Store(tmp_path / "killed-cache").log()
    assert sum(e["event"] == "computed" and e["stage"] == "dense" for e in log) == 1


def test_a_dataset_that_is_not_there_is_refused_before_anything_is_trained(
    run_tiny, tmp_path
) -> None:
    with pytest.raises(UserError) as error:
        run_tiny(["dense"], datasets=["cub"], data_root=str(tmp_path / "nowhere"))
    said = str(error.value)
    assert str(tmp_path / "nowhere") in said
    assert "images.txt" in said
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_there_are_refused(run_tiny, tmp_path) -> None:
    with pytest.raises(UserError, match="no such file"):
        run_tiny(["dense"], weights=str(tmp_path / "none.pth"))


def test_a_corrupt_image_is_named(run_tiny, tmp_path) -> None:
    from PIL import Image

    for split in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(4):
                color = (40 * number, 100 if label == "a" else 200, 50)
                Image.new("RGB", (40, 40), color).save(folder / f"{number}.jpg")
    corrupt = tmp_path / "photos/train/b/2.jpg"
    corrupt.write_bytes(corrupt.read_bytes()[:200])
    with pytest.raises(UserError, match=r"train/b/2\.jpg"):
        run_tiny(["dense"], datasets=[f"folder:{tmp_path / 'photos'}"])
