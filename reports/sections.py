"""The sections of a report as plain data; Markdown and the web page are written from the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmark.contracts import MetricCard
from reports import case_studies
from reports import comparisons as pairs
from reports.figures import FigureSpec
from reports.heat_maps import heat_map_table
from reports.published import published_table
from reports.records import Entry, Record, Scope, by_entry, scopes_of, titles_of
from reports.tables import (
    ARROWS,
    NONE,
    Cell,
    Column,
    Footnotes,
    Row,
    Table,
    cell_of,
    entries_in_order,
    metric_table,
    number,
)
from reports.tidy import SCALE, finetunings, mean_stages, stage_order, summary_of

# The columns of tables 2 and 3 of the QPM paper, in its order, and of table 1 of the paper on
# representative interpretations. Every other metric has its place in a table of the rest.
COMPACTNESS = ("accuracy", "total_features", "features_per_class")
INTERPRETABILITY = ("sid_at_5", "class_independence", "contrastiveness", "structural_grounding")
HEAT_MAPS = ("average_drop", "average_increase")


@dataclass(frozen=True)
class Placed:
    """A rendered figure and the name (without ending) of its files."""

    name: str
    title: str
    alt: str
    png: bytes
    svg: str


@dataclass(frozen=True)
class ClassPairs:
    """The comparisons of one classifier's most similar classes."""

    label: str
    name: str
    comparisons: tuple[pairs.Comparison, ...]


@dataclass(frozen=True)
class CaseStudies:
    """Some images with what each explainer of one classifier says of them."""

    label: str
    name: str
    cases: tuple[case_studies.Case, ...]
    caption: str = case_studies.CAPTION


@dataclass
class Section:
    """A part of the report: a heading, a few words, tables, figures, comparisons."""

    name: str
    title: str
    intro: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Placed] = field(default_factory=list)
    pairs: list[ClassPairs] = field(default_factory=list)
    studies: list[CaseStudies] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.tables or self.figures or self.pairs or self.studies)


@dataclass(frozen=True)
class Material:
    """What all sections are made of."""

    frame: pd.DataFrame
    records: Sequence[Record]
    cards: Sequence[MetricCard]
    placed: Mapping[tuple[Scope, FigureSpec], Placed]

    @property
    def finished(self) -> list[Record]:
        return [record for record in self.records if record.ok]

    @property
    def classifiers(self) -> list[Record]:
        """Those of finished classifiers."""
        return [record for record in self.finished if record.entry.kind == "classifier"]

    def named(self, names: Sequence[str]) -> list[MetricCard]:
        """The cards of these metrics, in this order."""
        known = {card.name: card for card in self.cards}
        return [known[name] for name in names if name in known]

    def figures(self, section: str) -> list[Placed]:
        return [p for (_, spec), p in self.placed.items() if spec.section == section]


def slug(*parts: str) -> str:
    """A file's name from words.

    >>> slug("table", "toy birds:classes=200", "")
    'table_toy_birds_classes_200'
    """
    text = "_".join(part for part in parts if part)
    return "_".join("".join(c if c.isalnum() or c in "-." else " " for c in text).split())


