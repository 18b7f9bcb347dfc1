"""methods x datasets x backbones x seeds -> cells: plain data, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmark.config import (
    BACKBONE,
    SEEDS,
    WEIGHTS,
    DataParameters,
    Preset,
    RunConfig,
    preset_of,
    resolve,
    variant,
)
from benchmark.contracts import MethodCard, Parameters
from benchmark.recipe import Recipe
from benchmark.registry import Registry


@dataclass(frozen=True)
class Group:
    """What the cells of one (dataset, backbone, seed) share: one dense classifier."""

    dataset: str  # as written on the command line
    backbone: str
    weights: str
    seed: int
    preset: Preset
    data: DataParameters
    dense: Recipe


@dataclass(frozen=True)
class Cell:
    """One row of the report before its numbers are known."""

    group: Group
    card: MethodCard
    parameters: Parameters
    variant: str
    explains: Cell | None = None  # what an explainer explains
    repetition: int = 0

    def describe(self, dataset: str) -> dict[str, Any]:
        """The cell as its record holds it; ``dataset`` is the opened dataset's name."""
        return {
            "dataset": dataset,
            "backbone": self.group.backbone,
            "method": self.card.name,
            "title": self.card.title,
            "kind": self.card.kind,
            "reference": self.card.reference,
            "variant": self.variant,
            "explains": self.explains.card.name if self.explains else "",
            "seed": self.group.seed,
            "repetition": self.repetition,
            "preset": self.group.preset,
            "parameters": {
                "data": self.group.data.model_dump(mode="json"),
                "dense": self.group.dense.model_dump(mode="json"),
                self.card.name: self.parameters.model_dump(mode="json"),
            },
            "paper": self.card.paper,
            "deviations": list(self.card.deviations),
        }


def groups(config: RunConfig, registry: Registry) -> Iterator[Group]:
    """The groups of a run, in order: datasets, then backbones, then seeds."""
    for spec in config.datasets:
        preset = preset_of(config, spec, registry)
        data = resolve("data", preset, config.parameters.get("data", {}), registry)
        dense = resolve("dense", preset, config.parameters.get("dense", {}), registry)
        assert isinstance(data, DataParameters)
        assert isinstance(dense, Recipe)
        for backbone in config.backbones or (BACKBONE[preset],):
            for seed in config.seeds or SEEDS[preset]:
                weights = config.weights or WEIGHTS[preset]
                yield Group(spec, backbone, weights, seed, preset, data, dense)


def cells(group: Group, config: RunConfig, registry: Registry) -> Iterator[Cell]:
    """The cells of a group: one for each classifier; for each explainer one for each classifier
    that it explains and each repetition. In the order asked for."""
    for name in config.methods:
        cell = _cell(group, name, config, registry)
        if cell.card.kind == "classifier":
            yield cell
            continue
        for explained in config.explain:
            target = _cell(group, explained, config, registry)
            for repetition in range(config.repetitions):
                yield replace(cell, explains=target, repetition=repetition)


def _cell(group: Group, name: str, config: RunConfig, registry: Registry) -> Cell:
    card = registry.method(name)
    if card.parameters is Parameters:  # nothing to set; the group "dense" is the harness's
        return Cell(group, card, Parameters(), "")
    own = resolve(name, group.preset, config.parameters.get(name, {}), registry)
    return Cell(group, card, own, variant(card, group.preset, own, registry))
