"""A made-up but plausible run, written as the harness writes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmark.contracts import MetricCard

CARDS = tuple(
    MetricCard(name, title, unit, bounds, better, scope, "made:up")  # type: ignore[arg-type]
    for name, title, unit, bounds, better, scope in [
        ("accuracy", "Accuracy", "percent", (0, 1), True, "sample"),
        ("sid_at_5", "SID@5", "percent", (0, 1), True, "sample"),
        ("diversity_at_5", "Diversity@5", "percent", (0, 1), True, "sample"),
        ("class_independence", "Class-Independence", "percent", (0, 1), True, "table"),
        ("contrastiveness", "Contrastiveness", "percent", (0, 1), True, "table"),
        ("correlation", "Correlation", "percent", (0, 1), False, "table"),
        ("structural_grounding", "Structural Grounding", "percent", (0, 1), True, "table"),
        ("total_features", "Total features", "count", (0, 1e9), False, "table"),
        ("features_per_class", "Features per class", "count", (0, 1e9), False, "table"),
        ("average_drop", "Average drop", "percent", (0, 1), False, "sample"),
        ("average_increase", "Average increase", "percent", (0, 1), True, "sample"),
        ("purity", "Purity", "percent", (0, 1), True, "explainer"),
        ("pair_accuracy", "Accuracy within pairs", "percent", (0, 1), True, "sample"),
    ]
)

# name, title, accuracy after fine-tuning, features per class, features, fine-tunings, gap
METHODS = [
    ("dense", "Dense", 0.945, 128, 128, 0),
    ("glm_saga", "glm-saga", 0.83, 4.9, 61, 0),
    ("sldd", "SLDD-Model", 0.902, 4.9, 20, 1),
    ("qsenn", "Q-SENN", 0.915, 5, 20, 4),
    ("qpm", "QPM", 0.921, 5, 20, 1),
]


def make_record(
    method: str,
    title: str,
    accuracy: float,
    per_class: float,
    total: float,
    tunings: int,
    seed: int,
    *,
    dataset: str = "toybirds",
    backbone: str = "thin_resnet",
    kind: str = "classifier",
    explains: str = "",
    variant: str = "",
    parameters: dict[str, Any] | None = None,
    started: str = "2025-05-01T12:00:00+0000",
    grounded: bool = True,
) -> dict[str, Any]:
    """A cell that went well; numbers depend on the arguments alone."""
    axes = [ord(c) for c in method + dataset + backbone + variant]
    rng = np.random.default_rng([*axes, seed])
    reference = method == "dense"
    accuracy += float(rng.normal(0, 0.006))

    def value(mean: float, spread: float = 0.01) -> dict[str, Any]:
        return {"value": float(np.clip(mean + rng.normal(0, spread), 0, 1)), "reason": None}

    quality = 0.55 if reference or not tunings else 0.88
    metrics: dict[str, dict[str, Any]] = {
        "accuracy": {"value": accuracy, "reason": None},
        "sid_at_5": value(quality),
        "diversity_at_5": value(quality - 0.1),
        "class_independence": value(0.965, 0.003),
        "contrastiveness": value(quality + 0.05),
        "correlation": value(0.6 if reference else 0.35),
        "structural_grounding": value(0.1 + 0.4 * (method == "qpm")),
        "total_features": {"value": total, "reason": None},
        "features_per_class": {"value": per_class, "reason": None},
        "average_drop": value(0.3 - 0.1 * bool(tunings)),
        "average_increase": value(0.1 + 0.1 * bool(tunings)),
        "pair_accuracy": value(accuracy - 0.15),
    }
    if not grounded:
        reason = "the dataset has no class attributes"
        metrics["structural_grounding"] = {"value": None, "reason": reason}
    phases = []
    for i in range(tunings):
        before = accuracy - 0.2 / (i + 1)
        phases.append(phase(f"fine-tuning {i + 1}", 6, before, accuracy - 0.01 * (tunings - 1 - i)))
    if reference:
        phases = [phase("dense training", 20, None, None)]
    solver: dict[str, Any] = {}
    if method == "qpm":
        solver = {"objective": 310.2 + seed, "upper_bound": 340.1, "gap": 0.05, "rounds": [1, 2]}
    timings = [
        {"stage": "dense", "seconds": 95.0, "cached": not reference},
        {"stage": "features", "seconds": 7.5, "cached": not reference},
        {"stage": "fit", "seconds": 4.0 + 30.0 * tunings, "cached": False},
        {"stage": "evaluate", "seconds": 11.0, "cached": False},
    ]
    cell = {
        "dataset": dataset,
        "backbone": backbone,
        "method": method,
        "title": title,
        "kind": kind,
        "reference": reference,
        "variant": variant,
        "explains": explains,
        "seed": seed,
        "repetition": 0,
        "parameters": {"n_wc": 5} if parameters is None else parameters,
        "paper": f"The paper on {title}",
        "deviations": [f"{title} stops after 6 epochs, the paper after 40"] if tunings else [],
    }
    key = "-".join(map(str, [method, seed, dataset, backbone, variant, explains, started[:10]]))
    return {
        "key": "".join(c if c.isalnum() else "_" for c in key),
        "status": "ok",
        "reason": None,
        "cell": cell,
        "metrics": metrics,
        "fit": {"report": solver, "phases": phases},
        "timings": timings,
        "provenance": {
            "versions": {"torch": "2.6.0", "numpy": "2.1.0"},
            "device": "cpu",
            "git_commit": "0123456789ab",
            "started": started,
            "threads": 2,
        },
    }


def phase(name: str, epochs: int, before: float | None, after: float | None) -> dict[str, Any]:
    high = 0.95 if after is None else after
    history = [
        {
            "epoch": i,
            "loss": 2.2 * 0.8**i,
            "accuracy": high * (1 - 0.5 * 0.75**i),
            "learning_rate": 0.01,
            "seconds": 3.1,
        }
        for i in range(1, epochs + 1)
    ]
    seconds = 3.1 * epochs
    return {
        "name": name,
        "seconds": seconds,
        "accuracy_before": before,
        "accuracy_after": after,
        "history": history,
    }


def failed(record: dict[str, Any], reason: str, status: str = "failed") -> dict[str, Any]:
    """The same cell, had it not gone well."""
    nothing = {"metrics": {}, "fit": {"report": {}, "phases": []}, "timings": []}
    return record | nothing | {"status": status, "reason": reason}


def write_run(folder: Path, records: list[dict[str, Any]]) -> Path:
    (folder / "cells").mkdir(parents=True)
    for record in records:
        (folder / "cells" / f"{record['key']}.json").write_text(json.dumps(record))
        if record["cell"]["method"] == "qpm" and record["status"] == "ok":
            write_artifacts(folder / "artifacts" / record["key"])
        if record["cell"]["kind"] == "explainer" and record["status"] == "ok":
            alone = record["cell"]["method"] == "cover"
            write_case_studies(folder / "artifacts" / record["key"], alone)
    (folder / "config.yaml").write_text("dataset: toybirds\nmethods: [qpm, qsenn]\n")
    return folder


def write_artifacts(folder: Path) -> None:
    """Two pairs of classes with three shared features and two own ones each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    flags = [(True, False)] * 2 + [(True, True)] * 3 + [(False, True)] * 2
    pairs, arrays = [], {}
    for i, similarity in enumerate([0.5, 0.8]):
        features = [
            {"feature": 3 * j + i, "first": a, "second": b} for j, (a, b) in enumerate(flags)
        ]
        names = [f"{4 * i + 1:03d}.Red-crowned_Toybird", f"{4 * i + 2:03d}.Blue_<Toybird>"]
        pairs.append(
            {"classes": [i, i + 1], "names": names, "similarity": similarity, "features": features}
        )
        for side in (0, 1):
            arrays[f"image_{i}_{side}"] = bird(side)
            arrays[f"maps_{i}_{side}"] = rng.gamma(0.4, size=(len(flags), 6, 6)).astype(np.float32)
    (folder / "comparisons.json").write_text(json.dumps(pairs))
    np.savez_compressed(folder / "comparisons.npz", **arrays)


