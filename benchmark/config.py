"""What a run is: typed, resolved before anything is trained, refused early and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from benchmark.contracts import MethodCard, Parameters, UserError
from benchmark.recipe import Recipe
from benchmark.registry import Registry, suggestion
from benchmark.store import write_atomically

Preset = Literal["quick", "paper"]


class DataParameters(Parameters):
    """How images are read, a group beside the methods' (``--set data.image_size=96``)."""

    image_size: int | None = Field(
        None, ge=16, le=1024, description="pixels of a side; none: the backbone's usual size"
    )


# What --preset quick changes in the harness's own groups; a method's changes are on its card.
QUICK: dict[str, dict[str, Any]] = {
    "data": {},
    "dense": {
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 0.05,
        "head_learning_rate": 0.1,
        "step_epochs": 12,
        "dropout": 0.1,
        "augment": "light",
    },
}
BACKBONE: dict[Preset, str] = {"quick": "thin_resnet", "paper": "resnet50"}
SEEDS: dict[Preset, tuple[int, ...]] = {"quick": (16,), "paper": (16, 17, 18, 19, 20)}
WEIGHTS: dict[Preset, str] = {"quick": "none", "paper": "imagenet"}


class RunConfig(Parameters):
    """A run, as ``config.yaml`` holds it. What is left out comes from each dataset's preset."""

    methods: tuple[str, ...] = Field(min_length=1, description="methods, by name")
    datasets: tuple[str, ...] = Field(min_length=1, description="datasets: name or name:arguments")
    preset: Preset | None = Field(None, description="quick or paper; none: each dataset's own")
    backbones: tuple[str, ...] | None = Field(None, description="backbones, by name")
    seeds: tuple[int, ...] | None = Field(None, description="seeds")
    weights: str | None = Field(None, description="none, imagenet, or the path of a state dict")
    explain: tuple[str, ...] = Field(("dense",), description="methods that explainers explain")
    repetitions: int = Field(1, ge=1, description="repetitions of each explainer")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N")
    precision: Literal["auto", "bf16", "float32"] = Field("auto", description="of the backbone")
    data_root: str | None = Field(None, description="folder that holds the papers' datasets")
    plugins: tuple[str, ...] = Field((), description="Python files with cards in them")
    parameters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="parameters by group: data, dense, or a method's name"
    )


def parameter_models(registry: Registry) -> dict[str, type[Parameters]]:
    """The declared parameters of each group; ``data`` and ``dense`` belong to the harness."""
    methods = {name: card.parameters for name, card in registry.methods.items()}
    return methods | {"data": DataParameters, "dense": Recipe}


def preset_values(group: str, preset: Preset, registry: Registry) -> dict[str, Any]:
    """What a preset changes from the declared defaults of a group."""
    if preset == "paper":
        return {}
    if group in QUICK:
        return QUICK[group]
    return dict(registry.methods[group].quick)


