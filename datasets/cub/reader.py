"""Reader of the on-disk layout of CUB-200-2011 (Wah et al. 2011, Caltech CNS-TR-2011-001).

Needed in the root folder: ``images.txt``, ``classes.txt``, ``image_class_labels.txt``,
``train_test_split.txt``, ``bounding_boxes.txt`` and the folder ``images``. Read where present:
``parts/parts.txt`` with ``parts/part_locs.txt``,
``attributes/class_attribute_labels_continuous.txt``, ``attributes/image_attribute_labels.txt``,
and the names of the attributes, which the distributed archive has beside the root and other
copies inside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmark.contracts import Dataset, ImageAttributes, Progress, Split, UserError

FOLDER = "CUB_200_2011"
NEEDED = (
    "images.txt",
    "classes.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
)
OPTIONAL = (
    "parts/parts.txt",
    "parts/part_locs.txt",
    "attributes/class_attribute_labels_continuous.txt",
    "attributes/image_attribute_labels.txt",
)
ATTRIBUTE_NAMES = ("attributes/attributes.txt", "attributes.txt", "../attributes.txt")
GET_IT = (
    "download CUB_200_2011.tgz from https://data.caltech.edu/records/65de6-vp158, extract it, and "
    f"give the folder that holds {FOLDER} as --data-root"
)


def open_dataset(
    arguments: dict[str, str], data_root: Path | None, cache_dir: Path, progress: Progress
) -> Dataset:
    """Open CUB-200-2011 below ``data_root``; it has no arguments and caches nothing.

    Raises:
        UserError: no ``data_root``, files that are missing or can't be read, or an argument.
    """
    if arguments:
        raise UserError(f"the dataset cub takes no arguments, but got {', '.join(arguments)}")
    if data_root is None:
        raise UserError(f"the dataset cub needs --data-root: {GET_IT}")
    return read_layout(find_root(data_root), "cub", advice=GET_IT)


def find_root(data_root: Path) -> Path:
    """The folder that holds ``images.txt``: ``data_root`` itself, or ``CUB_200_2011`` at most two
    levels below it (``CUB_200_2011`` or ``CUB200/CUB_200_2011``).

    Raises:
        UserError: there is none; the message names the folders that were looked at.
    """
    candidates = [data_root, data_root / FOLDER, *sorted(data_root.glob(f"*/{FOLDER}"))]
    for folder in candidates:
        if (folder / "images.txt").is_file():
            return folder
    found = [folder for folder in candidates[1:] if folder.is_dir()]
    if found:  # an incomplete copy: the reader says what it lacks
        return found[0]
    state = "" if data_root.is_dir() else f" ({data_root} does not exist)"
    raise UserError(
        f"no CUB-200-2011 in {data_root}{state}: looked for images.txt in {data_root}, "
        f"{data_root / FOLDER} and {data_root / '*' / FOLDER}; {GET_IT}"
    )


def read_layout(
    root: Path, name: str, *, advice: str = "restore the missing files", pairs_file: str = ""
) -> Dataset:
    """Read a dataset in the layout of CUB-200-2011.

    Args:
        root: folder that holds ``images.txt``.
        name: of the resulting dataset.
        advice: what to do when files are missing, for the error.
        pairs_file: a file in the root with two class ids a row, for :attr:`Dataset.pairs`.

    Returns:
        Samples in the order of the image ids; labels from 0 in the order of the class ids; class
        attributes divided by 100; the image attributes of the training images alone.

    Raises:
        UserError: files are missing, don't fit together, or can't be parsed.
    """
    missing = [file for file in NEEDED if not (root / file).is_file()]
    missing += [] if (root / "images").is_dir() else ["images/"]
    if missing:
        raise UserError(f"{name}: looked in {root}, where {', '.join(missing)} missing; {advice}")

    files = _names(root / "images.txt")
    ids = np.array(sorted(files))
    sizes = _image_sizes(root / "images", files.values())
    absent = [file for file in files.values() if file not in sizes]
    if absent:
        raise UserError(
            f"{name}: {len(absent)} of the {len(files)} images that {root / 'images.txt'} lists "
            f"are missing in {root / 'images'}, such as {absent[0]}; {advice}"
        )
    classes = _names(root / "classes.txt")
    class_ids = np.array(sorted(classes))
    labels = _index(class_ids, _column(root / "image_class_labels.txt", ids, 1)[:, 0], "class",
                    root / "image_class_labels.txt")  # fmt: skip
    training = _column(root / "train_test_split.txt", ids, 1)[:, 0] == 1
    boxes = _column(root / "bounding_boxes.txt", ids, 4)
    part_names, parts = _parts(root, ids)
    for split, rows in (("training", training), ("test", ~training)):
        if not rows.any():
            raise UserError(f"{root / 'train_test_split.txt'} leaves no {split} images")

    def split_of(rows: np.ndarray) -> Split:
        return Split(
            paths=tuple(root / "images" / files[i] for i in ids[rows]),
            labels=labels[rows],
            boxes=boxes[rows],
            parts=None if parts is None else parts[rows],
        )

    attribute_file = next((root / f for f in ATTRIBUTE_NAMES if (root / f).is_file()), None)
    attributes = {} if attribute_file is None else _names(attribute_file)
    pairs = root / pairs_file if pairs_file else None
    read = [root / file for file in (*NEEDED, *OPTIONAL)] + [
        file for file in (attribute_file, pairs) if file is not None
    ]
    return Dataset(
        name=name,
        classes=tuple(classes[i] for i in class_ids),
        train=split_of(training),
        test=split_of(~training),
        fingerprint=_fingerprint([file for file in read if file.is_file()], sizes),
        crop_boxes=True,
        part_names=part_names,
        attribute_names=tuple(attributes[i] for i in sorted(attributes)),
        class_attributes=_class_attributes(root, len(classes), len(attributes)),
        image_attributes=_image_attributes(root, ids[training], attributes),
        pairs=None if pairs is None else _pairs(pairs, class_ids),
    )


# ------------------------------------------------------------------------------------------ tables


def _names(file: Path) -> dict[int, str]:
    """Rows of "id name"; a name may hold blanks."""
    found: dict[int, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        word, _, text = line.strip().partition(" ")
        if not word:
            continue
        if not word.isdigit() or not text:
            raise UserError(f"{file}, line {number}: expected an id and a name, got {line!r}")
        found[int(word)] = text.strip()
    if not found:
        raise UserError(f"{file} is empty")
    return found


def _rows(file: Path, columns: int) -> np.ndarray:
    """The first columns of a table of numbers; rows may have further ones (real CUB's do)."""
    try:
        return np.loadtxt(file, usecols=range(columns), ndmin=2)
    except ValueError as error:
        raise UserError(f"{file} can't be read as a table of numbers: {error}") from error


def _index(known: np.ndarray, values: np.ndarray, what: str, file: Path) -> np.ndarray:
    """Positions of ``values`` among the sorted ``known`` ids."""
    position = np.minimum(np.searchsorted(known, values), len(known) - 1)
    strange = known[position] != values
    if strange.any():
        raise UserError(f"{file} refers to the {what} {values[strange][0]:g}, which is not listed")
    return position


def _column(file: Path, ids: np.ndarray, columns: int) -> np.ndarray:
    """(N, columns) values of a table "image id, values", in the order of ``ids``."""
    table = _rows(file, columns + 1)
    position = _index(ids, table[:, 0], "image", file)
    values = np.full((len(ids), columns), np.nan)
    values[position] = table[:, 1:]
    lacking = np.isnan(values).any(axis=1)
    if lacking.any():
        raise UserError(f"{file} lacks the image {ids[lacking][0]} of images.txt")
    return values


def _parts(root: Path, ids: np.ndarray) -> tuple[tuple[str, ...], np.ndarray | None]:
    names_file, places_file = root / "parts/parts.txt", root / "parts/part_locs.txt"
    if not (names_file.is_file() and places_file.is_file()):
        return (), None
    names = _names(names_file)
    part_ids = np.array(sorted(names))
    table = _rows(places_file, 5)
    parts = np.zeros((len(ids), len(names), 3))
    image = _index(ids, table[:, 0], "image", places_file)
    part = _index(part_ids, table[:, 1], "part", places_file)
    parts[image, part] = table[:, 2:]
    return tuple(names[i] for i in part_ids), parts


def _class_attributes(root: Path, classes: int, attributes: int) -> np.ndarray | None:
    file = root / "attributes/class_attribute_labels_continuous.txt"
    if not file.is_file():
        return None
    try:
        percent = np.loadtxt(file, ndmin=2)
    except ValueError as error:
        raise UserError(f"{file} can't be read as a table of numbers: {error}") from error
    if len(percent) != classes or (attributes and percent.shape[1] != attributes):
        raise UserError(
            f"{file} has {percent.shape[0]} rows and {percent.shape[1]} columns, but there are "
            f"{classes} classes and {attributes} attributes"
        )
    return percent / 100


def _image_attributes(
    root: Path, training_ids: np.ndarray, attributes: dict[int, str]
) -> ImageAttributes | None:
    """Columns: image id, attribute id, present, certainty (and the annotator's time, unread)."""
    file = root / "attributes/image_attribute_labels.txt"
    if not file.is_file():
        return None
    if not attributes:
        raise UserError(f"{file} is there, but the names of the attributes (attributes.txt) aren't")
    table = _rows(file, 4).astype(np.int64)
    table = table[np.isin(table[:, 0], training_ids)]
    return ImageAttributes(
        image=np.searchsorted(training_ids, table[:, 0]),
        attribute=_index(np.array(sorted(attributes)), table[:, 1], "attribute", file),
        present=table[:, 2] == 1,
        certainty=table[:, 3].astype(np.int8),
    )


def _pairs(file: Path, class_ids: np.ndarray) -> np.ndarray | None:
    if not file.is_file():
        return None
    return _index(class_ids, _rows(file, 2), "class", file).astype(np.int64)


# ------------------------------------------------------------------------------------- fingerprint


def _image_sizes(folder: Path, files: Iterable[str]) -> dict[str, int]:
    """Bytes of each listed image that is there, by name, folder by folder."""
    found: dict[str, int] = {}
    wanted = set(files)
    for sub in {os.path.dirname(file) for file in wanted}:
        found.update(
            (name, size) for name, size in _sizes(folder / sub, sub) if name in wanted
        )  # fmt: skip
    return found


def _sizes(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            yield f"{prefix}/{entry.name}" if prefix else entry.name, entry.stat().st_size


def _fingerprint(files: Iterable[Path], sizes: dict[str, int]) -> str:
    """Hash of the annotations' bytes and of the images' names and sizes, not of their pixels."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    for image, size in sorted(sizes.items()):
        digest.update(f"{image} {size}\n".encode())
    return digest.hexdigest()
