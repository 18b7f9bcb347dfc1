"""Reader of image folders: ``train/CLASS/...`` and ``test/CLASS/...``, nested as you like."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.contracts import Dataset, Progress, Split, UserError

ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
BOOLEANS = {"true": True, "false": False}
LAYOUT = "it should hold train/CLASS/... and test/CLASS/... with images"


def open_dataset(
    arguments: dict[str, str], data_root: Path | None, cache_dir: Path, progress: Progress
) -> Dataset:
    """Open ``folder:PATH``; ``folder:PATH,merge_val=true`` adds ``val/`` to the training images.

    Raises:
        UserError: no path, an unknown argument, or a folder that is not of this layout.
    """
    unknown = sorted(set(arguments) - {"path", "merge_val"})
    if unknown:
        raise UserError(f"the dataset folder knows path and merge_val, not {', '.join(unknown)}")
    if "path" not in arguments:
        raise UserError("the dataset folder needs a path: folder:PATH")
    merge = arguments.get("merge_val", "false").lower()
    if merge not in BOOLEANS:
        raise UserError(f"folder: merge_val must be true or false, not {merge!r}")
    return read_folder(Path(arguments["path"]).expanduser(), merge_val=BOOLEANS[merge])


def read_folder(root: Path, *, merge_val: bool = False) -> Dataset:
    """Read a tree of images.

    Args:
        root: folder that holds ``train`` and ``test`` (and ``val``, which is ignored by default).
        merge_val: take the images of ``val`` as training images too.

    Returns:
        Classes in the order of their names; samples in the order of their paths. Hidden files,
        hidden folders and files that are no images by their ending are ignored.

    Raises:
        UserError: the folder or its images are missing, or a class that is tested has no
            training images.
    """
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise UserError(f"the image folder {folder} does not exist; looked in {root}: {LAYOUT}")
    train = list(_images(root / "train"))
    if merge_val:
        if not (root / "val").is_dir():
            raise UserError(f"merge_val=true, but there is no folder {root / 'val'}")
        train += _images(root / "val")
    test = list(_images(root / "test"))
    for name, found in (("train", train), ("test", test)):
        if not found:
            raise UserError(f"no images in {root / name}: {LAYOUT}")
    classes = sorted({label for label, _, _ in train})
    strangers = sorted({label for label, _, _ in test} - set(classes))
    if strangers:
        raise UserError(
            f"{root}: the class {strangers[0]!r} has test images but no training images: "
            f"add some to {root / 'train' / strangers[0]} or remove it from test"
        )
    if len(classes) < 2:
        raise UserError(f"{root}: a classifier needs two classes, there is only {classes[0]!r}")
    number = {label: index for index, label in enumerate(classes)}

    def split_of(images: list[tuple[str, Path, int]]) -> Split:
        return Split(
            paths=tuple(path for _, path, _ in images),
            labels=np.array([number[label] for label, _, _ in images], dtype=np.int64),
        )

    return Dataset(
        name=root.resolve().name,
        classes=tuple(classes),
        train=split_of(train),
        test=split_of(test),
        fingerprint=_fingerprint(root, train, test),
    )


def _images(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """(class, path, bytes) of each image below a split's folder, sorted."""
    for name in sorted(os.listdir(folder)):
        if not name.startswith(".") and (folder / name).is_dir():
            for path, size in sorted(_walk(folder / name)):
                yield name, path, size


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if entry.is_dir():
                yield from _walk(path)
            elif path.suffix.lower() in ENDINGS:
                yield path, entry.stat().st_size


def _fingerprint(root: Path, *splits: list[tuple[str, Path, int]]) -> str:
    """Hash of the images' splits, names and sizes, not of their pixels."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(b"split\n")
        for _, path, size in split:
            digest.update(f"{path.relative_to(root).as_posix()} {size}\n".encode())
    return digest.hexdigest()
