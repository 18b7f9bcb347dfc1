"""Renders with all cores: fresh Python processes that get a slice of the images each.

They are started as a module of their own rather than through ``multiprocessing``, which would
import the caller's main script again or fork a process that has threads. A worker prints one line
for each image that it wrote, and ends when nobody reads them any more.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from datasets.toybirds.layout import Annotated, write_images
from datasets.toybirds.size import Size

ALONE = 150  # up to so many images starting a process takes longer than it saves
MOST = 32


def render_images(root: Path, size: Size) -> Iterator[Annotated]:
    """Write all images below ``root/images``, in any order.

    Raises:
        RuntimeError: a process ended early; its error output is shown.
    """
    total = size.classes * size.images
    count = min(_cores(), MOST, total // ALONE)
    if count < 2:
        yield from write_images(root, size, range(1, total + 1))
        return
    workers = [_start(root, size, first, count) for first in range(1, count + 1)]
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    readers = [threading.Thread(target=_read, args=(w, lines), daemon=True) for w in workers]
    try:
        for reader in readers:
            reader.start()
        running = count
        while running:
            line = lines.get()
            if line is None:
                running -= 1
            else:
                yield Annotated(**json.loads(line))
        for worker in workers:
            if worker.wait() != 0:
                raise RuntimeError(f"a rendering process ended with status {worker.returncode}")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdout:
                worker.stdout.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(root: Path, size: Size, first: int, step: int) -> subprocess.Popen[str]:
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(root), size.model_dump_json(), str(first), str(step)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def _read(worker: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert worker.stdout is not None
    try:
        for line in worker.stdout:
            lines.put(line)
    finally:
        lines.put(None)


def main(arguments: list[str]) -> None:
    """One worker: root, size as JSON, first image id, step."""
    root, size = Path(arguments[0]), Size.model_validate_json(arguments[1])
    first, step = int(arguments[2]), int(arguments[3])
    for image in write_images(root, size, range(first, size.classes * size.images + 1, step)):
        print(json.dumps(asdict(image)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
