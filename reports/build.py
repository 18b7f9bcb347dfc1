"""From the folders of runs to a report: CSV, Markdown, LaTeX, figures and one web page."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from benchmark.contracts import MetricCard, Progress, Silent
from reports import case_studies, comparisons, figures, findings, records
from reports.records import Record
from reports.sections import (
    HEAT_MAPS,
    INTERPRETABILITY,
    SECTIONS,
    Material,
    Placed,
    Section,
    scope_parts,
    slug,
    text_of,
)
from reports.style import Style, styles
from reports.tables import to_latex, to_markdown
from reports.tidy import tidy


@dataclass(frozen=True)
class MethodNote:
    """What a reader must know of a method: its paper, parameters, and where it deviates."""

    label: str
    method: str
    where: tuple[str, ...]
    paper: str
    parameters: tuple[tuple[str, str], ...]
    deviations: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """How a run is started again: the command and the configuration that it left."""

    command: str
    config: str


@dataclass(frozen=True)
class Page:
    """Everything that the templates write down."""

    title: str
    findings: list[str]
    caveats: list[str]
    counts: str
    facts: list[tuple[str, str]]
    problems: list[Record]
    sections: list[Section]
    methods: list[MethodNote]
    provenance: list[tuple[str, str]]
    replays: list[Replay]
    styles: dict[str, Style]


def build_report(
    run_folders: Path | Sequence[Path],
    out: Path,
    metric_cards: Sequence[MetricCard],
    progress: Progress | None = None,
) -> list[Path]:
    """Write the report on one run, or on several merged, into the folder ``out``.

    Reads ``RUN/cells/*.json``, ``RUN/artifacts/`` and ``RUN/config.yaml``; writes
    ``results.csv``, ``report.md``, ``report.html``, ``figures/*.png``, ``figures/*.svg`` and
    ``tables/*.tex``, and returns their paths. Every file is written whole or not at all; files
    that are there already are replaced, none is deleted. Raises
    :class:`benchmark.contracts.UserError` for a folder without records or a broken record.
    """
    progress = progress or Silent()
    folders = [run_folders] if isinstance(run_folders, Path) else list(run_folders)
    kept, replaced = records.merge(records.read(folders))
    frame = tidy(kept, metric_cards)
    looks = styles([record.entry for record in kept])
    material = Material(frame, kept, metric_cards, _placed(frame, kept, looks, progress))
    sections = [section(material) for section in SECTIONS]
    page = _page(folders, material, replaced, [s for s in sections if not s.empty], looks)
    return _written(out, partial(_write, page=page, frame=frame, progress=progress))


def _placed(
    frame: pd.DataFrame, kept: Sequence[Record], looks: dict[str, Style], progress: Progress
) -> dict[Any, Placed]:
    placed = {}
    for suffix, mine in scope_parts([record for record in kept if record.ok]):
        drawing = figures.Drawing(frame, mine, looks)
        for spec in progress.track(figures.FIGURES, "figures"):
            drawn = figures.drawn(spec, drawing)
            if drawn:
                title = spec.title + (f", {', '.join(drawing.scope)}" if suffix else "")
                name = slug(spec.name, suffix)
                placed[drawing.scope, spec] = Placed(name, title, spec.alt, *drawn)
    return placed


# ---------------------------------------------------------------------------------- contents


def _page(
    folders: Sequence[Path],
    material: Material,
    replaced: Sequence[Record],
    sections: list[Section],
    looks: dict[str, Style],
) -> Page:
    kept = material.records
    counts = Counter(record.status for record in kept)
    datasets = _distinct(record.scope.dataset for record in kept)
    return Page(
        title="Interpretable image classification on " + ", ".join(datasets),
        findings=findings.findings(
            material.frame, kept, material.cards, INTERPRETABILITY, HEAT_MAPS
        ),
        caveats=findings.caveats(kept, replaced),
        counts=", ".join(f"{counts[s]} {s}" for s in ("ok", "failed", "skipped") if counts[s]),
        facts=[
            ("Datasets", ", ".join(datasets)),
            ("Backbones", ", ".join(_distinct(record.scope.backbone for record in kept))),
            ("Methods", ", ".join(_distinct(record.entry.name for record in kept))),
            ("Seeds", ", ".join(map(str, sorted({record.seed for record in kept})))),
        ],
        problems=[record for record in kept if not record.ok],
        sections=sections,
        methods=_method_notes(kept),
        provenance=_provenance(kept),
        replays=[_replay(folder) for folder in folders],
        styles=looks,
    )


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _method_notes(kept: Sequence[Record]) -> list[MethodNote]:
    """One note for each method and set of parameters, with the scopes that it holds for."""
    notes: dict[tuple[Any, ...], list[str]] = {}
    for record in kept:
        parameters = tuple((name, text_of(v)) for name, v in sorted(record.parameters.items()))
        entry = record.entry
        note = (entry.label, entry.method, record.paper, parameters, record.deviations)
        notes.setdefault(note, []).append(" with ".join(record.scope))
    return [
        MethodNote(label, method, tuple(_distinct(where)), paper, parameters, deviations)
        for (label, method, paper, parameters, deviations), where in notes.items()
    ]


def _provenance(kept: Sequence[Record]) -> list[tuple[str, str]]:
    """Every fact on where the numbers come from, with all the values that it has."""
    found: dict[str, list[str]] = {}
    for record in kept:
        for name, value in record.provenance.items():
            values = found.setdefault(name.replace("_", " "), [])
            text = (
                ", ".join(f"{package} {version}" for package, version in value.items())
                if isinstance(value, dict)
                else text_of(value)
            )
            values += [] if text in values else [text]
    return [(name, _span(sorted(values))) for name, values in found.items()]


def _span(values: Sequence[str], limit: int = 4) -> str:
    """A few values as they are, of many (such as times) the first and the last."""
    return "; ".join(values) if len(values) <= limit else f"{values[0]} … {values[-1]}"


def _replay(folder: Path) -> Replay:
    file = folder / "config.yaml"
    shown = os.path.relpath(file) if file.resolve().is_relative_to(Path.cwd()) else file
    config = file.read_text(encoding="utf-8") if file.exists() else ""
    return Replay(f"python -m benchmark run --config {shown}", config)


# ----------------------------------------------------------------------------------- writing


def _written(out: Path, write: Callable[[Path], None]) -> list[Path]:
    """What ``write(folder)`` makes, brought to ``out`` file by file, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".report.") as name:
        staging = Path(name)
        write(staging)
        for file in sorted(path for path in staging.rglob("*") if path.is_file()):
            target = out / file.relative_to(staging)
            target.parent.mkdir(exist_ok=True)
            os.replace(file, target)
            paths.append(target)
    return paths


def _write(folder: Path, page: Page, frame: pd.DataFrame, progress: Progress) -> None:
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    frame.to_csv(folder / "results.csv", index=False)
    for section in progress.track(page.sections, "sections"):
        for table in section.tables:
            (folder / "tables" / f"{table.name}.tex").write_text(to_latex(table), encoding="utf-8")
        for figure in section.figures:
            _write_figure(folder, figure.name, figure.png, figure.svg)
        pictures: list[tuple[str, Callable[[], Figure]]] = [
            (f"{group.name}_{place}", partial(comparisons.figure, comparison))
            for group in section.pairs
            for place, comparison in enumerate(group.comparisons, 1)
        ]
        pictures += [
            (f"{study.name}_{place}", partial(case_studies.figure, case))
            for study in section.studies
            for place, case in enumerate(study.cases, 1)
        ]
        for name, draw in pictures:
            with mpl.rc_context(figures.RC):
                _write_figure(folder, name, *figures.render(draw()))
    # LaTeX and Markdown are not HTML: only the page's template escapes.
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=lambda name: bool(name) and "html" in str(name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown"] = to_markdown
    environment.filters["inline"] = lambda svg, prefix: Markup(figures.inline(svg, prefix))
    environment.filters["jpeg"] = jpeg
    assets = {name: _asset(f"report.{name}") for name in ("css", "js")}
    for name in ("report.md", "report.html"):
        text = environment.get_template(f"{name}.jinja").render(page=page, assets=assets)
        (folder / name).write_text(text, encoding="utf-8")


def _write_figure(folder: Path, name: str, png: bytes, svg: str) -> None:
    (folder / "figures" / f"{name}.png").write_bytes(png)
    (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")


def _asset(name: str) -> Markup:
    return Markup((files("reports") / "templates" / name).read_text(encoding="utf-8"))


def jpeg(pixels: np.ndarray) -> str:
    """An image (H, W, 3) uint8 as a ``data:`` address, so that the page needs no other file.

    >>> jpeg(np.zeros((8, 8, 3), np.uint8))[:27]
    'data:image/jpeg;base64,/9j/'
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
