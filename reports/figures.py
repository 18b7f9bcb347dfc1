"""Figures: each a function from records to a matplotlib figure, or None where there is no data.

To add one, write such a function and name it in :data:`FIGURES`. Figures are drawn at the width
of a phone's page, one panel each, so that the page can set them side by side or below each other.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmark.progress import duration
from reports.records import Entry, Record, Scope, by_entry, scopes_of
from reports.style import INK, MUTED, RULE, SERIES, SURFACE, Style
from reports.tidy import mean_stages, stage_order, summarise

WIDTH, HEIGHT = 4.7, 3.3  # inches

RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "svg.fonttype": "none",  # text stays text: selectable, and in the font of the page
    "svg.hashsalt": "report",  # the same figure is the same file
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": SURFACE,
    "axes.facecolor": SURFACE,
    "savefig.facecolor": SURFACE,
    "hatch.linewidth": 0.8,
}


@dataclass(frozen=True)
class Drawing:
    """What a figure may read: the tidy frame, the records of one scope that finished, styles."""

    frame: pd.DataFrame
    records: Sequence[Record]
    styles: Mapping[str, Style]

    @property
    def scope(self) -> Scope:
        return scopes_of(self.records)[0]

    @property
    def entries(self) -> dict[Entry, list[Record]]:
        return by_entry(self.records)

    @property
    def classifiers(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == "classifier"]


@dataclass(frozen=True)
class FigureSpec:
    """A figure: its file's name, its title and what to see in it, and who draws it."""

    name: str
    section: str
    title: str
    alt: str
    draw: Callable[[Drawing], Figure | None]


