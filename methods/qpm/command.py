"""``python -m benchmark solve``: an assignment problem from a file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from benchmark.contracts import Silent, UserError
from benchmark.progress import duration

EVERY = 1.0  # seconds between lines where there is no terminal


def solve_file(
    instance: Annotated[
        Path,
        typer.Argument(
            help="Arrays A (classes x features) and, if you like, R (features x features), "
            "b (features), n_features, n_per_class.",
            metavar="INSTANCE.npz",
        ),
    ],
    solver: Annotated[
        Literal["local", "highs", "gurobi"],
        typer.Option("--solver", help="Search; proof by HiGHS; the paper's, which has a licence."),
    ] = "local",
    n_features: Annotated[
        int | None,
        typer.Option("--n-features", help="Features to select. (default: the file's, or 50)"),
    ] = None,
    n_per_class: Annotated[
        int | None,
        typer.Option("--n-per-class", help="Features of a class. (default: the file's, or 5)"),
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="That many on average, not in each class.")
    ] = False,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Stop after so many seconds.", min=0)
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option("--gap", help="Stop at this relative gap: 0.01 is 1 %.", min=0),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the search.", min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="(default: INSTANCE-solution.npz)", metavar="FILE"),
    ] = None,
) -> None:
    """Read, solve with a live line, write; Ctrl-C keeps and writes the best solution so far."""
    from methods.qpm.assignment.files import read_problem, write_solution
    from methods.qpm.assignment.monitor import Monitor
    from methods.qpm.assignment.solve import conclude, pursue

    out = out or instance.with_name(f"{instance.stem}-solution.npz")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    if out.resolve() == instance.resolve():
        raise UserError(f"--out {out} is the instance itself: choose another name")
    problem = read_problem(instance, n_features, n_per_class, not average)
    line = LiveLine(Console(stderr=True))
    monitor = Monitor(problem, time_limit=time_limit, gap=gap, watch=line.watch)
    interrupted = False
    try:
        with line.shown():
            pursue(monitor, solver, seed=seed, progress=line)
    except KeyboardInterrupt:
        interrupted = True
        if monitor.selected is None:
            typer.echo("interrupted before there was a solution", err=True)
            raise typer.Exit(130) from None
    solution = conclude(monitor, solver)
    try:
        write_solution(out, solution)
    except OSError as error:
        raise UserError(f"--out {out} can't be written: {error.strerror}") from error
    ended = "interrupted; " if interrupted else "time limit hit; " * solution.hit_time_limit
    summary = state(solution.seconds, solution.objective, solution.upper_bound, solution.gap)
    typer.echo(f"{ended}{summary}: {out}")
    if interrupted:
        raise typer.Exit(130)


def state(seconds: float, objective: float, bound: float, gap: float) -> str:
    """Where a solver stands, in words.

    >>> state(75, 301.2345, 310.0, 0.0291)
    '1 min 15 s, objective 301.235, bound 310.000, gap 2.91 %'
    """
    known = [duration(seconds)]
    known += [f"objective {objective:.3f}"] if math.isfinite(objective) else []
    known += [f"bound {bound:.3f}"] if math.isfinite(bound) else []
    known += [f"gap {100 * gap:.2f} %"] if math.isfinite(gap) else []
    return ", ".join(known)


class LiveLine(Silent):
    """One line with the state of the solver, its clock running; plain lines without a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.perf_counter()
        self.known = (-math.inf, math.inf, math.inf)
        self.doing = ""
        self.last = -math.inf

    def watch(self, seconds: float, objective: float, bound: float, gap: float) -> None:
        """As a monitor calls it."""
        self.known = (objective, bound, gap)
        due = math.isfinite(objective) and seconds - self.last >= EVERY
        if due and not self.console.is_terminal:
            self.last = seconds
            self.say(state(seconds, *self.known))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While the solver works."""
        if self.console.is_terminal:
            with Live(self, console=self.console, transient=True):
                yield
        else:
            yield

    def __rich__(self) -> Text:
        line = state(time.perf_counter() - self.began, *self.known)
        return Text(
            f"{line}  ({self.doing})" if self.doing else line, no_wrap=True, overflow="ellipsis"
        )

    @contextmanager
    def bar(self, description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
        done = 0.0
        self.doing = description

        def advance(by: float = 1, note: str = "") -> None:
            nonlocal done
            done += by
            share = "" if total is None else f" {done:.0f}/{total:.0f}"
            self.doing = f"{description}{share}{', ' * bool(note)}{note}"

        try:
            yield advance
        finally:
            self.doing = ""

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)
