"""Writes toybirds in the on-disk layout of CUB-200-2011.

Besides CUB's files there is ``pairs.txt``: the class ids of two twins in each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.toybirds.pose import PART_NAMES
from datasets.toybirds.render import render
from datasets.toybirds.size import Size
from datasets.toybirds.species import GROUPS, Species, attribute_names, make_species

CERTAINTIES = ("not visible", "guessing", "probably", "definitely")
# How often an annotator is wrong, by certainty. If nobody ever was, all twins would be equally
# similar, and which pairs are the most similar ones left to chance.
MISTAKEN = {1: 0.0, 2: 0.35, 3: 0.15, 4: 0.0}
PAIRS_FILE = "pairs.txt"
ABOUT = """Birds rendered by the benchmark's own painter; nothing here is a photograph.
Written as {name} in the layout of CUB-200-2011 (Wah et al. 2011), with pairs.txt besides.
Annotators are simulated: what is hidden is "not visible" or guessed, and they are wrong in 35 %
of their guesses and in 15 % of what they call probable. No annotation times: the last column of
attributes/image_attribute_labels.txt is 0.
"""


@dataclass(frozen=True)
class Annotated:
    """What is known of one written image: box, parts that are visible, visible shares."""

    image_id: int
    box: Sequence[float]
    parts: Mapping[str, Sequence[float]]
    visible: Mapping[str, float]


def folder_of(number: int, species: Species) -> str:
    """CUB's name of a class: ``"001.Black_footed_Albatross"`` (numbers from 0 here)."""
    return f"{number + 1:03d}.{species.name}"


def file_of(image_id: int, size: Size, species: Sequence[Species]) -> str:
    """Name of an image below ``images/``; ids count from 1, class after class."""
    number, index = divmod(image_id - 1, size.images)
    bird = species[number]
    return f"{folder_of(number, bird)}/{bird.name}_{index + 1:04d}_{image_id}.jpg"


def write_images(root: Path, size: Size, image_ids: Iterable[int]) -> Iterator[Annotated]:
    """Render images into ``root/images``; each depends on the size and its own id alone."""
    species, _ = make_species(size.classes, size.seed)
    for image_id in image_ids:
        number, index = divmod(image_id - 1, size.images)
        file = root / "images" / file_of(image_id, size, species)
        file.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([size.seed, size.classes, number, index])
        found = render(species[number], size.pixels, rng)
        found.picture.save(file, quality=92, subsampling=0)
        yield Annotated(image_id, found.box, found.parts, found.visible)


def write_annotations(root: Path, size: Size, annotated: Iterable[Annotated]) -> None:
    """Write all text files for images that are there."""
    species, pairs = make_species(size.classes, size.seed)
    known = sorted(annotated, key=lambda image: image.image_id)
    ids = [image.image_id for image in known]
    numbers = [(image_id - 1) // size.images for image_id in ids]
    training = [(image_id - 1) % size.images < size.training for image_id in ids]
    labels = [
        _labels(image, species[n].looks, size) for image, n in zip(known, numbers, strict=True)
    ]

    def write(name: str, lines: Iterable[str]) -> None:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    write("README", ABOUT.format(name=size.name).splitlines())
    write("images.txt", (f"{i} {file_of(i, size, species)}" for i in ids))
    write("classes.txt", (f"{n + 1} {folder_of(n, bird)}" for n, bird in enumerate(species)))
    write("image_class_labels.txt", (f"{i} {n + 1}" for i, n in zip(ids, numbers, strict=True)))
    write("train_test_split.txt", (f"{i} {t:d}" for i, t in zip(ids, training, strict=True)))
    write(
        "bounding_boxes.txt",
        (f"{im.image_id} " + " ".join(f"{v:.1f}" for v in im.box) for im in known),
    )
    write("parts/parts.txt", (f"{number} {name}" for number, name in enumerate(PART_NAMES, 1)))
    write("parts/part_locs.txt", (line for image in known for line in _part_lines(image)))
    write("attributes/attributes.txt", (f"{n} {a}" for n, a in enumerate(attribute_names(), 1)))
    write("attributes/certainties.txt", (f"{n} {word}" for n, word in enumerate(CERTAINTIES, 1)))
    write("attributes/image_attribute_labels.txt", (
        f"{i} {a} {p} {c} 0.0"
        for i, (present, certainty) in zip(ids, labels, strict=True)
        for a, (p, c) in enumerate(zip(present, certainty, strict=True), 1)
    ))  # fmt: skip
    write("attributes/class_attribute_labels_continuous.txt", (
        " ".join(f"{share:.10g}" for share in row) for row in _shares(labels, numbers, size.classes)
    ))  # fmt: skip
    write(PAIRS_FILE, (f"{a + 1} {b + 1}" for a, b in pairs))


def _part_lines(image: Annotated) -> Iterator[str]:
    for number, name in enumerate(PART_NAMES, 1):
        x, y = image.parts.get(name, (0.0, 0.0))
        yield f"{image.image_id} {number} {x:.1f} {y:.1f} {name in image.parts:d}"


def _labels(image: Annotated, looks: Mapping[str, str], size: Size) -> tuple[list[int], list[int]]:
    """Present and certainty of each attribute, as an annotator of this one image gives them."""
    rng = np.random.default_rng([size.seed, size.classes, image.image_id, 1])
    present: list[int] = []
    certainty: list[int] = []
    for name, group in GROUPS.items():
        sure = _certainty(image.visible[group.region], rng)
        seen = looks[name]
        if rng.random() < MISTAKEN[sure]:
            seen = str(rng.choice([value for value in group.values if value != seen]))
        present += [int(sure > 1 and value == seen) for value in group.values]
        certainty += [sure] * len(group.values)
    return present, certainty


def _certainty(visible: float, rng: np.random.Generator) -> int:
    """CUB's 1 to 4, by the share of a region that is not hidden."""
    if visible < 0.15:
        return 1
    if visible < 0.5:
        return 2
    return 4 if visible > 0.85 and rng.random() < 0.85 else 3


def _shares(
    labels: Sequence[tuple[list[int], list[int]]], numbers: Sequence[int], classes: int
) -> np.ndarray:
    """(classes, attributes) per cent of the annotators who saw the part that saw the attribute."""
    present, certainty = (np.array(column) for column in zip(*labels, strict=True))
    seen = np.zeros((2, classes, present.shape[1]))
    np.add.at(seen[0], numbers, present)
    np.add.at(seen[1], numbers, certainty > 1)
    return 100 * seen[0] / np.maximum(seen[1], 1)
