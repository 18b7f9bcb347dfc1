"""Tables as plain data, made from the tidy frame, and written as Markdown or LaTeX.

The web page writes the same data through its template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import pandas as pd

from benchmark.contracts import MetricCard
from reports.records import Entry, Record, Scope, by_entry, scopes_of
from reports.tidy import Summary, summarise

ARROWS = {True: "↑", False: "↓", None: ""}
DECIMALS = {"percent": 1, "count": 1, "fraction": 3, "seconds": 1}
NONE = "–"


@dataclass(frozen=True)
class Column:
    """A column: its title, the unit and direction of its values, what it stands under."""

    title: str
    unit: str = ""
    arrow: str = ""
    group: str = ""

    @property
    def heading(self) -> str:
        """The title with its unit where that has to be said.

        >>> Column("Accuracy", "percent", "↑").heading
        'Accuracy [%] ↑'
        """
        unit = {"percent": "[%]", "seconds": "[s]"}.get(self.unit, "")
        return " ".join(part for part in (self.title, unit, self.arrow) if part)


@dataclass(frozen=True)
class Cell:
    """A value as shown. ``mark`` is ``"best"``, ``"second"`` or empty, ``footnote`` counts from 1,
    ``value`` is what the column is sorted by."""

    text: str
    spread: str = ""
    mark: str = ""
    footnote: int | None = None
    note: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of a table; ``apart`` sets it off from the lines that compete. Neighbouring lines of
    one ``group`` stand together under its name."""

    head: str
    cells: tuple[Cell, ...]
    apart: bool = False
    method: str = ""
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table, ready to be written. ``name`` is its file's name without ending."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    corner: str = "Method"

    @property
    def grouped(self) -> bool:
        return any(column.group for column in self.columns)

    @property
    def groups(self) -> list[tuple[Column, int]]:
        """Neighbouring columns under one heading: the heading and how many it spans."""
        spans: list[tuple[Column, int]] = []
        for column in self.columns:
            if spans and spans[-1][0].group == column.group:
                spans[-1] = (spans[-1][0], spans[-1][1] + 1)
            else:
                spans.append((column, 1))
        return spans

    @property
    def row_groups(self) -> list[tuple[str, list[Row]]]:
        """Neighbouring lines under one name; a single group without a name where there is none."""
        return [(name, list(rows)) for name, rows in groupby(self.rows, lambda row: row.group)]


@dataclass
class Footnotes:
    """Numbers reasons as they come, the same reason once."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def number(value: float, unit: str) -> str:
    """A value in its unit's usual precision; whole counts without decimals.

    >>> number(93.04, "percent"), number(20.0, "count"), number(4.96, "count")
    ('93.0', '20', '5.0')
    """
    if unit == "count" and float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.{DECIMALS.get(unit, 3)}f}"


def cell_of(summary: Summary, unit: str, footnotes: Footnotes) -> Cell:
    """A summary as a cell: mean, spread, and footnotes on what is missing."""
    why = " ".join(summary.reasons)
    if summary.mean is None:
        text = why or "not measured"
        return Cell(NONE, footnote=footnotes.number(text), note=text)
    text, note, footnote = number(summary.mean, unit), "", None
    if summary.values < summary.runs:
        note = f"Mean over {summary.values} of {summary.runs} runs; {why or 'the rest failed'}"
        footnote = footnotes.number(note)
    spread = "" if summary.std is None else _spread(summary, unit)
    return Cell(text, spread, footnote=footnote, note=note, value=summary.mean)


def _spread(summary: Summary, unit: str) -> str:
    if summary.std == 0 and unit == "count":
        return ""  # "5 ± 0" says nothing that "5" does not
    decimals = DECIMALS.get(unit, 3)
    return f"± {summary.std:.{decimals}f}"


def marked(cells: Sequence[Cell], rivals: Sequence[bool], better: bool | None) -> list[Cell]:
    """The cells with the best and second best among the rivals marked, ties together.

    Values that are printed alike count as equal. Nothing is marked without a direction or where
    fewer than two values differ: being the best of equals means nothing.

    >>> cells = [Cell("3", value=3), Cell("1", value=1), Cell("2", value=2)]
    >>> [cell.mark for cell in marked(cells, [True, True, True], better=True)]
    ['best', '', 'second']
    """
    competes = [rival and cell.value is not None for cell, rival in zip(cells, rivals, strict=True)]
    printed = {float(c.text) for c, competing in zip(cells, competes, strict=True) if competing}
    if better is None or len(printed) < 2:
        return list(cells)
    best, second, *_ = sorted(printed, reverse=better)
    marks = {best: "best", second: "second"}
    return [
        replace(cell, mark=marks.get(float(cell.text), "")) if competing else cell
        for cell, competing in zip(cells, competes, strict=True)
    ]


def entries_in_order(frame: pd.DataFrame, records: Iterable[Record], metric: str) -> list[Entry]:
    """Entries of the records: references first, then by their mean in the metric, best first."""
    records = list(records)
    scopes = scopes_of(records)

    def score(entry: Entry) -> float:
        means = [summarise(frame, scope, entry, metric).mean for scope in scopes]
        present = [mean for mean in means if mean is not None]
        return -sum(present) / len(present) if present else float("inf")

    return sorted(by_entry(records), key=lambda e: (not e.reference, score(e), e.label))


def metric_table(
    frame: pd.DataFrame,
    records: Sequence[Record],
    cards: Sequence[MetricCard],
    name: str,
    title: str,
    caption: str,
    order_by: str = "accuracy",
) -> Table | None:
    """Entries against metrics, for the records of one backbone; None if nothing was measured.

    With several datasets each metric has a column per dataset, as in the papers.
    """
    scopes = scopes_of(records)
    measured = set(frame.loc[frame["value"].notna(), "metric"])
    cards = [card for card in cards if card.name in measured]
    entries = entries_in_order(frame, records, order_by)
    if not cards or not entries:
        return None
    footnotes = Footnotes()
    columns, columns_of_cells = [], []
    for card in cards:
        for scope in scopes:
            columns.append(_column(card, scope, grouped=len(scopes) > 1))
            summaries = [summarise(frame, scope, entry, card.name) for entry in entries]
            cells = [cell_of(summary, card.unit, footnotes) for summary in summaries]
            rivals = [not entry.reference for entry in entries]
            columns_of_cells.append(marked(cells, rivals, card.higher_is_better))
    rows = tuple(
        Row(entry.label, tuple(cells), entry.reference, entry.method)
        for entry, cells in zip(entries, zip(*columns_of_cells, strict=True), strict=True)
    )
    return Table(name, title, caption, tuple(columns), rows, tuple(footnotes.texts))


def _column(card: MetricCard, scope: Scope, grouped: bool) -> Column:
    arrow = ARROWS[card.higher_is_better]
    if not grouped:
        return Column(card.title, card.unit, arrow)
    heading = Column(card.title, card.unit, arrow).heading
    return Column(scope.dataset, group=heading)


# ------------------------------------------------------------------------------------ Markdown


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown: best bold, second underlined, footnotes below.

    >>> cells = (Cell("1.0", mark="best"), Cell("–", footnote=1))
    >>> rows = (Row("a|b", cells),)
    >>> print(to_markdown(Table("t", "T", "", (Column("x"), Column("y")), rows, ("none",))))
    | Method | x | y |
    | --- | ---: | ---: |
    | a\\|b | **1.0** | –<sup>1</sup> |
    <BLANKLINE>
    <sup>1</sup> none
    """
    heads = [f"{c.group} · {c.title}" if c.group else c.heading for c in table.columns]
    lines = [[table.corner, *heads], ["---"] + ["---:"] * len(heads)]
    for group, rows in table.row_groups:
        lines += [[f"**{_plain(group)}**", *[""] * len(heads)]] if group else []
        lines += [
            [
                f"*{_plain(row.head)}*" if row.apart else _plain(row.head),
                *map(_markdown_cell, row.cells),
            ]
            for row in rows
        ]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = [f"<sup>{i}</sup> {_plain(note)}" for i, note in enumerate(table.footnotes, 1)]
    return text + ("\n\n" + "<br>\n".join(notes) if notes else "")


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}


