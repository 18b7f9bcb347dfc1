"""How well heat maps hold what a classifier goes by: table 1 of Lam et al. (ICCV 2021).

Heat maps are compared with each other only where they explain the same classifier on the same
data, since both measures depend on the classifier's scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.contracts import MetricCard
from reports.records import Entry, Record, Scope, by_entry, scopes_of
from reports.tables import ARROWS, Column, Footnotes, Row, Table, cell_of, marked
from reports.tidy import Summary, summarise


@dataclass(frozen=True)
class Rivals:
    """Rows that stand together: each an entry and its name; references may stand apart."""

    name: str
    scope: Scope
    heads: dict[Entry, str]
    references_apart: bool = False

    def apart(self, entry: Entry) -> bool:
        return self.references_apart and entry.reference


def heat_map_table(
    frame: pd.DataFrame,
    records: Sequence[Record],
    cards: Sequence[MetricCard],
    name: str,
    title: str,
    titles: Mapping[str, str],
) -> Table | None:
    """Heat maps against metrics, grouped by dataset and explained classifier; None without any.

    Args:
        frame: of :func:`reports.tidy.tidy`.
        records: of one backbone: explainers, and classifiers with heat maps of their own.
        cards: of the metrics, the first one deciding the order of the rows.
        name: of the table's file.
        title: of the table.
        titles: of the methods, by their names; the explained one need not be among the records.
    """
    groups = list(_groups(records, titles))
    summaries = {
        (group.scope, entry, card.name): summarise(frame, group.scope, entry, card.name)
        for group in groups
        for entry in group.heads
        for card in cards
    }
    seen = {metric for (_, _, metric), found in summaries.items() if found.mean is not None}
    cards = [card for card in cards if card.name in seen]
    if not cards:
        return None
    footnotes, rows = Footnotes(), []
    for group in groups:
        entries = _in_order(group, cards[0], summaries)
        rivals = [not group.apart(entry) for entry in entries]
        columns = [
            marked(
                [
                    cell_of(summaries[group.scope, entry, card.name], card.unit, footnotes)
                    for entry in entries
                ],
                rivals,
                card.higher_is_better,
            )
            for card in cards
        ]
        rows += [
            Row(group.heads[entry], tuple(cells), group.apart(entry), entry.method, group.name)
            for entry, cells in zip(entries, zip(*columns, strict=True), strict=True)
        ]
    spread = any((summary.std or 0.0) > 0 for summary in summaries.values())
    caption = "Mean ± standard deviation over seeds and repetitions. " if spread else ""
    caption += "Best in bold, second best underlined, among the heat maps of one group."
    heads = tuple(Column(card.title, card.unit, ARROWS[card.higher_is_better]) for card in cards)
    return Table(
        name, title, caption, heads, tuple(rows), tuple(footnotes.texts), corner="Heat maps"
    )


def _groups(records: Sequence[Record], titles: Mapping[str, str]) -> Iterator[Rivals]:
    """For each dataset the explained classifiers, each with its explainers and its own heat maps,
    then the other classifiers, each of which speaks for itself."""
    for scope in scopes_of(records):
        entries = list(by_entry(record for record in records if record.scope == scope))
        explained = sorted({entry.explains for entry in entries if entry.explains})
        for target in explained:
            own = {
                e: f"{e.name}, its own" for e in entries if not e.explains and e.method == target
            }
            heads = {e: e.name for e in entries if e.explains == target} | own
            yield Rivals(f"{scope.dataset}, explaining {titles.get(target, target)}", scope, heads)
        rest = {e: e.name for e in entries if not e.explains and e.method not in explained}
        if rest:
            yield Rivals(f"{scope.dataset}, each classifier by its own", scope, rest, True)


def _in_order(
    group: Rivals, card: MetricCard, summaries: dict[tuple[Scope, Entry, str], Summary]
) -> list[Entry]:
    def worse(entry: Entry) -> float:
        mean = summaries[group.scope, entry, card.name].mean
        if mean is None:
            return float("inf")
        return -mean if card.higher_is_better else mean

    return sorted(group.heads, key=lambda e: (not group.apart(e), worse(e), group.heads[e]))
