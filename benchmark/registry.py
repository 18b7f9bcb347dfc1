"""Finds what there is: built-ins by scanning folders for their card, outsiders by the same card.

A method is known by the ``CARD`` in ``methods/<name>/card.py``, a dataset by the one in
``datasets/<name>/card.py``, metrics by ``CARDS`` in ``metrics/cards.py``. An installed package
announces cards by the entry-point groups ``interpretable_benchmark.methods``, ``.datasets`` and
``.metrics``; a file given with ``--plugin`` has a ``CARD`` or ``CARDS`` of any kind in it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.contracts import DatasetCard, MethodCard, MetricCard, UserError

GROUP = "interpretable_benchmark"


@dataclass
class Registry:
    """Cards by name, in the order in which they are listed."""

    methods: dict[str, MethodCard] = field(default_factory=dict)
    metrics: dict[str, MetricCard] = field(default_factory=dict)
    datasets: dict[str, DatasetCard] = field(default_factory=dict)

    def add(self, card: object, source: str) -> None:
        """Take in a card; a name that is taken already is an error that names both sources."""
        for kind, cards in (
            (MethodCard, self.methods),
            (MetricCard, self.metrics),
            (DatasetCard, self.datasets),
        ):
            if isinstance(card, kind):
                if card.name in cards:
                    raise UserError(f"{source} brings {card.name!r}, a name that is taken already")
                cards[card.name] = card  # type: ignore[assignment]
                return
        raise UserError(
            f"{source}: CARD must be a MethodCard, MetricCard or DatasetCard of "
            f"benchmark.contracts, not {type(card).__name__}"
        )

    def method(self, name: str) -> MethodCard:
        """A method's card by name; an unknown name raises with the nearest known one."""
        return _find(self.methods, name, "method")

    def dataset(self, name: str) -> DatasetCard:
        """A dataset's card by name; an unknown name raises with the nearest known one."""
        return _find(self.datasets, name, "dataset")


def _find(cards: dict[str, Any], name: str, what: str) -> Any:
    if name not in cards:
        raise UserError(f"unknown {what} {name!r}{suggestion(name, cards)}")
    return cards[name]


def suggestion(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps with a name that is not known.

    >>> suggestion("qmp", ["qpm", "sldd"])
    ': did you mean qpm? (known: qpm, sldd)'
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": {f'did you mean {near[0]}? ' if near else ''}(known: {', '.join(known)})"


def discover(plugins: Sequence[Path] = ()) -> Registry:
    """All cards: built-in folders, installed packages, and the plugin files given.

    >>> "dense" in discover().methods
    True
    """
    registry = Registry()
    for card, source in [*_scan("datasets"), *_scan("methods"), *_metric_cards()]:
        registry.add(card, source)
    for kind in ("methods", "datasets", "metrics"):
        for point in entry_points(group=f"{GROUP}.{kind}"):
            registry.add(point.load(), f"the installed package's entry point {point.value!r}")
    for file in plugins:
        module = load_plugin(file)
        cards = getattr(module, "CARDS", None) or [getattr(module, "CARD", None)]
        if cards == [None]:
            raise UserError(f"--plugin {file}: the file defines neither CARD nor CARDS")
        for card in cards:
            registry.add(card, f"--plugin {file}")
    return registry


def _scan(package: str) -> list[tuple[object, str]]:
    """The CARD of each folder of a package that has a card.py, by name."""
    found = []
    for entry in sorted(pkgutil.iter_modules(importlib.import_module(package).__path__)):
        name = f"{package}.{entry.name}.card"
        if entry.ispkg and importlib.util.find_spec(name) is not None:
            found.append((importlib.import_module(name).CARD, name))
    # Reference rows first: the eye looks for them there.
    return sorted(found, key=lambda pair: not getattr(pair[0], "reference", False))


def _metric_cards() -> list[tuple[object, str]]:
    return [(card, "metrics.cards") for card in importlib.import_module("metrics.cards").CARDS]


def load_plugin(file: Path) -> ModuleType:
    """Import a Python file under a name made from its stem."""
    if not file.is_file():
        raise UserError(f"--plugin {file}: there is no such file")
    name = f"plugin_{file.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(file.resolve()):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"--plugin {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"--plugin {file} can't be imported: {error!r}") from error
    return module


def code_of(card: MethodCard) -> tuple[str, ...]:
    """The modules whose source decides a method's result.

    Those that the card declares, or else the package (of a built-in) or file (of a plugin) that
    holds ``fit``.
    """
    if card.code:
        return card.code
    if callable(card.fit):
        return (card.fit.__module__,)
    module = card.fit.partition(":")[0]
    return (module.rpartition(".")[0] or module,)


def check_packages() -> None:
    """Make sure that the packages named metrics, datasets, ... are this project's own.

    These top-level names are used by other projects too; where one of those comes first on the
    path, this says so in words instead of failing somewhere inside.
    """
    home = Path(__file__).resolve().parents[1]
    for name in ("methods", "metrics", "datasets", "reports"):
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or [])]
        if not any(Path(place).resolve() == home / name for place in places):
            raise UserError(
                f"the package {name!r} found at {places or 'nowhere'} is not this project's: "
                f"install the project in an environment of its own (pip install -e {home.name})"
            )
