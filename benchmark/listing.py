"""What ``list`` and ``prepare`` print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmark.config import parameter_models, preset_values
from benchmark.contracts import Dataset, UserError
from benchmark.registry import Registry, suggestion

BACKBONES = (
    ("thin_resnet", "four blocks, 256 features: made for two cores, no pretrained weights"),
    ("thin_vgg", "VGG's shape in small, 128 features, two hidden layers in its dense head"),
    ("resnet18 resnet34 resnet50 resnet101", "torchvision's, V1 weights; the papers' is resnet50"),
    ("inception_v3, swin_t, swin_s", "torchvision's, as in the QPM paper's appendix L"),
    (
        "vgg16, vgg19 (_bn)",
        "torchvision's; vgg19 as in the paper on representative interpretations",
    ),
    ("timm:NAME", "any convolutional model of timm"),
)


def show(what: str | None, registry: Registry, console: Console | None = None) -> None:
    """Print one of the lists, all of them, or a group's parameters."""
    console = console or Console()
    lists = {
        "methods": lambda: _methods(registry),
        "datasets": lambda: _datasets(registry),
        "metrics": lambda: _metrics(registry),
        "backbones": _backbones,
    }
    groups = parameter_models(registry)
    if what is None:
        for table in lists.values():
            console.print(table())
    elif what in lists:
        console.print(lists[what]())
    elif what in groups:
        console.print(_parameters(what, registry))
    else:
        raise UserError(f"there is nothing called {what!r}{suggestion(what, [*lists, *groups])}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _methods(registry: Registry) -> Table:
    table = _table("methods", "name", "kind", "what it is", "paper")
    for card in registry.methods.values():
        table.add_row(card.name, card.kind, card.title, card.paper)
    return table


def _datasets(registry: Registry) -> Table:
    table = _table("datasets", "name", "what it is", "preset", "licence")
    for card in registry.datasets.values():
        table.add_row(card.usage or card.name, card.title, card.preset, card.licence)
    return table


def _metrics(registry: Registry) -> Table:
    table = _table("metrics", "name", "title", "better", "source")
    better = {True: "higher", False: "lower", None: "–"}
    for card in registry.metrics.values():
        table.add_row(card.name, card.title, better[card.higher_is_better], card.paper)
    return table


def _backbones() -> Table:
    table = _table("backbones", "name", "what it is")
    for name, text in BACKBONES:
        table.add_row(name, text)
    return table


def _parameters(group: str, registry: Registry) -> Table:
    table = _table(f"parameters of {group} (--set {group}.NAME=VALUE)", "name", "paper", "quick",
                   "what it is")  # fmt: skip
    quick = preset_values(group, "quick", registry)
    for name, field in parameter_models(registry)[group].model_fields.items():
        value = str(quick[name]) if name in quick else "same"
        table.add_row(name, str(field.default), value, field.description or "")
    return table


def describe(dataset: Dataset, console: Console | None = None) -> None:
    """Print what an opened dataset holds."""
    console = console or Console()
    has = [
        name
        for name, value in {
            "boxes": dataset.train.boxes,
            "parts": dataset.train.parts,
            "class attributes": dataset.class_attributes,
            "image attributes": dataset.image_attributes,
            "pairs": dataset.pairs,
        }.items()
        if value is not None
    ]
    console.print(
        f"{dataset.name}: {len(dataset.classes)} classes, {len(dataset.train)} training and "
        f"{len(dataset.test)} test images; {', '.join(has) or 'labels only'}; "
        f"fingerprint {dataset.fingerprint}",
        highlight=False,
    )
