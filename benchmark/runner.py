"""A run: each cell through its stages, one record each; a failure stays inside its cell."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmark import artifacts, config, explain, provenance
from benchmark import classifier as classifiers
from benchmark.backbones import BackboneSpec, build, image_size
from benchmark.config import RunConfig, dataset_arguments
from benchmark.context import Context, Shared, seconds_in
from benchmark.contracts import Dataset, Fitted, MetricCard, Progress, UserError, load
from benchmark.evaluate import evaluate
from benchmark.explain import ClassifierNetwork, ExplainContext
from benchmark.plan import Cell, Group, cells, groups
from benchmark.progress import duration
from benchmark.registry import Registry, code_of
from benchmark.store import Result, Store, code_hash, key_of, write_atomically
from benchmark.training import Setting, autocast, best_precision
from datasets.transforms import Preprocessing, channel_statistics

MEASURING = ("benchmark.evaluate", "benchmark.explain", "metrics")
DRAWING = ("benchmark.artifacts",)


@dataclass
class Run:
    """Where a run happens: its folder, the cache, the device, and what is known of methods."""

    settings: RunConfig
    registry: Registry
    folder: Path
    store: Store
    progress: Progress
    records: list[dict[str, Any]] = field(default_factory=list)
    paid: set[str] = field(default_factory=set)  # keys of shared stages that a cell has paid for

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["status"] == "failed"]


def execute(run: Run) -> None:
    """Open the data, say what will be done, do it, and leave one record for each cell.

    Raises :class:`UserError`, before anything is trained, for what the user can mend.
    """
    config.check(run.settings, run.registry)
    device = pick_device(run.settings.device)
    opened = {
        spec: open_dataset(spec, run.settings, run.registry, run.store, run.progress)
        for spec in run.settings.datasets
    }
    work = []
    for group in groups(run.settings, run.registry):
        shared = share(group, opened[group.dataset], device, run)
        work.append((shared, list(cells(group, run.settings, run.registry))))
    _check_weights(run, [shared for shared, _ in work])
    run.folder.mkdir(parents=True, exist_ok=True)
    config.write(config.resolved(run.settings, run.registry), run.folder / "config.yaml")
    announce(run, work)
    total = sum(len(row) for _, row in work)
    number = 0
    for shared, row in work:
        for cell in row:
            number += 1
            name = " ".join(filter(None, [cell.card.name, cell.variant]))
            if cell.explains:
                name += f" explaining {cell.explains.card.name}, repetition {cell.repetition}"
            run.progress.say(
                f"[{number}/{total}] {name} on {shared.dataset.name}, "
                f"{cell.group.backbone}, seed {cell.group.seed}"
            )
            record = run_cell(cell, shared, run)
            run.records.append(record)
            run.progress.say("    " + _summary(record))


def open_dataset(
    spec: str, settings: RunConfig, registry: Registry, store: Store, progress: Progress
) -> Dataset:
    """Open a dataset as written on the command line."""
    name, arguments = dataset_arguments(spec)
    card = registry.dataset(name)
    root = None if settings.data_root is None else Path(settings.data_root).expanduser()
    return load(card.open)(arguments, root, store.root / "datasets", progress)


def _check_weights(run: Run, work: Sequence[Shared]) -> None:
    """Refuse now, not in each cell, when pretrained weights can't be had."""
    wanted = {s.backbone for s in work if not run.store.has("dense", s.dense_ingredients())}
    for spec in wanted:
        if spec.weights != "none":
            build(spec)


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one; a device that is not there is refused."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} can't be used: {str(error).splitlines()[0]}") from error
    return device


