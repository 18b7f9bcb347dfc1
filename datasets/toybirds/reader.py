"""Opens toybirds: rendered on first use, found again in the cache afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

from filelock import FileLock

from benchmark.contracts import Dataset, Progress
from datasets.cub.reader import read_layout
from datasets.toybirds.layout import PAIRS_FILE, write_annotations
from datasets.toybirds.size import Size, parse
from datasets.toybirds.workers import render_images


def open_dataset(
    arguments: dict[str, str], data_root: Path | None, cache_dir: Path, progress: Progress
) -> Dataset:
    """Open ``toybirds`` or ``toybirds:classes=200,images=60,pixels=224,seed=1``.

    Args:
        arguments: of :class:`datasets.toybirds.size.Size`.
        data_root: not used.
        cache_dir: holds one folder for each size.
        progress: shows a bar while birds are painted.

    Raises:
        UserError: an unknown argument or one out of range.
    """
    size = parse(arguments)
    root = prepare(size, cache_dir, progress)
    advice = f"remove the folder {root}, and it is rendered again"
    return read_layout(root, size.name, advice=advice, pairs_file=PAIRS_FILE)


def prepare(size: Size, cache_dir: Path, progress: Progress) -> Path:
    """The folder with the dataset, rendered if it is not there; whole or not at all.

    The folder's name carries a hash of the painter's source, so that a newer painter does not
    find an older one's birds. Of several processes that ask at once, one paints and the others
    wait for it.
    """
    name = f"toybirds-{size.classes}x{size.images}x{size.pixels}-seed{size.seed}-{_painter()}"
    root = cache_dir / name
    if root.is_dir():
        return root
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(cache_dir / f"{name}.lock"):
        if not root.is_dir():
            unfinished = cache_dir / f"{name}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            total = size.classes * size.images
            images = progress.track(
                render_images(unfinished, size), f"rendering {size.name}", total=total
            )
            write_annotations(unfinished, size, list(images))
            os.replace(unfinished, root)
    return root


@cache
def _painter() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\n" + file.read_bytes())
    return digest.hexdigest()[:10]