def backbone_parts(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Records by backbone, with the suffix of their tables' names: none if there is but one."""
    backbones = sorted({record.scope.backbone for record in records})
    return [
        (name if len(backbones) > 1 else "", [r for r in records if r.scope.backbone == name])
        for name in backbones
    ]


def scope_parts(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Records by scope, with the suffix of their files' names: none if there is but one."""
    scopes = scopes_of(records)
    return [
        (slug(*scope) if len(scopes) > 1 else "", [r for r in records if r.scope == scope])
        for scope in scopes
    ]


def _metric_tables(
    material: Material,
    records: Sequence[Record],
    names: Sequence[str],
    file: str,
    title: str,
    order_by: str = "accuracy",
) -> list[Table]:
    tables = []
    for suffix, mine in backbone_parts(records):
        runs = Counter((record.scope, record.entry) for record in mine)
        spread = "Mean ± standard deviation over runs. " if max(runs.values()) > 1 else ""
        backbone, datasets = mine[0].scope.backbone, {r.scope.dataset for r in mine}
        where = f"{', '.join(sorted(datasets))}; backbone {backbone}"
        caption = f"{spread}Best in bold, second best underlined, the reference row apart."
        table = metric_table(
            material.frame,
            mine,
            material.named(names),
            slug(file, suffix),
            f"{title}, {where}",
            caption,
            order_by,
        )
        tables += [table] if table else []
    return tables


def accuracy(material: Material) -> Section:
    return Section(
        "accuracy",
        "Accuracy and compactness",
        "Test accuracy, the number of features in use over all classes, and the mean number of "
        "features (nonzero weights) per class. As table 2 of the QPM paper.",
        # Here also those without a result, so that nobody overlooks what is missing.
        _metric_tables(
            material,
            [record for record in material.records if record.entry.kind == "classifier"],
            COMPACTNESS,
            "accuracy_compactness",
            "Accuracy and compactness",
        ),
        material.figures("compactness"),
    )


def interpretability(material: Material) -> Section:
    return Section(
        "interpretability",
        "Interpretability",
        "How diverse in space (SID@5), independent of single classes, contrastive, and grounded "
        "in the classes' real attributes the features are. As table 3 of the QPM paper.",
        _metric_tables(
            material,
            material.classifiers,
            INTERPRETABILITY,
            "interpretability",
            "Interpretability",
        ),
    )


def class_pairs(material: Material) -> Section:
    section = Section(
        "classes",
        "What tells similar classes apart",
        "The two classes whose sets of features overlap most, as each classifier with binary "
        "weights sees them: its score for a class is the sum of the class's features, so the "
        "features of one class alone are all that tells the two apart. Heat maps are scaled for "
        "each feature over both images. As figure 1 of the QPM paper.",
    )
    for suffix, mine in scope_parts(material.classifiers):
        for entry, records in by_entry(mine).items():
            for record in sorted(records, key=lambda r: (r.seed, r.repetition)):
                found = pairs.read(record.artifacts)
                if found:
                    where = f"{entry.label}, {' with '.join(record.scope)}, seed {record.seed}"
                    name = slug("comparison", entry.method, entry.variant, suffix)
                    section.pairs.append(ClassPairs(where, name, tuple(found)))
                    break
    return section


def other_metrics(material: Material) -> Section:
    shown = {*COMPACTNESS, *INTERPRETABILITY, *HEAT_MAPS}
    names = [c.name for c in material.cards if c.name not in shown and c.scope != "explainer"]
    return Section(
        "other",
        "Further measures",
        "Everything else that was measured.",
        _metric_tables(
            material, material.classifiers, names, "further_measures", "Further measures"
        ),
    )


def heat_maps(material: Material) -> Section:
    measured = [
        record
        for record in material.finished
        if record.entry.kind == "explainer"
        or any((record.metrics.get(name) or {}).get("value") is not None for name in HEAT_MAPS)
    ]
    of_covers = [card for card in material.cards if card.scope == "explainer"]
    tables = [
        heat_map_table(
            material.frame,
            mine,
            [*material.named(HEAT_MAPS), *of_covers],
            slug("average_drop_increase", suffix),
            f"Average drop and increase, backbone {mine[0].scope.backbone}",
            titles_of(material.records),
        )
        for suffix, mine in backbone_parts(measured)
    ]
    return Section(
        "heatmaps",
        "Heat maps put to the test",
        "All but the pixels that a heat map rates highest (20 %) are masked in black. Average "
        "drop: the share of the predicted class's probability that is lost. Average increase: the "
        "share of images on which the probability grows. As table 1 and figure 2 of the paper on "
        "representative interpretations: an explainer interprets a few training images and "
        "draws the test images by what it found there.",
        [table for table in tables if table],
        studies=_studies(material),
    )


def _studies(material: Material) -> list[CaseStudies]:
    """The case studies of each explained classifier, of the first seed that left any."""
    explaining: dict[tuple[Scope, str], list[Record]] = {}
    for record in material.finished:
        if record.entry.explains and case_studies.left_by(record.artifacts):
            explaining.setdefault((record.scope, record.entry.explains), []).append(record)
    titles = titles_of(material.records)
    studies = []
    for (scope, target), records in explaining.items():
        seed = min(record.seed for record in records)
        firsts = {
            entry: min(mine, key=lambda record: record.repetition)
            for entry, mine in by_entry(r for r in records if r.seed == seed).items()
        }
        cases = case_studies.read({entry: r.artifacts for entry, r in firsts.items()})
        where = f"{titles.get(target, target)} on {' with '.join(scope)}, seed {seed}"
        name = slug("case_study", target, *(scope if len(explaining) > 1 else ()))
        studies.append(CaseStudies(f"Case studies: {where}", name, tuple(cases)))
    return studies


def published_numbers(material: Material) -> Section:
    tables = [
        published_table(
            material.frame,
            mine,
            material.named(COMPACTNESS + INTERPRETABILITY),
            slug("published", suffix),
        )
        for suffix, mine in scope_parts(material.classifiers)
    ]
    return Section(
        "published",
        "Claimed and measured",
        "What the papers print for the same dataset, backbone and method, beside what was "
        "measured here.",
        [table for table in tables if table],
    )


def training(material: Material) -> Section:
    tables = [
        table
        for suffix, mine in scope_parts(material.classifiers)
        if (table := finetuning_table(material.frame, mine, slug("finetuning", suffix)))
    ]
    return Section(
        "training",
        "Training",
        "One dense model for each seed is the start of every method; the marks show where a "
        "fine-tuning begins. Accuracy before and after is on the test images.",
        tables,
        material.figures("training"),
    )


def finetuning_table(frame: pd.DataFrame, records: Sequence[Record], name: str) -> Table | None:
    """Accuracy before and after each fine-tuning of each entry of one scope, mean over runs."""
    footnotes, rows, gains = Footnotes(), [], []
    for entry in entries_in_order(frame, records, "accuracy"):
        runs = [finetunings(r) for r in records if r.entry == entry]
        for phases in zip(*runs, strict=False):
            before = [SCALE["percent"] * phase["accuracy_before"] for phase in phases]
            after = [SCALE["percent"] * phase["accuracy_after"] for phase in phases]
            gain = [b - a for a, b in zip(before, after, strict=True)]
            gains += gain
            columns: list[tuple[Sequence[float], str]] = [
                ([len(phase.get("history") or ()) for phase in phases], "count"),
                (before, "percent"),
                (after, "percent"),
                (gain, "percent"),
                ([float(phase.get("seconds") or 0.0) for phase in phases], "seconds"),
            ]
            cells = tuple(
                cell_of(summary_of([float(v) for v in values]), unit, footnotes)
                for values, unit in columns
            )
            rows.append(Row(f"{entry.label}, {phases[0]['name']}", cells, False, entry.method))
    if not rows:
        return None
    lost = sum(gain <= 0 for gain in gains)
    verdict = f"{len(gains) - lost} of {len(gains)} fine-tunings gained accuracy."
    columns_ = (
        Column("Epochs", "count"),
        Column("Before", "percent"),
        Column("After", "percent", ARROWS[True]),
        Column("Gain", "percent", ARROWS[True]),
        Column("Time", "seconds"),
    )
    title = f"Accuracy around each fine-tuning, {', '.join(records[0].scope)}"
    return Table(name, title, verdict, columns_, tuple(rows), corner="Fine-tuning")


def time(material: Material) -> Section:
    return Section(
        "time",
        "Time per stage",
        "Mean over runs. What is hatched, or in parentheses, was found in the cache: it cost its "
        "time once, in an earlier cell or run.",
        [
            table
            for suffix, mine in scope_parts(material.finished)
            if (table := time_table(material.frame, mine, slug("time_per_stage", suffix)))
        ],
        material.figures("time"),
    )


def time_table(frame: pd.DataFrame, records: Sequence[Record], name: str) -> Table | None:
    """Mean seconds of each stage of each entry of one scope; cached ones in parentheses."""
    stages = stage_order(records)
    if not stages:
        return None
    rows = []
    for entry in entries_in_order(frame, records, "accuracy"):
        seconds = mean_stages([record for record in records if record.entry == entry])
        cells = []
        for stage in stages:
            spent, found = seconds.get((stage, False)), seconds.get((stage, True))
            texts = [] if spent is None else [number(spent, "seconds")]
            texts += [] if found is None else [f"({number(found, 'seconds')})"]
            cells.append(Cell(" ".join(texts) or NONE, value=(spent or 0.0) + (found or 0.0)))
        rows.append(Row(entry.label, tuple(cells), entry.reference, entry.method))
    title = f"Seconds per stage, {', '.join(records[0].scope)}"
    return Table(name, title, "", tuple(Column(stage) for stage in stages), tuple(rows))


def solvers(material: Material) -> Section:
    section = Section(
        "solvers",
        "What the solvers report",
        "Objective, bound and gap of an optimisation where there is one, and whatever else a "
        "method says about its fit.",
    )
    for suffix, mine in scope_parts(material.finished):
        for entry, records in by_entry(mine).items():
            table = solver_table(entry, records, suffix)
            section.tables += [table] if table else []
    return section


FIRST = ("objective", "upper_bound", "gap")


def solver_table(entry: Entry, records: Sequence[Record], suffix: str = "") -> Table | None:
    """What the fits of one entry report, a column for each run; None if they report nothing."""
    reports = [flat(record.solver) for record in records]
    names = list(dict.fromkeys(name for report in reports for name in report))
    if not names:
        return None
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    rows = tuple(
        Row(name.replace("_", " "), tuple(Cell(text_of(report.get(name))) for report in reports))
        for name in names
    )
    columns = tuple(
        Column(f"seed {r.seed}" + (f", repetition {r.repetition}" if r.repetition else ""))
        for r in records
    )
    where = ", ".join(records[0].scope)
    name = slug("solver", entry.method, entry.variant, entry.explains, suffix)
    return Table(name, f"{entry.label}, {where}", "", columns, rows, corner="Quantity")


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested JSON as one level; of long lists only the length.

    >>> flat({"gap": 0.1, "layers": [{"n": 1}, {"n": 2}], "path": list(range(99))})
    {'gap': 0.1, 'layers 1 n': 1, 'layers 2 n': 2, 'path': '99 values'}
    """
    if isinstance(value, Mapping):
        parts = [(f"{name} {key}".strip(), inner) for key, inner in value.items()]
    elif isinstance(value, list) and len(value) > 6:
        return {name: f"{len(value)} values"}
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        parts = [(f"{name} {i}", inner) for i, inner in enumerate(value, 1)]
    else:
        return {name: value}
    return {key: leaf for part, inner in parts for key, leaf in flat(inner, part).items()}


def text_of(value: Any) -> str:
    """A leaf of JSON as text.

    >>> text_of(0.123456789), text_of(None), text_of([1, 2.0]), text_of(True), text_of(12)
    ('0.123457', '–', '1, 2', 'yes', '12')
    """
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return NONE if value is None else str(value)


SECTIONS: tuple[Callable[[Material], Section], ...] = (
    accuracy,
    interpretability,
    class_pairs,
    other_metrics,
    heat_maps,
    published_numbers,
    training,
    time,
    solvers,
)