def share(group: Group, dataset: Dataset, device: torch.device, run: Run) -> Shared:
    """The shared stages of a group, with the preprocessing completed by the data's statistics."""
    size = group.data.image_size or image_size(group.backbone)
    plain = Preprocessing(
        size=size,
        crop="box" if dataset.crop_boxes else "centre",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )

    def measure(folder: Path) -> None:
        split = dataset.train
        mean, std = channel_statistics(split.paths, split.boxes, plain, run.progress)
        (folder / "statistics.json").write_text(json.dumps({"mean": mean, "std": std}))

    ingredients = {
        "fingerprint": dataset.fingerprint,
        "preprocessing": plain.to_dict(),
        "code": code_hash(("datasets.transforms", "datasets.images")),
    }
    folder = run.store.get("statistics", ingredients, measure).folder
    found = json.loads((folder / "statistics.json").read_text())
    precision = run.settings.precision
    return Shared(
        dataset=dataset,
        backbone=BackboneSpec(group.backbone, group.weights, dataset.fine_grained),
        dense_recipe=group.dense,
        preprocessing=Preprocessing(
            size, plain.crop, mean=tuple(found["mean"]), std=tuple(found["std"])
        ),
        seed=group.seed,
        device=device,
        precision=best_precision(device) if precision == "auto" else precision,
        store=run.store,
        progress=run.progress,
    )


# ------------------------------------------------------------------------------------- one cell


def fit_ingredients(cell: Cell, shared: Shared) -> dict[str, Any]:
    """Everything that decides a fit."""
    own = {
        "method": cell.card.name,
        "parameters": cell.parameters.model_dump(mode="json"),
        "own_code": code_hash(code_of(cell.card)),
    }
    if cell.explains is None:
        return shared.dense_ingredients() | own
    explained = key_of(fit_ingredients(cell.explains, shared))
    return shared.ground() | own | {"explains": explained, "repetition": cell.repetition}


def run_cell(cell: Cell, shared: Shared, run: Run) -> dict[str, Any]:
    """Fit, evaluate, keep what figures need; the record is written whatever happens."""
    cards = list(run.registry.metrics.values())
    key = key_of(fit_ingredients(cell, shared) | {"metrics": [c.name for c in cards]})
    shared.asked.clear()
    record: dict[str, Any] = {
        "key": key,
        "status": "ok",
        "reason": None,
        "cell": cell.describe(shared.dataset.name),
        "metrics": {},
        "fit": {"report": {}, "phases": []},
        "timings": [],
    }
    try:
        drawn = STAGES[cell.card.kind](cell, shared, run, cards, record)
        figures = [file for file in drawn.folder.iterdir() if file.name != "stage.json"]
        for file in figures:
            place = run.folder / "artifacts" / key
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
    except Exception as error:
        record["status"] = "failed"
        record["reason"] = _reason(error)
        if not isinstance(error, UserError):
            write_atomically(run.folder / "errors" / f"{key}.txt", traceback.format_exc())
    record["provenance"] = provenance.describe(str(shared.device)) | {"precision": shared.precision}
    text = json.dumps(record, indent=1, allow_nan=False)
    write_atomically(run.folder / "cells" / f"{key}.json", text)
    return record


def _classifier(
    cell: Cell, shared: Shared, run: Run, cards: Sequence[MetricCard], record: dict[str, Any]
) -> Result:
    """The stages of a classifier; the record is filled in, the artifacts are returned."""
    ingredients = fit_ingredients(cell, shared)
    fit = _fitted(cell, shared, run)
    about = json.loads((fit.folder / "fit.json").read_text())
    record["fit"] = {"report": about["report"], "phases": about["phases"]}
    measured = run.store.get(
        "evaluate",
        _measuring(ingredients, cards),
        lambda folder: _measure(fit, shared, cards, folder),
    )
    record["metrics"] = json.loads((measured.folder / "metrics.json").read_text())
    drawn = run.store.get(
        "artifacts",
        ingredients | {"drawing": code_hash(DRAWING)},
        lambda folder: _draw(fit, shared, folder),
    )
    record["timings"] = [
        *_stages(about["stages"], fit, run),
        {"stage": "fit", **_time(fit), "parts": about["parts"]},
        {"stage": "evaluate", **_time(measured)},
        {"stage": "artifacts", **_time(drawn)},
    ]
    return drawn