def write_case_studies(folder: Path, alone: bool) -> None:
    """Two test images; an explainer that stands alone found similar images of its own, and one
    less of them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(alone)
    n = 4 if alone else 5
    cases, arrays = [], {}
    for case in (0, 1):
        cases.append(
            {
                "test_image": 7 + case,
                "label": 1,
                "truth": "002.Blue_<Toybird>",
                "predicted": case,
                "class": ["001.Red_Toybird", "002.Blue_<Toybird>"][case],
                "similar": [10 * alone + i for i in range(1, n)],
                "distances": [float(i) for i in range(1, n)],
                "scores": [round(0.9 - 0.1 * i - 0.01 * alone, 2) for i in range(n)],
                "masked_scores": rng.uniform(size=n).tolist(),
                "report": {"covered": 33, "purity": 0.5, "trace": [1, 2]} if alone else {},
            }
        )
        for i in range(n):
            arrays[f"image_{case}_{i}"] = bird(i % 2)
            arrays[f"heat_{case}_{i}"] = rng.uniform(size=(64, 64)).astype(np.float16)
    (folder / "case_studies.json").write_text(json.dumps(cases))
    np.savez_compressed(folder / "case_studies.npz", **arrays)


def bird(side: int) -> np.ndarray:
    image = Image.new("RGB", (64, 64), (176, 205, 220))
    draw = ImageDraw.Draw(image)
    draw.ellipse((14, 24, 50, 52), fill=(150, 105, 70))
    draw.ellipse((36, 10, 56, 30), fill=[(200, 50, 40), (40, 70, 190)][side])
    draw.polygon([(55, 18), (63, 22), (55, 24)], fill=(240, 180, 40))
    draw.ellipse((46, 16, 50, 20), fill=(10, 10, 10))
    draw.line((28, 50, 26, 62), fill=(60, 50, 40), width=2)
    draw.line((36, 50, 36, 62), fill=(60, 50, 40), width=2)
    return np.asarray(image)


@pytest.fixture(scope="session")
def cards() -> tuple[MetricCard, ...]:
    return CARDS


@pytest.fixture(scope="session")
def made() -> Callable[..., list[dict[str, Any]]]:
    """``made(seeds, **changes)`` -> the records of all five methods."""

    def make(seeds: tuple[int, ...] = (16,), **changes: Any) -> list[dict[str, Any]]:
        return [make_record(*method, seed, **changes) for method in METHODS for seed in seeds]

    return make


@pytest.fixture(scope="session")
def record_of() -> Callable[..., dict[str, Any]]:
    return make_record


@pytest.fixture(scope="session")
def explaining() -> Callable[..., dict[str, Any]]:
    """``explaining(method, title, drop, increase, repetition)`` -> an explainer's record."""

    def make(
        method: str, title: str, drop: float, increase: float, repetition: int = 0, **changes: Any
    ) -> dict[str, Any]:
        changes = {"explains": "dense"} | changes
        data = make_record(method, title, 0, 0, 0, 0, 16, kind="explainer", **changes)
        values: dict[str, Any] = {"average_drop": drop, "average_increase": increase}
        values |= {"purity": 0.9 if method == "cover" else None}
        metrics = {
            name: {"value": value, "reason": None if value is not None else "covers no images"}
            for name, value in values.items()
        }
        return data | {
            "key": f"{data['key']}_{repetition}",
            "cell": data["cell"] | {"repetition": repetition},
            "metrics": metrics,
            "timings": [],
        }

    return make


@pytest.fixture(scope="session")
def failing() -> Callable[..., dict[str, Any]]:
    return failed


@pytest.fixture(scope="session")
def run_at() -> Callable[[Path, list[dict[str, Any]]], Path]:
    return write_run
