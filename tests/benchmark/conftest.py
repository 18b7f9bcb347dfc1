"""A run small enough for a test: a few birds, a thin network, one or two epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = {
    "datasets": ["toybirds:classes=6,images=8,pixels=48"],
    "seeds": [1],
    "device": "cpu",
    "precision": "float32",
    "parameters": {
        "data": {"image_size": 32},
        "dense": {"epochs": 2, "batch_size": 8, "step_epochs": 1},
        "qpm": {"n_features": 8, "n_per_class": 2, "epochs": 2, "batch_size": 8},
        "sldd": {"n_features": 8, "n_per_class": 2, "epochs": 2, "batch_size": 8},
        "qsenn": {
            "n_features": 8,
            "n_per_class": 2,
            "epochs": 2,
            "iteration_epochs": 1,
            "iterations": 2,
            "batch_size": 8,
        },
        "glm_saga": {"n_per_class": 2},
    },
}


def execute(folder: Path, cache: Path, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Run to the end in this process; the records, in order."""
    from benchmark import config, runner
    from benchmark.contracts import Silent
    from benchmark.registry import discover
    from benchmark.store import Store

    settings = config.build(fields)
    registry = discover([Path(file) for file in settings.plugins])
    run = runner.Run(settings, registry, folder, Store(cache), Silent())
    runner.execute(run)
    return run.records


def tiny(methods: list[str], **changes: Any) -> dict[str, Any]:
    """Fields of a tiny run; parameters given are merged group by group."""
    known = TINY["parameters"].items()  # type: ignore[attr-defined]
    parameters = {k: dict(v) for k, v in known if k in ("data", "dense", *methods)}
    for group, values in changes.pop("parameters", {}).items():
        parameters[group] = parameters.get(group, {}) | values
    return TINY | {"methods": methods, "parameters": parameters} | changes


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that tests share, with the birds of tiny runs rendered."""
    from benchmark import config, runner
    from benchmark.contracts import Silent
    from benchmark.registry import discover
    from benchmark.store import Store

    folder = tmp_path_factory.mktemp("cache")
    settings = config.build(tiny(["dense"]))
    for spec in settings.datasets:
        runner.open_dataset(spec, settings, discover(), Store(folder), Silent())
    return folder


@pytest.fixture
def run_tiny(tmp_path: Path, cache: Path) -> Callable[..., list[dict[str, Any]]]:
    """``run_tiny(["dense"], seeds=[2])`` runs and returns the records."""

    def run(methods: list[str], *, cache: Path = cache, **changes: Any) -> list[dict[str, Any]]:
        return execute(tmp_path / "run", cache, tiny(methods, **changes))

    return run


@pytest.fixture(scope="session")
def tiny_fields() -> Callable[..., dict[str, Any]]:
    """The fields of a tiny run, for tests that start it themselves."""
    return tiny
