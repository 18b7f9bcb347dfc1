"""Progress bars on a terminal, plain lines elsewhere: what the command line passes down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
EVERY = 15.0  # seconds between lines where there is no terminal


class Terminal:
    """Bars with an ETA on a terminal; where output goes to a file, a line now and then."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._live: Progress | None = None

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def track(
        self, iterable: Iterable[T], description: str, total: int | None = None
    ) -> Iterator[T]:
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)  # type: ignore[arg-type]
        with self.bar(description, total) as advance:
            for item in iterable:
                yield item
                advance(1)

    @contextmanager
    def bar(self, description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
        if self.console.is_terminal:
            with self._bars() as bars:
                task = bars.add_task(description, total=total, note="")

                def advance(by: float = 1, note: str = "") -> None:
                    bars.update(task, advance=by)
                    if note:
                        bars.update(task, note=note)

                try:
                    yield advance
                finally:
                    bars.remove_task(task)
        else:
            yield self._lines(description, total)

    @contextmanager
    def _bars(self) -> Iterator[Progress]:
        """One live display, shared by bars within bars."""
        if self._live is not None:
            yield self._live
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as self._live:
            try:
                yield self._live
            finally:
                self._live = None

    def _lines(self, description: str, total: float | None) -> Callable[..., None]:
        started = last = time.monotonic()
        done = 0.0
        first: float | None = None

        def advance(by: float = 1, note: str = "") -> None:
            nonlocal done, last, first
            done += by
            now = time.monotonic()
            if first is None:  # what an interrupted attempt had done already says nothing of speed
                first = done if now - started < 0.05 else 0.0
            if now - last >= EVERY and total:
                last = now
                speed = (done - first) / (now - started)
                left = f", about {duration((total - done) / speed)} left" if speed > 0 else ""
                self.say(f"  {description}: {100 * done / total:.0f} %{left} {note}".rstrip())

        return advance


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(5), duration(200), duration(9000)
    ('5 s', '3 min 20 s', '2 h 30 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
