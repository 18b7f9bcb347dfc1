"""Records as one tidy table: a row for each value, in the unit in which it is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from benchmark.contracts import MetricCard
from reports.records import Entry, Record, Scope

COLUMNS = (
    *("dataset", "backbone", "method", "variant", "explains", "seed", "repetition"),
    *("metric", "value", "unit", "higher_is_better", "status", "reason"),
)

# Accuracy around all fine-tunings of a cell: derived here, not measured by a metric of its own.
BEFORE, AFTER = "accuracy_before_finetuning", "accuracy_after_finetuning"

# Records hold shares as fractions; tables, figures and the CSV hold them in per cent.
SCALE = {"percent": 100.0}


def tidy(records: Iterable[Record], cards: Iterable[MetricCard]) -> pd.DataFrame:
    """One row for each metric of each record; columns are :data:`COLUMNS`.

    ``value`` is in ``unit`` (per cent for ``"percent"``) and NaN where the record holds null,
    with the ``reason``. A cell that did not finish has a single row without metric and value.

    >>> from pathlib import Path
    >>> from reports.records import from_json
    >>> cell = {"dataset": "d", "backbone": "b", "method": "m", "seed": 1}
    >>> metrics = {"accuracy": {"value": 0.5, "reason": None}}
    >>> data = {"key": "1f", "status": "ok", "cell": cell, "metrics": metrics}
    >>> card = MetricCard("accuracy", "Accuracy", "percent", (0, 1), True, "sample", "m:f")
    >>> tidy([from_json(data, Path("."))], [card])[["metric", "value", "unit"]].values.tolist()
    [['accuracy', 50.0, 'percent']]
    """
    known = {card.name: card for card in cards}
    rows = [row for record in records for row in _rows(record, known)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def _rows(record: Record, cards: Mapping[str, MetricCard]) -> list[dict[str, Any]]:
    entry = record.entry
    common = {
        **record.scope._asdict(),
        "method": entry.method,
        "variant": entry.variant,
        "explains": entry.explains,
        "seed": record.seed,
        "repetition": record.repetition,
        "status": record.status,
    }
    if not record.ok:
        return [{**common, "reason": record.reason}]
    rows = []
    for name in sorted(record.metrics, key=_order(cards)):
        card, measured = cards.get(name), record.metrics[name]
        value = measured.get("value")
        unit = card.unit if card else ""
        better = card.higher_is_better if card else None
        rows.append(
            common
            | {
                "metric": name,
                "value": None if value is None else value * SCALE.get(unit, 1.0),
                "unit": unit,
                "higher_is_better": better,
                "reason": measured.get("reason"),
            }
        )
    accuracy = {"unit": "percent", "higher_is_better": True}
    for name, value in _around_finetuning(record).items():
        rows.append(common | accuracy | {"metric": name, "value": value * SCALE["percent"]})
    return rows


def _order(cards: Mapping[str, MetricCard]) -> Any:
    places = {name: place for place, name in enumerate(cards)}
    return lambda name: (places.get(name, len(places)), name)


def _around_finetuning(record: Record) -> dict[str, float]:
    phases = finetunings(record)
    if not phases:
        return {}
    return {BEFORE: phases[0]["accuracy_before"], AFTER: phases[-1]["accuracy_after"]}


def finetunings(record: Record) -> list[Mapping[str, Any]]:
    """The phases of a record with an accuracy before and after: its fine-tunings."""
    return [
        phase
        for phase in record.phases
        if phase.get("accuracy_before") is not None and phase.get("accuracy_after") is not None
    ]


def stages_of(record: Record) -> list[tuple[str, float, bool]]:
    """Stages of a record: name, seconds, whether they were found in the cache.

    A fit is split into its parts, its fine-tunings, and the rest of it. A part that was found in
    the cache cost the fit nothing, so its seconds are not taken off the fit's.
    """
    stages = []
    for timing in record.timings:
        cached = bool(timing.get("cached"))
        rest = float(timing.get("seconds") or 0.0)
        parts = list(timing.get("parts") or [])
        if timing["stage"] == "fit":
            tuning = sum(float(phase.get("seconds") or 0.0) for phase in finetunings(record))
            parts += [{"stage": "fine-tuning", "seconds": tuning}] if tuning else []
        for part in parts:
            stages.append(
                (part["stage"], float(part["seconds"]), cached or bool(part.get("cached")))
            )
            rest -= 0.0 if part.get("cached") else float(part["seconds"])
        stages.append((str(timing["stage"]), max(rest, 0.0), cached))
    return stages


def stage_order(records: Iterable[Record]) -> list[str]:
    """Names of all stages of the records, each after the stage that it first follows.

    >>> stage_order([])
    []
    """
    order: list[str] = []
    for record in records:
        place = 0
        for stage, _, _ in stages_of(record):
            if stage not in order:
                order.insert(place, stage)
            place = order.index(stage) + 1
    return order


def mean_stages(records: Sequence[Record]) -> dict[tuple[str, bool], float]:
    """Mean seconds over the records of each stage, computed (False) and cached (True) apart."""
    seconds: dict[tuple[str, bool], float] = defaultdict(float)
    for record in records:
        for stage, spent, cached in stages_of(record):
            seconds[stage, cached] += spent / len(records)
    return dict(seconds)


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation over the runs (seeds, repetitions) of an entry.

    ``std`` is None for a single run; ``mean`` None where no run has a value; ``runs`` counts the
    runs, ``values`` those with a value, ``reasons`` why the others have none.
    """

    mean: float | None
    std: float | None
    values: int
    runs: int
    reasons: tuple[str, ...] = ()


def summarise(frame: pd.DataFrame, scope: Scope, entry: Entry, metric: str) -> Summary:
    """The summary of one metric for one entry in one scope (standard deviation with n - 1)."""
    rows = frame[
        (frame["dataset"] == scope.dataset)
        & (frame["backbone"] == scope.backbone)
        & (frame["method"] == entry.method)
        & (frame["variant"] == entry.variant)
        & (frame["explains"] == entry.explains)
    ]
    chosen = rows[(rows["metric"] == metric) | (rows["status"] != "ok")]
    reasons = [str(r) for r in chosen.loc[chosen["value"].isna(), "reason"] if isinstance(r, str)]
    return replace(
        summary_of(chosen["value"].dropna().tolist()),
        runs=len(rows[["seed", "repetition"]].drop_duplicates()),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def summary_of(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation (n - 1) of values, one for each run.

    >>> summary_of([1.0, 3.0])
    Summary(mean=2.0, std=1.4142135623730951, values=2, runs=2, reasons=())
    >>> summary_of([1.0]).std is None, summary_of([]).mean is None
    (True, True)
    """
    n = len(values)
    mean = fmean(values) if n else None
    std = stdev(values) if n > 1 else None
    return Summary(mean, std, values=n, runs=n)


def has_values(frame: pd.DataFrame, metrics: Sequence[str]) -> bool:
    """Whether any of the metrics was measured anywhere."""
    return bool(frame.loc[frame["metric"].isin(list(metrics)), "value"].notna().any())