def parse_assignments(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``["qpm.n_features=20"]`` to ``{"qpm": {"n_features": 20}}``; values are YAML scalars.

    >>> parse_assignments(["qpm.n_features=20", "dense.diversity=none"])
    {'qpm': {'n_features': 20}, 'dense': {'diversity': None}}
    """
    groups: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        group, dot, parameter = name.strip().partition(".")
        if not (equals and dot and group and parameter):
            raise UserError(f"--set {word}: write it as method.parameter=value")
        value = None if text.strip().lower() == "none" else yaml.safe_load(text)
        groups.setdefault(group, {})[parameter] = _number(value)
    return groups


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as text; people who write it mean a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def resolve(group: str, preset: Preset, given: Mapping[str, Any], registry: Registry) -> Parameters:
    """A group's parameters: declared defaults, then the preset's, then the given ones.

    Raises :class:`UserError` for unknown groups and parameters and for values out of range.
    """
    models = parameter_models(registry)
    if group not in models:
        raise UserError(f"--set {group}.…: there is no group {group!r}{suggestion(group, models)}")
    model = models[group]
    for name in given:
        if name not in model.model_fields:
            raise UserError(
                f"--set {group}.{name}: {group} has no parameter {name!r}"
                f"{suggestion(name, model.model_fields)}"
            )
    try:
        return model(**(preset_values(group, preset, registry) | dict(given)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([group, *map(str, first["loc"])])
        said = first["msg"][:1].lower() + first["msg"][1:]
        raise UserError(f"--set {place}={first['input']!r}: {said}") from None


def check(config: RunConfig, registry: Registry) -> None:
    """Refuse, before anything is opened or trained, what can't be run."""
    for method in config.methods:
        registry.method(method)
    for method in config.explain:
        if registry.method(method).kind != "classifier":
            raise UserError(f"--explain {method}: only classifiers can be explained")
    for spec in config.datasets:
        registry.dataset(dataset_arguments(spec)[0])
    for group, given in config.parameters.items():
        for spec in config.datasets:
            resolve(group, preset_of(config, spec, registry), given, registry)


def preset_of(config: RunConfig, spec: str, registry: Registry) -> Preset:
    """The run's preset, or else the dataset's own."""
    return config.preset or registry.dataset(dataset_arguments(spec)[0]).preset


def dataset_arguments(spec: str) -> tuple[str, dict[str, str]]:
    """Name and arguments of a dataset as written on the command line.

    >>> dataset_arguments("toybirds:classes=200,images=60")
    ('toybirds', {'classes': '200', 'images': '60'})
    >>> dataset_arguments("folder:/data/fruit")
    ('folder', {'path': '/data/fruit'})
    """
    name, colon, rest = spec.partition(":")
    arguments: dict[str, str] = {}
    for word in filter(None, rest.split(",")) if colon else ():
        key, equals, value = word.partition("=")
        if equals and key.isidentifier():
            arguments[key] = value
        elif not arguments:
            arguments["path"] = ",".join(filter(None, [arguments.get("path"), word]))
        else:
            raise UserError(f"--dataset {spec}: {word!r} is not of the form name=value")
    return name, arguments


def read(file: Path) -> dict[str, Any]:
    """The fields of a ``config.yaml``."""
    try:
        fields = yaml.safe_load(file.read_text())
    except OSError as error:
        raise UserError(f"--config {file} can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"--config {file} is not YAML: {error}") from error
    if not isinstance(fields, dict):
        raise UserError(f"--config {file} holds no settings")
    return fields


def build(fields: Mapping[str, Any]) -> RunConfig:
    """A checked :class:`RunConfig` of plain fields, errors in words."""
    for name in fields:
        if name not in RunConfig.model_fields:
            raise UserError(
                f"the configuration has an unknown entry {name!r}"
                f"{suggestion(name, RunConfig.model_fields)}"
            )
    try:
        return RunConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{place}: {first['msg'].lower()}") from None


def resolved(config: RunConfig, registry: Registry) -> RunConfig:
    """The same run with every parameter written out, so that later defaults don't change it.

    Runs over datasets of different presets keep what was given, since each preset fills in
    values of its own.
    """
    presets = {preset_of(config, spec, registry) for spec in config.datasets}
    if len(presets) > 1:
        return config
    preset = presets.pop()
    explains = any(registry.method(name).kind == "explainer" for name in config.methods)
    methods = (*config.methods, *(config.explain if explains else ()))
    groups = dict.fromkeys(["data", "dense", *methods])
    parameters = {
        group: resolve(group, preset, config.parameters.get(group, {}), registry).model_dump(
            mode="json"
        )
        for group in groups
    }
    return config.model_copy(
        update={
            "preset": preset,
            "backbones": config.backbones or (BACKBONE[preset],),
            "seeds": config.seeds or SEEDS[preset],
            "weights": config.weights or WEIGHTS[preset],
            "parameters": {k: v for k, v in parameters.items() if v},
        }
    )


def write(config: RunConfig, file: Path) -> None:
    """Leave the run, replayable, as YAML."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(file, "# python -m benchmark run --config config.yaml\n" + text)


def variant(card: MethodCard, preset: Preset, parameters: Parameters, registry: Registry) -> str:
    """What sets a method's parameters apart from the preset's: ``"n_features=30"``, or ``""``.

    What all methods share (data, dense training, preset) is no variant of one: the report tells
    rows apart by it where it differs between them.
    """
    usual = resolve(card.name, preset, {}, registry).model_dump(mode="json")
    own = parameters.model_dump(mode="json")
    return ", ".join(f"{name}={value}" for name, value in own.items() if value != usual[name])
