"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmark.contracts import Command, UserError, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compare interpretable image classifiers: one backbone, one set of rulers, one report.",
    epilog="Start with: python -m benchmark run --methods dense,qpm --dataset toybirds",
)

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder that holds the papers' datasets.", metavar="DIR"),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        help="Cache that all runs share. (default: $BENCHMARK_CACHE, or the user's cache folder)",
        metavar="DIR",
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="Python file with a CARD in it. Repeatable.", metavar="FILE"),
]


@app.command()
def run(
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods", "-m", help="Methods, separated by commas; see `list`.", metavar="A,B"
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="toybirds, cub, folder:PATH; arguments after a colon. Repeatable.",
            metavar="NAME",
        ),
    ] = None,
    preset: Annotated[
        Literal["quick", "paper"] | None,
        typer.Option("--preset", help="Size of the recipe. (default: the dataset's own)"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="Seeds: 16,17 or 16-20. (default: the preset's)"),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", "-b", help="Backbones, separated by commas.", metavar="A,B"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="none, imagenet or a state dict.", metavar="FILE"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A parameter, as qpm.n_features=20; see `list METHOD`. Repeatable.",
            metavar="METHOD.PARAMETER=VALUE",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="A config.yaml that a run left.", metavar="FILE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the run. (default: runs/DATASET-PRESET)"),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain", help="Classifiers that explainers explain. (default: dense)", metavar="A,B"
        ),
    ] = None,
    repetitions: Annotated[
        int | None,
        typer.Option("--repetitions", help="Repetitions of each explainer. (default: 1)"),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")
    ] = None,
    precision: Annotated[
        Literal["auto", "bf16", "float32"] | None,
        typer.Option("--precision", help="auto takes bf16 where the hardware gains from it."),
    ] = None,
    data_root: DataRoot = None,
    cache_dir: CacheDir = None,
    plugin: Plugin = None,
) -> None:
    """Train, measure and compare: leaves records, results.csv and a report in a folder."""
    from benchmark import config
    from benchmark.registry import check_packages, discover

    check_packages()
    fields = config.read(config_file) if config_file else {}
    given = {
        "methods": _split(methods),
        "datasets": dataset,
        "preset": preset,
        "seeds": _seeds(seeds),
        "backbones": _split(backbone),
        "weights": weights,
        "explain": _split(explain),
        "repetitions": repetitions,
        "device": device,
        "precision": precision,
        "data_root": str(data_root) if data_root else None,
        "plugins": [str(file) for file in plugin] if plugin else None,
    }
    fields |= {name: value for name, value in given.items() if value is not None}
    for group, values in config.parse_assignments(assignments or []).items():
        parameters = fields.setdefault("parameters", {})
        parameters[group] = parameters.get(group, {}) | values
    for needed, option in (("methods", "--methods"), ("datasets", "--dataset")):
        if not fields.get(needed):
            raise UserError(f"say which with {option}; `python -m benchmark list` shows them")
    settings = config.build(fields)
    registry = discover([Path(file) for file in settings.plugins])
    config.check(settings, registry)

    from benchmark import runner  # torch comes with it: only now that the run makes sense
    from benchmark.store import Store

    work = runner.Run(
        settings=settings,
        registry=registry,
        folder=out or _default_folder(settings, registry),
        store=Store(_cache(cache_dir)),
        progress=_terminal(),
    )
    try:
        runner.execute(work)
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command continues where it was", err=True)
        raise typer.Exit(130) from None
    files = _report([work.folder], work.folder, registry)
    typer.echo(f"report: {files['report.html']}")
    if work.failed:
        names = ", ".join(sorted({record["cell"]["method"] for record in work.failed}))
        typer.echo(f"{len(work.failed)} cells failed ({names}); the report says why", err=True)
        raise typer.Exit(1)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders that runs have left.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write. (default: the first folder)"),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Write the report of one or several runs again; computes nothing anew."""
    from benchmark.registry import discover

    for folder in folders:
        if not (folder / "cells").is_dir():
            raise UserError(f"{folder} is not the folder of a run: it has no cells/")
    files = _report(folders, out or folders[0], discover(plugin or []))
    typer.echo(f"report: {files['report.html']}")


@app.command(name="list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(help="methods, datasets, metrics, backbones, or the name of a method."),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Show methods, datasets, metrics and backbones; with a method's name, its parameters."""
    from benchmark import listing
    from benchmark.registry import discover

    listing.show(what, discover(plugin or []))


@app.command()
def prepare(
    dataset: Annotated[list[str], typer.Argument(help="Datasets, as for run --dataset.")],
    data_root: DataRoot = None,
    cache_dir: CacheDir = None,
    plugin: Plugin = None,
) -> None:
    """Open (and where needed render) datasets, and say what they hold."""
    from benchmark import listing, runner
    from benchmark.config import RunConfig
    from benchmark.registry import discover
    from benchmark.store import Store

    registry = discover(plugin or [])
    store = Store(_cache(cache_dir))
    root = str(data_root) if data_root else None
    for spec in dataset:
        settings = RunConfig(methods=("-",), datasets=(spec,), data_root=root)
        listing.describe(runner.open_dataset(spec, settings, registry, store, _terminal()))


def main() -> None:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    from benchmark.registry import discover

    everything = copy.copy(app)
    everything.registered_commands = [*app.registered_commands]
    try:
        for card in discover().methods.values():
            for command in card.commands:
                _announce(everything, command, card.name)
        everything(prog_name="python -m benchmark")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _announce(app: typer.Typer, command: Command, method: str) -> None:
    """Add a method's command; its code is imported when it is called."""
    names = {
        known.name or getattr(known.callback, "__name__", "") for known in app.registered_commands
    }
    if command.name in names:
        raise UserError(f"{method} brings the command {command.name!r}, which is there already")

    def call(context: typer.Context) -> None:
        inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        inner.command(help=command.help)(load(command.function))
        inner(context.args, prog_name=context.command_path)

    app.command(
        command.name,
        help=command.help,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(call)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _seeds(text: str | None) -> list[int] | None:
    """``16,17`` or ``16-20``."""
    if text is None:
        return None
    seeds: list[int] = []
    for word in text.split(","):
        first, dash, last = word.partition("-")
        try:
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise UserError(f"--seeds {text}: write them as 16,17 or 16-20") from None
    return seeds


def _cache(given: Path | None) -> Path:
    import os

    if given is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        given = Path(os.environ.get("BENCHMARK_CACHE") or Path(home) / "interpretable-benchmark")
    given = given.expanduser().resolve()
    try:
        given.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--cache-dir {given} can't be made: {error.strerror}") from error
    return given


def _default_folder(settings: Any, registry: Any) -> Path:
    from benchmark.config import dataset_arguments, preset_of

    first = settings.datasets[0]
    names = "-".join(dataset_arguments(spec)[0] for spec in settings.datasets)
    return Path("runs") / f"{names}-{preset_of(settings, first, registry)}"


def _terminal() -> Any:
    from benchmark.progress import Terminal

    return Terminal()


def _report(folders: list[Path], out: Path, registry: Any) -> dict[str, Path]:
    from reports.build import build_report

    build: Callable[..., list[Path]] = build_report
    cards = list(registry.metrics.values())
    return {file.name: file for file in build(folders, out, cards, progress=_terminal())}
