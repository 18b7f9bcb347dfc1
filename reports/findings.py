"""Sentences computed from the data: what a reader should take home, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.contracts import MetricCard
from reports.records import Entry, Record, Scope, by_entry, scopes_of, titles_of
from reports.tables import entries_in_order, number
from reports.tidy import Summary, summarise


@dataclass(frozen=True)
class Contender:
    """A classifier that takes part in the comparison, with its accuracy."""

    entry: Entry
    accuracy: Summary

    @property
    def mean(self) -> float:
        assert self.accuracy.mean is not None
        return self.accuracy.mean


def findings(
    frame: pd.DataFrame,
    records: Sequence[Record],
    cards: Sequence[MetricCard],
    interpretability: Sequence[str],
    heat_maps: Sequence[str],
) -> list[str]:
    """The main findings of each scope, a paragraph each; says so where there is none.

    ``interpretability`` names the measures that classifiers are compared by, ``heat_maps`` those
    for the explainers of one classifier.
    """
    finished = [record for record in records if record.ok and record.entry.kind == "classifier"]
    explaining = [record for record in records if record.ok and record.entry.kind == "explainer"]
    paragraphs = []
    for scope in scopes_of(records):
        mine = [record for record in finished if record.scope == scope]
        sentences = [
            *_most_accurate(frame, mine, scope),
            *_most_interpretable(frame, mine, scope, cards, interpretability),
        ]
        opening = f"On {scope.dataset} with {scope.backbone}, "
        theirs = [record for record in explaining if record.scope == scope]
        clauses = _best_explainers(frame, theirs, scope, cards, heat_maps, titles_of(records))
        if sentences or not clauses:
            paragraphs.append(opening + " ".join(sentences or ["no classifier has a result."]))
        paragraphs += [opening + clause for clause in clauses]
    return paragraphs


def _contenders(frame: pd.DataFrame, records: Sequence[Record], scope: Scope) -> list[Contender]:
    entries = entries_in_order(frame, records, "accuracy")
    found = [Contender(e, summarise(frame, scope, e, "accuracy")) for e in entries]
    return [contender for contender in found if contender.accuracy.mean is not None]


def _most_accurate(frame: pd.DataFrame, records: Sequence[Record], scope: Scope) -> list[str]:
    contenders = _contenders(frame, records, scope)
    references = [c for c in contenders if c.entry.reference]
    rivals = [c for c in contenders if not c.entry.reference]
    if not rivals:
        return [f"{r.entry.label} reaches {_percent(r.accuracy)} accuracy." for r in references]
    best = rivals[0]
    clause = [
        f"{best.entry.label} is the most accurate interpretable classifier"
        if len(rivals) > 1
        else f"{best.entry.label} reaches",
        f"at {_percent(best.accuracy)}" if len(rivals) > 1 else _percent(best.accuracy),
        _size(frame, scope, best.entry),
    ]
    sentence = " ".join(filter(None, clause))
    for reference in references[:1]:
        gap = best.mean - reference.mean
        side = "above" if gap > 0 else "below"
        against = f"{reference.entry.label} ({_percent(reference.accuracy)})"
        sentence += f", {abs(gap):.1f} points {side} {against}"
    sentences = [sentence + "."]
    if len(rivals) > 1:
        sentences.append(_runner_up(best, rivals[1]))
    return sentences


def _size(frame: pd.DataFrame, scope: Scope, entry: Entry) -> str:
    per_class = summarise(frame, scope, entry, "features_per_class").mean
    total = summarise(frame, scope, entry, "total_features").mean
    if per_class is None or total is None:
        return ""
    return f"with {number(per_class, 'count')} of {number(total, 'count')} features per class"


def _runner_up(best: Contender, next_one: Contender) -> str:
    gap = best.mean - next_one.mean
    stds = [c.accuracy.std for c in (best, next_one) if c.accuracy.std is not None]
    sentence = f"{next_one.entry.label} is {gap:.1f} points behind"
    if not stds:
        return sentence + "; with a single run of each, that may be chance."
    if gap <= max(stds):
        return sentence + ", which is within one standard deviation over the runs."
    return sentence + f", more than the standard deviation over the runs ({max(stds):.1f})."


def _most_interpretable(
    frame: pd.DataFrame,
    records: Sequence[Record],
    scope: Scope,
    cards: Sequence[MetricCard],
    metrics: Sequence[str],
) -> list[str]:
    entries = [entry for entry in by_entry(records) if not entry.reference]
    leads = _leads(frame, {entry: entry.label for entry in entries}, scope, cards, metrics)
    return [f"Of the measures of interpretability, {leads}."] if leads else []


def _best_explainers(
    frame: pd.DataFrame,
    records: Sequence[Record],
    scope: Scope,
    cards: Sequence[MetricCard],
    metrics: Sequence[str],
    titles: Mapping[str, str],
) -> list[str]:
    """A clause for each explained classifier whose explainers can be compared."""
    clauses = []
    for target in sorted({record.entry.explains for record in records}):
        names = {e: e.name for e in by_entry(records) if e.explains == target}
        leads = _leads(frame, names, scope, cards, metrics)
        clauses += (
            [f"among the explainers of {titles.get(target, target)}, {leads}."] if leads else []
        )
    return clauses


def _leads(
    frame: pd.DataFrame,
    entries: Mapping[Entry, str],
    scope: Scope,
    cards: Sequence[MetricCard],
    metrics: Sequence[str],
) -> str:
    """Which of the entries, by their names, lead in which metrics; empty without a comparison."""
    leads: dict[tuple[str, ...], list[str]] = {}
    for card in cards:
        means = {e: summarise(frame, scope, e, card.name).mean for e in entries}
        present = {e: mean for e, mean in means.items() if mean is not None}
        if card.name in metrics and card.higher_is_better is not None and len(present) > 1:
            printed = {e: float(number(mean, card.unit)) for e, mean in present.items()}
            best = max(printed.values()) if card.higher_is_better else min(printed.values())
            leaders = tuple(entries[e] for e, value in printed.items() if value == best)
            leads.setdefault(leaders, []).append(card.title)
    clauses = [
        f"{_listed(labels)} {'leads' if len(labels) == 1 else 'lead'} in {_listed(titles)}"
        for labels, titles in leads.items()
    ]
    return "; ".join(clauses)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _percent(summary: Summary) -> str:
    spread = "" if summary.std is None else f" ± {summary.std:.1f}"
    return f"{summary.mean:.1f}{spread} %"


def caveats(records: Sequence[Record], replaced: Sequence[Record]) -> list[str]:
    """What weakens the claims of this report, in the order of weight."""
    result = []
    seeds = {
        (record.scope, record.entry): {
            other.seed
            for other in records
            if other.ok and (other.scope, other.entry) == (record.scope, record.entry)
        }
        for record in records
        if record.ok
    }
    single = sum(len(found) == 1 for found in seeds.values())
    if single and single == len(seeds):
        result.append(
            "Every number here comes from a single seed. Differences of a few points may be chance:"
            " single-seed claims are weak, and no spread over seeds can be given. Run with several "
            "--seeds."
        )
    elif single:
        result.append(
            f"{single} of {len(seeds)} rows come from a single seed: no spread, and weak claims."
        )
    if replaced:
        n = f"{len(replaced)} older record" + ("s" if len(replaced) > 1 else "")
        result.append(f"Left out: {n} of cells that were run again with the same settings.")
    return result