def _explainer(
    cell: Cell, shared: Shared, run: Run, cards: Sequence[MetricCard], record: dict[str, Any]
) -> Result:
    """The stages of an explainer of a fitted classifier; likewise."""
    assert cell.explains is not None
    ingredients = fit_ingredients(cell, shared)
    target = _fitted(cell.explains, shared, run)
    network = cache(lambda: ClassifierNetwork(
        classifiers.load(target.folder, shared.device).eval(), shared.setting()
    ))  # fmt: skip
    fit = run.store.get(
        "fit", ingredients, lambda folder: _explain(cell, network(), shared, folder)
    )
    about = json.loads((fit.folder / "fit.json").read_text())

    def measure(folder: Path) -> None:
        explainer = explain.load(fit.folder, network())
        unseen = getattr(cell.parameters, "unseen", None)
        values, extras = explain.evaluate_explainer(
            explainer, network(), shared, cards, unseen=unseen
        )
        (folder / "metrics.json").write_text(json.dumps({"metrics": values, "report": extras}))

    measured = run.store.get("evaluate", _measuring(ingredients, cards), measure)
    found = json.loads((measured.folder / "metrics.json").read_text())
    record["metrics"] = found["metrics"]
    record["fit"] = {"report": found["report"], "phases": []}
    drawn = run.store.get(
        "artifacts",
        ingredients | {"drawing": code_hash(("benchmark.explain",))},
        lambda folder: explain.write_case_studies(
            explain.load(fit.folder, network()), network(), shared, folder
        ),
    )
    record["timings"] = [
        {"stage": "explained", **_time(target)},
        {"stage": "fit", **_time(fit), "parts": about["parts"]},
        {"stage": "evaluate", **_time(measured)},
        {"stage": "artifacts", **_time(drawn)},
    ]
    return drawn


# What a cell goes through, by the kind on its card.
STAGES = {"classifier": _classifier, "explainer": _explainer}


def _measuring(ingredients: dict[str, Any], cards: Sequence[MetricCard]) -> dict[str, Any]:
    return ingredients | {"measuring": code_hash(MEASURING), "metrics": [c.name for c in cards]}


def _fitted(cell: Cell, shared: Shared, run: Run) -> Result:
    """A classifier's fit, found or computed."""
    return run.store.get(
        "fit", fit_ingredients(cell, shared), lambda folder: _fit(cell, shared, folder)
    )


def _explain(cell: Cell, network: ClassifierNetwork, shared: Shared, folder: Path) -> None:
    assert cell.explains is not None
    work = folder / "work"
    work.mkdir(exist_ok=True)
    context = ExplainContext(
        cell.card.name, cell.parameters, network.classifier, cell.explains.card.name, shared,
        cell.repetition, work,
    )  # fmt: skip
    explain.save(load(cell.card.fit)(context), folder)
    (folder / "fit.json").write_text(json.dumps({"parts": context.timings}))
    shutil.rmtree(work)