def _markdown_cell(cell: Cell) -> str:
    text = MARKDOWN[cell.mark].format(_plain(cell.text))
    footnote = f"<sup>{cell.footnote}</sup>" if cell.footnote else ""
    return " ".join(filter(None, [text, cell.spread])) + footnote


# --------------------------------------------------------------------------------------- LaTeX

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "·": r"\textperiodcentered{}",
    "–": "--",
    "−": "$-$",
    "…": r"\dots{}",
}
LATEX_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is.

    >>> escape_latex("a_b & 50 %")
    'a\\\\_b \\\\& 50 \\\\%'
    """
    return "".join(LATEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    """The table as a LaTeX ``table`` with booktabs (``\\usepackage{booktabs}``)."""
    n = len(table.columns)
    head = []
    if table.grouped:
        cells, rules, start = [""], [], 2
        for column, span in table.groups:
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(column.group)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + span - 1}}}")
            start += span
        head = [" & ".join(cells) + r" \\", " ".join(rules)]
    titles = [escape_latex(text) for text in (table.corner, *(c.heading for c in table.columns))]
    body: list[str] = []
    for group, rows in table.row_groups:
        if group:
            body += [r"\midrule"] if body else []
            body.append(rf"\multicolumn{{{n + 1}}}{{l}}{{\emph{{{escape_latex(group)}}}}} \\")
        for place, row in enumerate(rows):
            if place and rows[place - 1].apart and not row.apart:
                body.append(r"\midrule")
            cells = [escape_latex(row.head), *map(_latex_cell, row.cells)]
            body.append(" & ".join(cells) + r" \\")
    notes = [
        rf"\par\footnotesize\textsuperscript{{{i}}} {escape_latex(note)}"
        for i, note in enumerate(table.footnotes, 1)
    ]
    caption = escape_latex(f"{table.title}. {table.caption}".strip())
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{l{'r' * n}}}",
        r"\toprule",
        *head,
        " & ".join(titles) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = LATEX_MARKS[cell.mark] % escape_latex(cell.text)
    footnote = rf"\textsuperscript{{{cell.footnote}}}" if cell.footnote else ""
    return " ".join(filter(None, [text, escape_latex(cell.spread)])) + footnote


def details_table(
    name: str, title: str, rows: Mapping[str, Mapping[str, str]], corner: str
) -> Table | None:
    """A table of texts, e.g. solver reports: row -> column -> text; None if there are no rows."""
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    if not columns:
        return None
    body = tuple(
        Row(head, tuple(Cell(cells.get(column, NONE)) for column in columns))
        for head, cells in rows.items()
    )
    return Table(name, title, "", tuple(Column(c) for c in columns), body, corner=corner)
