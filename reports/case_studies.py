"""What several explainers see in one image and in those most similar to it.

Drawn for every explainer whose run left ``case_studies.json`` and ``case_studies.npz`` among its
artifacts, as figure 2 of Lam et al. (ICCV 2021): a row of pictures, the image and its most similar
training images, and below it a row for each explainer with its heat maps, all of them drawn by the
image's own interpretation. Explainers that found the same similar images share their row.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmark.contracts import UserError
from reports.comparisons import enlarged, overlay, readable
from reports.records import Entry
from reports.style import INK, MUTED, SERIES, SURFACE

FILES = ("case_studies.json", "case_studies.npz")
HEAT = SERIES[1]  # one colour for all explainers: of two hues one always looks stronger
CAPTION = (
    "The number under an image is the probability (0 to 1) of the class predicted for the input; "
    "under a heat map, that of the image with all but the highest 20 % masked. All heat maps of "
    "a row are drawn by the interpretation of the input."
)


@dataclass(frozen=True)
class Picture:
    """``pixels`` (H, W, 3) uint8, and the predicted class's probability, in [0, 1]: of the image
    in a row of images, of what the explainer leaves of it in a row of heat maps."""

    pixels: np.ndarray
    score: float


@dataclass(frozen=True)
class Line:
    """A row of pictures; ``method`` is the explainer's, empty in a row of images."""

    head: str
    method: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Case:
    """One image under all explainers. Each strip begins with a row of images."""

    title: str
    notes: tuple[str, ...]
    strips: tuple[tuple[Line, ...], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns: of as many as the widest row has."""
        widest = max(len(line.pictures) for strip in self.strips for line in strip)
        return ("input", *(f"similar {i}" for i in range(1, widest)))


@dataclass(frozen=True)
class _Found:
    """What one explainer left of one case."""

    entry: Entry
    about: Mapping[str, Any]
    images: tuple[np.ndarray, ...]
    heat: tuple[np.ndarray, ...]


def left_by(artifacts: Path) -> bool:
    """Whether a cell left case studies."""
    return all((artifacts / name).exists() for name in FILES)


def read(artifacts: Mapping[Entry, Path], limit: int = 3) -> list[Case]:
    """The case studies of some explainers of one classifier, case by case.

    Raises :class:`UserError` naming the folder that cannot be understood.
    """
    cases: dict[tuple[int, int], list[_Found]] = {}
    for entry, folder in sorted(artifacts.items(), key=lambda item: item[0].name):
        for found in _read(entry, folder):
            key = (int(found.about["test_image"]), int(found.about["predicted"]))
            cases.setdefault(key, []).append(found)
    return [_case(found) for found in list(cases.values())[:limit]]


def _read(entry: Entry, folder: Path) -> list[_Found]:
    index, arrays = (folder / name for name in FILES)
    try:
        with np.load(arrays, allow_pickle=False) as archive:
            return [
                _Found(
                    entry,
                    about,
                    tuple(archive[f"image_{case}_{i}"] for i in range(len(about["scores"]))),
                    tuple(archive[f"heat_{case}_{i}"] for i in range(len(about["scores"]))),
                )
                for case, about in enumerate(json.loads(index.read_text(encoding="utf-8")))
            ]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"The case studies in {folder} cannot be read ({type(error).__name__}: {error}): "
            "delete that folder and run again to have them written anew."
        ) from error


def _case(found: Sequence[_Found]) -> Case:
    sharing: dict[tuple[Any, ...], list[_Found]] = {}
    for one in found:
        scores = (round(float(score), 4) for score in one.about["scores"])
        sharing.setdefault((*one.about["similar"], *scores), []).append(one)
    # Who found images of their own comes before those who had to borrow a common measure.
    groups = sorted(sharing.values(), key=lambda group: (len(group), group[0].entry.name))
    about = found[0].about
    truth, predicted = readable(about["truth"]), readable(about["class"])
    said = (
        f"rightly predicted as {truth}" if truth == predicted else f"{truth}, taken for {predicted}"
    )
    title = f"Test image {about['test_image']}, {said}"
    notes = tuple(
        f"{one.entry.name}: {', '.join(told)}." for one in found if (told := _told(one.about))
    )
    return Case(title, notes, tuple(_strip(group) for group in groups))


def _told(about: Mapping[str, Any]) -> list[str]:
    """The single numbers that an explainer reports of a case."""
    return [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in (about.get("report") or {}).items()
        if isinstance(value, int | float)
    ]


def _strip(group: Sequence[_Found]) -> tuple[Line, ...]:
    images = tuple(
        Picture(enlarged(image), float(score))
        for image, score in zip(group[0].images, group[0].about["scores"], strict=True)
    )
    names = ", ".join(one.entry.name for one in group)
    lines = [Line(f"Similar images found by {names}", "", images)]
    for one in group:
        pictures = tuple(
            Picture(overlay(image, heat, HEAT), float(score))
            for image, heat, score in zip(
                one.images, one.heat, one.about["masked_scores"], strict=True
            )
        )
        lines.append(Line(one.entry.name, one.entry.method, pictures))
    return tuple(lines)


def figure(case: Case) -> Figure:
    """The case as a figure for print."""
    lines = [line for strip in case.strips for line in strip]
    result = Figure(figsize=(1.6 + 1.1 * len(case.columns), 1.3 * len(lines)), layout="constrained")
    grid = result.subplots(len(lines), len(case.columns), squeeze=False)
    for row, line in zip(grid, lines, strict=True):
        for axes in row:
            axes.set(xticks=[], yticks=[], facecolor=SURFACE)
            axes.spines[:].set_visible(False)
        for axes, picture in zip(row, line.pictures, strict=False):
            axes.imshow(picture.pixels)
            axes.set_xlabel(f"{picture.score:.2f}", fontsize=8, labelpad=2, color=INK)
        head = "\n".join(textwrap.wrap(line.head, width=24))
        row[0].set_ylabel(
            head, fontsize=8, rotation=0, ha="right", va="center",
            color=INK if line.method else MUTED,
        )  # fmt: skip
    for axes, name in zip(grid[0], case.columns, strict=True):
        axes.set_title(name, fontsize=8, color=MUTED)
    return result
