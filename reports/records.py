"""Records of cells, read from run folders, and the lines of the tables that they fall into.

A record is the JSON that the harness writes for one cell, ``RUN/cells/<key>.json``. Records that
differ in seed and repetition alone make one *entry*: one row of a table, one mark of a figure.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.contracts import UserError


class Scope(NamedTuple):
    """What results are compared within: one dataset seen through one backbone."""

    dataset: str
    backbone: str


@dataclass(frozen=True)
class Entry:
    """A row of a table: a method in one variant, and for an explainer what it explains.

    >>> Entry("m", "", "", title="My method", kind="classifier").label
    'My method'
    >>> Entry("m", "k=3", "dense", title="Mine", kind="explainer").label
    'Mine (k=3), explaining dense'
    """

    method: str
    variant: str
    explains: str
    title: str = field(compare=False)
    kind: str = field(compare=False)
    reference: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """The method with its variant, whatever it explains."""
        return f"{self.title} ({self.variant})" if self.variant else self.title

    @property
    def label(self) -> str:
        return f"{self.name}, explaining {self.explains}" if self.explains else self.name


@dataclass(frozen=True)
class Record:
    """One cell: what it was, how it ended, what was measured. ``folder`` is its run's folder.

    ``metrics`` maps a metric's name to ``{"value": float or None, "reason": str or None}``.
    """

    key: str
    status: str
    reason: str | None
    scope: Scope
    entry: Entry
    seed: int
    repetition: int
    folder: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    deviations: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    solver: Mapping[str, Any] = field(default_factory=dict)
    phases: tuple[Mapping[str, Any], ...] = ()
    timings: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def started(self) -> str:
        """When it was made (ISO 8601), by which of two records for one cell the newer is told."""
        return str(self.provenance.get("started") or self.provenance.get("time") or "")

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts" / self.key


def from_json(data: Mapping[str, Any], folder: Path) -> Record:
    """A record from its JSON; what is optional may be missing or null.

    >>> cell = {"dataset": "d", "backbone": "b", "method": "m", "seed": 1}
    >>> from_json({"key": "1f", "status": "ok", "cell": cell}, Path("runs/a")).entry.label
    'm'
    """
    cell = data["cell"]
    fit = data.get("fit") or {}
    preset = {"preset": cell["preset"]} if cell.get("preset") else {}
    entry = Entry(
        method=cell["method"],
        variant=cell.get("variant") or "",
        explains=cell.get("explains") or "",
        title=cell.get("title") or cell["method"],
        kind=cell.get("kind") or "classifier",
        reference=bool(cell.get("reference")),
    )
    return Record(
        key=data["key"],
        status=data["status"],
        reason=data.get("reason"),
        scope=Scope(cell["dataset"], cell["backbone"]),
        entry=entry,
        seed=cell["seed"],
        repetition=cell.get("repetition") or 0,
        folder=folder,
        parameters=preset | dotted(cell.get("parameters") or {}),
        paper=cell.get("paper") or "",
        deviations=tuple(cell.get("deviations") or ()),
        metrics=data.get("metrics") or {},
        solver=fit.get("report") or {},
        phases=tuple(fit.get("phases") or ()),
        timings=tuple(data.get("timings") or ()),
        provenance=data.get("provenance") or {},
    )


def dotted(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Groups of parameters as one level, named as on the command line.

    >>> dotted({"dense": {"epochs": 30}, "n_wc": 5})
    {'dense.epochs': 30, 'n_wc': 5}
    """
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        inner = isinstance(value, Mapping)
        flat |= dotted(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def read(run_folders: Iterable[Path]) -> list[Record]:
    """All records of the run folders, in the order of folders and keys.

    Raises :class:`UserError` naming the folder that holds no records, or the file that is none.
    """
    records = []
    for folder in map(Path, run_folders):
        files = sorted((folder / "cells").glob("*.json"))
        if not files:
            raise UserError(
                f"There are no records in {folder / 'cells'}: give the folder of a run that has "
                "finished at least one cell (runs/NAME)."
            )
        records += [_read_one(file, folder) for file in files]
    return records


def _read_one(file: Path, folder: Path) -> Record:
    try:
        return from_json(json.loads(file.read_text(encoding="utf-8")), folder)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is not the record of a cell ({type(error).__name__}: {error}): delete it and "
            "run again to have it written anew."
        ) from error


def merge(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Records fit to be laid side by side, and those that a newer record of the same cell replaces.

    Two records are of the same cell if scope, method, variant, parameters, seed and repetition
    agree; the newer one is kept. Where runs used one method with different parameters under the
    same variant, the entries are told apart by parameters in which they differ, so that numbers of
    different settings are never averaged.
    """
    kept: dict[tuple[Any, ...], Record] = {}
    replaced = []
    for record in sorted(_told_apart(records), key=lambda r: (r.started, r.key)):
        cell = (record.scope, record.entry, record.seed, record.repetition)
        if cell in kept:
            replaced.append(kept[cell])
        kept[cell] = record
    order = sorted(kept.values(), key=lambda r: (r.scope, r.entry.label, r.seed, r.repetition))
    return order, replaced


def _told_apart(records: Sequence[Record]) -> list[Record]:
    groups: dict[tuple[Scope, Entry], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.scope, record.entry].append(record)
    result = []
    for group in groups.values():
        telling = telling_names([record.parameters for record in group])
        for record in group:
            shown = [f"{name}={record.parameters.get(name)}" for name in telling]
            variant = ", ".join(filter(None, [record.entry.variant, *shown]))
            result.append(replace(record, entry=replace(record.entry, variant=variant)))
    return result


def telling_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of parameters, as few as come first, whose values tell all different settings apart.

    >>> telling_names([{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 2}])
    ['b']
    >>> telling_names([{"a": 1}, {"a": 1}])
    []
    """

    def kinds(names: Sequence[str]) -> int:
        return len({tuple(repr(setting.get(name)) for name in names) for setting in settings})

    names = list(dict.fromkeys(name for setting in settings for name in setting))
    telling: list[str] = []
    for name in names:
        if kinds(telling) == kinds(names):
            break
        if kinds([*telling, name]) > kinds(telling):
            telling.append(name)
    return telling


def scopes_of(records: Iterable[Record]) -> list[Scope]:
    """The scopes that occur, sorted."""
    return sorted({record.scope for record in records})


def titles_of(records: Iterable[Record]) -> dict[str, str]:
    """The title of each method that occurs, by its name.

    >>> titles_of([])
    {}
    """
    return {record.entry.method: record.entry.title for record in records}


def by_entry(records: Iterable[Record]) -> dict[Entry, list[Record]]:
    """Records grouped by entry, the reference first, then by label.

    >>> by_entry([])
    {}
    """
    groups: dict[Entry, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.entry].append(record)
    return {e: groups[e] for e in sorted(groups, key=lambda e: (not e.reference, e.label))}
