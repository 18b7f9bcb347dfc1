"""Published numbers beside the measured ones: what was claimed next to what came out here.

``published.csv`` is a transcription of tables 2 and 3 of the QPM paper (ICLR 2025), one printed
number a row, in per cent or counts as printed; ``n_seeds`` is the number of seeds the paper gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import pandas as pd

from benchmark.contracts import MetricCard
from reports.records import Record, scopes_of
from reports.tables import Cell, Column, Footnotes, Row, Table, cell_of, entries_in_order, number
from reports.tidy import summarise

SOURCE = "QPM paper (ICLR 2025), tables 2 and 3"


def published() -> pd.DataFrame:
    """The published numbers: source, table, dataset, backbone, method, metric, mean, unit, n_seeds.

    >>> published().query("dataset == 'cub' and method == 'dense'")["mean"].tolist()[0]
    86.6
    """
    with (files("reports") / "published.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def published_table(
    frame: pd.DataFrame, records: Sequence[Record], cards: Sequence[MetricCard], name: str
) -> Table | None:
    """Measured and published side by side, for the entries of one scope that have a published
    number; only methods as they are by default, for that is what the papers print."""
    scope = scopes_of(records)[0]
    claims = published()
    claims = claims[(claims["dataset"] == scope.dataset) & (claims["backbone"] == scope.backbone)]
    entries = [
        entry
        for entry in entries_in_order(frame, records, "accuracy")
        if not entry.variant and not entry.explains and entry.method in set(claims["method"])
    ]
    shown = [card for card in cards if card.name in set(claims["metric"])]
    if not entries or not shown:
        return None
    claimed = claims.set_index(["method", "metric"])["mean"].to_dict()
    footnotes = Footnotes()
    presets = {record.entry: record.parameters.get("preset", "paper") for record in records}
    quick = {e: "" if preset == "paper" else f", preset {preset}" for e, preset in presets.items()}
    rows = []
    for entry in entries:
        cells = []
        for card in shown:
            measured = summarise(frame, scope, entry, card.name)
            cells.append(cell_of(measured, card.unit, footnotes))
            claim = claimed.get((entry.method, card.name))
            text = "–" if claim is None else number(float(claim), card.unit)
            cells.append(Cell(text, value=claim))
        rows.append(Row(entry.label + quick[entry], tuple(cells), entry.reference, entry.method))
    columns = tuple(
        Column(title, group=Column(card.title, card.unit).heading)
        for card in shown
        for title in ("here", "paper")
    )
    caption = f"Published: {SOURCE}, means over the seeds given there."
    title = f"Published and measured, {scope.dataset}, {scope.backbone}"
    return Table(name, title, caption, columns, tuple(rows), tuple(footnotes.texts))
