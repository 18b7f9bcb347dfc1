"""Colours and marks, the same for a method in every figure, legible on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.records import Entry

# Each at least 3:1 against both surfaces (WCAG for graphics), hues ordered so that neighbours
# stay apart for colour-blind eyes; marks tell methods apart without any colour.
SERIES = (
    "#2f7fd0",  # blue
    "#d9690c",  # orange
    "#15906c",  # green
    "#b255c4",  # purple
    "#9a7b0a",  # ochre
    "#de4a68",  # red
    "#138fa8",  # teal
    "#7b78d8",  # lavender
)
MARKS = ("o", "s", "D", "^", "v", "P", "X", "p")
REFERENCE = "#7b848c"

# Figures are drawn in the colours of a light page; the page replaces these four by its own.
INK, MUTED, RULE, SURFACE = "#1c2126", "#5c666f", "#d9dcd8", "#fefefe"
DARK_SURFACE = "#15181b"


@dataclass(frozen=True)
class Style:
    colour: str
    mark: str


def styles(entries: Iterable[Entry]) -> dict[str, Style]:
    """A style for each method, by its name: reference methods grey, the others in turn.

    The order is that of the methods' names, not of their results, so that a colour stays with its
    method when numbers change.

    >>> styles([Entry("b", "", "", "B", "classifier"), Entry("a", "", "", "A", "classifier")])["a"]
    Style(colour='#2f7fd0', mark='o')
    """
    entries = list(entries)
    references = {entry.method for entry in entries if entry.reference}
    others = sorted({entry.method for entry in entries} - references)
    result = {name: Style(REFERENCE, "*") for name in sorted(references)}
    for place, name in enumerate(others):
        result[name] = Style(SERIES[place % len(SERIES)], MARKS[place % len(MARKS)])
    return result


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance).

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