def _fit(cell: Cell, shared: Shared, folder: Path) -> float:
    """Call the method; what it leaves while it works goes when it is done."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    earlier = sum(seconds_in(checkpoint) for checkpoint in work.glob("*.pt"))
    context = Context(cell.card.name, cell.parameters, shared, work)
    torch.manual_seed(context.seed)
    fitted = load(cell.card.fit)(context)
    if not isinstance(fitted, Fitted):
        raise UserError(
            f"fit of {cell.card.name} returned {type(fitted).__name__}, "
            "not benchmark.contracts.Fitted"
        )
    classifiers.save(fitted.classifier, folder)
    stages = [
        {"stage": name, "key": result.key, "seconds": result.seconds, "cached": result.cached}
        for name, result in shared.asked.items()
    ]
    about = {
        "report": fitted.report,
        "phases": fitted.phases,
        "parts": context.timings,
        "stages": stages,
    }
    (folder / "fit.json").write_text(json.dumps(about, indent=1, default=float))
    shutil.rmtree(work)
    return earlier


def _measure(fit: Result, shared: Shared, cards: Sequence[MetricCard], folder: Path) -> None:
    values = evaluate(
        classifiers.load(fit.folder, shared.device), shared.dataset, shared.train_batches,
        shared.test_batches, shared.setting(), cards, shared.progress,
    )  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(values, indent=1))


def _draw(fit: Result, shared: Shared, folder: Path) -> None:
    classifier = classifiers.load(fit.folder, shared.device)
    if classifier.head.binary():
        artifacts.write_comparisons(
            classifier, shared.dataset, shared.test_batches, shared.setting(), folder,
            shared.progress,
        )  # fmt: skip


def _stages(stages: list[dict[str, Any]], fit: Result, run: Run) -> Iterator[dict[str, Any]]:
    """The shared stages that a fit stands on; only the first cell to cause one has paid for it."""
    for entry in stages:
        paid = not fit.cached and not entry["cached"] and entry["key"] not in run.paid
        run.paid.add(entry["key"])
        yield {"stage": entry["stage"], "seconds": entry["seconds"], "cached": not paid}


def _time(result: Result) -> dict[str, Any]:
    return {"seconds": result.seconds, "cached": result.cached}


def _reason(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if isinstance(error, UserError) else f"{type(error).__name__}: {' '.join(said)}"


def _summary(record: dict[str, Any]) -> str:
    if record["status"] != "ok":
        return f"{record['status']}: {record['reason']}"
    own = sum(entry["seconds"] for entry in record["timings"] if not entry["cached"])
    said = "done"
    for name in ("average_drop", "accuracy"):  # an explainer has no accuracy
        value = record["metrics"].get(name, {}).get("value")
        if value is not None:
            said = f"{name.replace('_', ' ')} {100 * value:.1f} %"
    return f"{said} ({duration(own)})"


# --------------------------------------------------------------------------- what it will cost


def announce(run: Run, work: Sequence[tuple[Shared, list[Cell]]]) -> None:
    """Say what will be done and about how long it takes, from steps timed here and now."""
    say = run.progress.say
    rows = sum(len(row) for _, row in work)
    first = work[0][0]
    say(
        f"{rows} cells: {', '.join(run.settings.methods)} on {', '.join(run.settings.datasets)}; "
        f"{first.device} in {first.precision}; records in {run.folder}"
    )
    seconds = 0.0
    speeds: dict[tuple[Any, ...], tuple[float, float]] = {}
    for shared, row in work:
        train, test = len(shared.dataset.train), len(shared.dataset.test)
        todo = [c for c in row if not run.store.has("fit", fit_ingredients(c, shared))]
        dense = run.store.has("dense", shared.dense_ingredients())
        if dense and not todo:
            continue
        kind = (shared.backbone, shared.preprocessing.size, shared.dense_recipe.batch_size)
        if kind not in speeds:
            speeds[kind] = time_steps(shared)
        step, look = speeds[kind]
        epochs = sum(c.card.epochs(c.parameters) for c in todo if c.card.epochs)
        epochs += 0 if dense else shared.dense_recipe.epochs
        looks = (0 if dense else 1) * (train + test) + len(todo) * (train + 4 * test)
        seconds += epochs * train * step + looks * look
    say(
        f"about {duration(seconds)} to train and measure"
        if seconds
        else "everything is in the cache already"
    )


def time_steps(shared: Shared) -> tuple[float, float]:
    """Seconds per image of a training step and of a look, on random images."""
    spec = BackboneSpec(shared.backbone.name, "none", shared.backbone.unit_strides)
    with torch.random.fork_rng():
        backbone = build(spec).to(shared.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        n, size = shared.dense_recipe.batch_size, shared.preprocessing.size
        images = torch.rand(n, 3, size, size, device=shared.device)
    images = images.to(memory_format=torch.channels_last)
    setting = shared.setting()

    def step() -> None:
        with autocast(setting):
            maps = backbone(images)
        maps.float().square().mean().backward()

    def look() -> None:
        with torch.no_grad(), autocast(setting):
            backbone(images)

    return _seconds_each(step, setting) / n, _seconds_each(look, setting) / n


def _seconds_each(work: Any, setting: Setting, times: int = 3) -> float:
    work()  # the first call prepares kernels
    started = time.perf_counter()
    for _ in range(times):
        work()
    if setting.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of a run's folder, in the order of their keys."""
    for file in sorted((folder / "cells").glob("*.json")):
        yield json.loads(file.read_text())