def _blank(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=RULE, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return figure, axes


# --------------------------------------------------------------------------- compactness


def accuracy_against(metric: str, label: str) -> Callable[[Drawing], Figure | None]:
    """A figure of accuracy over a compactness measure: a mark for each entry, bars for the spread
    over runs, lines between variants of one method, the references as dashed lines (they would
    squeeze the rest to the left)."""

    def draw(drawing: Drawing) -> Figure | None:
        points = []
        for entry in drawing.classifiers:
            x = summarise(drawing.frame, drawing.scope, entry, metric)
            y = summarise(drawing.frame, drawing.scope, entry, "accuracy")
            if x.mean and y.mean is not None:  # a log scale has no place for zero features
                points.append((entry, x.mean, y.mean, x.std or 0.0, y.std or 0.0))
        rivals = [point for point in points if not point[0].reference]
        if not rivals:
            return None
        figure, axes = _blank()
        axes.set_xscale("log")
        for entry, x_mean, y_mean, _, _ in points:
            if entry.reference:
                text = f"{entry.label}, {x_mean:.0f} features: {y_mean:.1f} %"
                axes.axhline(y_mean, color=drawing.styles[entry.method].colour, linestyle="--")
                axes.annotate(
                    text, (0.99, y_mean), xycoords=("axes fraction", "data"), xytext=(0, 3),
                    textcoords="offset points", ha="right", color=MUTED, fontsize=8,
                )  # fmt: skip
        for method in dict.fromkeys(entry.method for entry, *_ in rivals):
            mine = sorted((p for p in rivals if p[0].method == method), key=lambda p: p[1])
            style = drawing.styles[method]
            x, y, x_std, y_std = np.array([point[1:] for point in mine]).T
            axes.errorbar(
                x, y, xerr=x_std, yerr=y_std, color=style.colour, marker=style.mark,
                markersize=7, markeredgecolor=SURFACE, linewidth=1, capsize=2, zorder=3,
            )  # fmt: skip
        _widen(axes, [p[1] for p in rivals], [p[2] for p in points])
        _label_points(figure, axes, rivals, drawing.styles)
        axes.set_xlabel(label)
        axes.set_ylabel("Accuracy [%]")
        return figure

    return draw


def _widen(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Room around the points, and ticks that read as numbers."""
    axes.set_xlim(min(x) / 1.6, max(x) * 2.6)
    slack = max(0.18 * (max(y) - min(y)), 1.0)
    axes.set_ylim(min(y) - slack, max(y) + slack)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(6))


def _label_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[Entry, float, float, float, float]],
    styles: Mapping[str, Style],
) -> None:
    """Names right of the points, moved apart vertically where points are close."""
    figure.draw_without_rendering()  # settles the layout, so that data can be told in pixels
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    places = [to_pixels((x, y)) for _, x, y, _, _ in points]
    heights = spread([place[1] for place in places], gap=figure.dpi * 0.17)
    for (entry, x, y, _, _), place, height in zip(points, places, heights, strict=True):
        at = to_data((place[0] + figure.dpi * 0.22, height))
        colour = styles[entry.method].colour
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 5}
        axes.annotate(
            entry.label, (x, y), xytext=(float(at[0]), float(at[1])), color=INK, va="center",
            arrowprops=line,
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved as little as a few sweeps find, so that neighbours are ``gap`` apart.

    >>> spread([0.0, 0.0, 10.0], gap=2.0)
    [-1.0, 1.0, 10.0]
    """
    order = np.argsort(heights, kind="stable")
    placed: list[list[float]] = []  # clusters of wishes that touch; each is centred on its wishes
    for height in np.asarray(heights, dtype=float)[order]:
        placed.append([float(height)])
        while len(placed) > 1 and _low(placed[-1], gap) - _high(placed[-2], gap) < gap - 1e-9:
            placed[-2:] = [placed[-2] + placed[-1]]
    flat = [_low(group, gap) + i * gap for group in placed for i in range(len(group))]
    result = np.empty(len(flat))
    result[order] = flat
    return result.tolist()


def _low(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _high(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2


# ------------------------------------------------------------------------------ training


def training_curve(
    quantity: str, label: str, reference: bool
) -> Callable[[Drawing], Figure | None]:
    """A figure of a quantity over epochs, a thin line for each run; several phases (fine-tunings)
    follow each other with a gap, where the sparse layer was made anew."""

    def draw(drawing: Drawing) -> Figure | None:
        figure, axes = _blank()
        scale = 100.0 if quantity == "accuracy" else 1.0
        shown: dict[str, str] = {}
        for entry, records in drawing.entries.items():
            if entry.reference != reference:
                continue
            style = drawing.styles[entry.method]
            for record in records:
                x, y, starts = _curve(record, quantity)
                if not np.isfinite(y).any():
                    continue
                axes.plot(
                    x, scale * y, color=style.colour, linewidth=1.3, alpha=0.85, markersize=6,
                    marker=style.mark, markeredgecolor=SURFACE,
                    markevery=[] if reference else starts,
                )  # fmt: skip
                shown[entry.method] = entry.title
        if not shown:
            return None
        axes.set_xlabel("Epoch" if reference else "Fine-tuning epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, shown, drawing.styles)
        return figure

    return draw


def _curve(record: Record, quantity: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Epochs over all phases, the quantity (NaN between phases), where each phase starts."""
    x: list[float] = []
    y: list[float] = []
    starts: list[int] = []
    done = 0
    for phase in record.phases:
        history = phase.get("history") or []
        starts.append(len(x))
        for step, line in enumerate(history, 1):
            value = line.get(quantity)
            x.append(float(done + step))
            y.append(np.nan if value is None else float(value))
        done += len(history)
        x.append(done + 0.5)
        y.append(np.nan)
    return np.array(x), np.array(y), starts


def _legend(figure: Figure, names: Mapping[str, str], styles: Mapping[str, Style]) -> None:
    handles = [
        Line2D([], [], color=styles[method].colour, marker=styles[method].mark, label=title)
        for method, title in names.items()
    ]
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False)


# --------------------------------------------------------------------------------- times


def times(drawing: Drawing) -> Figure | None:
    """Seconds per stage as stacked bars, mean over runs; what was found in the cache (and cost
    its seconds in an earlier cell or run) is hatched."""
    stages = stage_order(drawing.records)
    bars = {entry: mean_stages(records) for entry, records in drawing.entries.items()}
    bars = {entry: seconds for entry, seconds in bars.items() if seconds}
    if not bars:
        return None
    figure, axes = _blank(1.5 * WIDTH, 1.3 + 0.36 * len(bars))
    colours = {stage: SERIES[i % len(SERIES)] for i, stage in enumerate(stages)}
    in_minutes = max(sum(seconds.values()) for seconds in bars.values()) > 300
    unit = 60.0 if in_minutes else 1.0
    for place, seconds in enumerate(bars.values()):
        left = 0.0
        for stage, cached in sorted(seconds, key=lambda key: stages.index(key[0])):
            width = seconds[stage, cached] / unit
            axes.barh(
                place, width, left=left, height=0.62, linewidth=0.8,
                facecolor=SURFACE if cached else colours[stage], edgecolor=colours[stage],
                hatch="////" if cached else None,
            )  # fmt: skip
            left += width
        axes.annotate(
            duration(sum(seconds.values())), (left, place), xytext=(4, 0),
            textcoords="offset points", va="center", color=MUTED, fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [entry.label for entry in bars], color=INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    axes.set_xlabel("Minutes" if in_minutes else "Seconds")
    handles = [Patch(facecolor=colours[stage], label=stage) for stage in stages]
    found = Patch(facecolor=SURFACE, edgecolor=MUTED, hatch="////", label="found in the cache")
    handles.append(found)
    columns = len(handles) if len(handles) < 7 else (len(handles) + 1) // 2
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, frameon=False, fontsize=8
    )
    return figure


FIGURES: tuple[FigureSpec, ...] = (
    FigureSpec(
        "accuracy_features_per_class",
        "compactness",
        "Accuracy against features per class",
        "A mark for each method: further left is more compact, further up more accurate.",
        accuracy_against("features_per_class", "Features per class (log scale)"),
    ),
    FigureSpec(
        "accuracy_total_features",
        "compactness",
        "Accuracy against total features",
        "A mark for each method: further left is more compact, further up more accurate.",
        accuracy_against("total_features", "Features in use, all classes (log scale)"),
    ),
    FigureSpec(
        "training_accuracy_reference",
        "training",
        "Dense training: accuracy",
        "Accuracy on the training batches after each epoch of dense training.",
        training_curve("accuracy", "Training accuracy [%]", reference=True),
    ),
    FigureSpec(
        "training_loss_reference",
        "training",
        "Dense training: loss",
        "Training loss after each epoch of dense training.",
        training_curve("loss", "Training loss", reference=True),
    ),
    FigureSpec(
        "training_accuracy_finetuning",
        "training",
        "Fine-tuning: accuracy",
        "Accuracy on the training batches after each epoch of fine-tuning, a line for each run.",
        training_curve("accuracy", "Training accuracy [%]", reference=False),
    ),
    FigureSpec(
        "training_loss_finetuning",
        "training",
        "Fine-tuning: loss",
        "Training loss after each epoch of fine-tuning, a line for each run.",
        training_curve("loss", "Training loss", reference=False),
    ),
    FigureSpec(
        "time_per_stage",
        "time",
        "Time per stage",
        "Stacked bars: the seconds each stage took for each method; hatched where it was cached.",
        times,
    ),
)


# ------------------------------------------------------------------------------- writing


def render(figure: Figure, dpi: int = 200) -> tuple[bytes, str]:
    """The figure as PNG bytes and as SVG text, both on the light surface, without a date."""
    image, vector = io.BytesIO(), io.StringIO()
    figure.savefig(image, format="png", dpi=dpi)
    figure.savefig(vector, format="svg", metadata={"Date": None})
    return image.getvalue(), vector.getvalue()


def drawn(spec: FigureSpec, drawing: Drawing) -> tuple[bytes, str] | None:
    """A figure rendered as PNG and SVG, or None where it has no data."""
    with mpl.rc_context(RC):
        figure = spec.draw(drawing)
        return None if figure is None else render(figure)


def inline(svg: str, prefix: str) -> str:
    """An SVG file's text made fit to stand in a page: no prologue, ids of its own, and the colours
    of the page (CSS variables) instead of those of a light page.

    >>> inline('<?xml version="1.0"?><svg id="a" style="fill: #1c2126"/>', "f1")
    '<svg id="f1-a" style="fill: var(--ink)"/>'
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    swaps = {INK: "ink", MUTED: "muted", RULE: "rule", SURFACE: "surface"}
    for colour, name in swaps.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
