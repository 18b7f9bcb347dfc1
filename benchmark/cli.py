"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import click
import typer
from typer.core import TyperGroup

from benchmark import __version__
from benchmark.contracts import UserError


class _Suggesting(TyperGroup):
    """A mistyped command is answered with the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.list_commands(ctx):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Suggesting,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compare interpretable image classifiers: one backbone, one set of rulers, one report.",
    epilog="Start with: python -m benchmark run --methods dense,qpm --dataset toybirds",
)

Words = Annotated[list[str] | None, typer.Option()]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder that holds the papers' datasets.", metavar="DIR"),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        help="Cache that all runs share. [default: $BENCHMARK_CACHE or the user's cache folder]",
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
        str | None,
        typer.Option(
            "--preset",
            help="quick or paper. [default: the dataset's own]",
            click_type=click.Choice(["quick", "paper"]),
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="Seeds: 16,17 or 16-20. [default: the preset's]"),
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
        typer.Option("--out", "-o", help="Folder of the run. [default: runs/DATASET-PRESET]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="auto takes bf16 where the hardware gains from it.",
            click_type=click.Choice(["auto", "bf16", "float32"]),
        ),
    ] = None,
    data_root: DataRoot = None,
    cache_dir: CacheDir = None,
    plugin: Plugin = None,
) -> None:
    """Train, measure and compare: leaves records, results.csv and a report in a folder."""
    from benchmark import config, runner
    from benchmark.registry import check_packages, discover
    from benchmark.store import Store

    check_packages()
    fields = config.read(config_file) if config_file else {}
    given = {
        "methods": _split(methods),
        "datasets": dataset,
        "preset": preset,
        "seeds": _seeds(seeds),
        "backbones": _split(backbone),
        "weights": weights,
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
    work = runner.Run(
        settings=settings,
        registry=registry,
        folder=out or _default_folder(settings, registry),
        store=Store(_cache(cache_dir)),
        progress=_terminal(),
    )
    runner.execute(work)
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
        typer.Option("--out", "-o", help="Where to write. [default: the first folder]"),
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
    try:
        app(prog_name="python -m benchmark", standalone_mode=False)
    except UserError as error:
        _stop(f"error: {error}", 2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _stop("interrupted: the same command continues where it was", 130)
    except BrokenPipeError:
        sys.exit(1)


def _stop(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(status)


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
