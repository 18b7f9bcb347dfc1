"""The dataset as a whole: its layout, its cache, and that it is no giveaway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmark.contracts import Silent, UserError, load
from datasets.cub.reader import read_layout
from datasets.toybirds import layout, reader, workers
from datasets.toybirds.card import CARD
from datasets.toybirds.reader import open_dataset, prepare
from datasets.toybirds.size import Size, parse
from datasets.transforms import Preprocessing, move_points, test_image

SMALL = {"classes": "8", "images": "5", "pixels": "48"}
CUB_FILES = (
    "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt",
    "bounding_boxes.txt", "parts/parts.txt", "parts/part_locs.txt", "attributes/attributes.txt",
    "attributes/certainties.txt", "attributes/image_attribute_labels.txt",
    "attributes/class_attribute_labels_continuous.txt",
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small(cache):
    return load(CARD.open)(SMALL, None, cache, Silent())


def contents(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


# ------------------------------------------------------------------------------------------ layout


def test_it_is_cubs_layout(small, cache):
    root = prepare(parse(SMALL), cache, Silent())
    assert all((root / name).is_file() for name in CUB_FILES)
    plain = read_layout(root, "cub")  # CUB's own way, which knows of no pairs
    assert plain.train.paths == small.train.paths
    assert plain.pairs is None
    first = (root / "images.txt").read_text().splitlines()[0].split()
    assert first[0] == "1"
    assert first[1].startswith("001.")
    assert (root / "images" / first[1]).is_file()


def test_what_it_holds(small):
    assert small.name == "toybirds:classes=8,images=5,pixels=48"
    assert len(small.classes) == 8
    assert np.bincount(small.train.labels).tolist() == [3] * 8
    assert np.bincount(small.test.labels).tolist() == [2] * 8
    assert len(set(small.train.paths) | set(small.test.paths)) == 40
    assert small.pairs.shape == (2, 2)
    assert len(small.part_names) == 15
    assert small.class_attributes.shape == (8, len(small.attribute_names))
    assert small.crop_boxes


def test_each_group_of_class_attributes_adds_up(small):
    groups = [name.partition("::")[0] for name in small.attribute_names]
    for group in set(groups):
        columns = [i for i, name in enumerate(groups) if name == group]
        np.testing.assert_allclose(small.class_attributes[:, columns].sum(1), 1, atol=1e-6)


def test_image_attributes_have_cubs_meaning(small):
    rows = small.image_attributes
    assert len(rows.image) == len(small.train) * len(small.attribute_names)
    assert set(rows.certainty.tolist()) <= {1, 2, 3, 4}
    assert not rows.present[rows.certainty == 1].any()
    sure = rows.certainty == 4
    species = small.class_attributes[small.train.labels[rows.image], rows.attribute]
    # Who is sure is right: the species' own value is what most of its annotators saw.
    assert ((species > 0.5) == rows.present)[sure].all()


def test_parts_move_with_the_crop(small):
    plain = Preprocessing(32, "box", (0, 0, 0), (1, 1, 1))
    for path, box, parts in zip(
        small.train.paths, small.train.boxes, small.train.parts, strict=True
    ):
        assert test_image(path, box, plain).shape == (3, 32, 32)
        seen = parts[parts[:, 2] == 1]
        assert len(seen) > 3
        assert (move_points(seen, box, (48, 48), plain)[:, 2] == 1).all()


# -------------------------------------------------------------------------------- how it is made


def test_same_parameters_same_bytes(small, cache, tmp_path):
    size = parse(SMALL)
    again = prepare(size, tmp_path, Silent())
    assert contents(again) == contents(prepare(size, cache, Silent()))
    other = open_dataset(SMALL | {"seed": "1"}, None, tmp_path, Silent())
    assert other.fingerprint != small.fingerprint


def test_workers_paint_what_one_process_paints(small, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ALONE", 15)
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    size = parse(SMALL)
    assert contents(prepare(size, tmp_path, Silent())) == contents(prepare(size, cache, Silent()))


def test_a_failing_worker_fails_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ALONE", 1)
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(RuntimeError, match="status 1"):
        list(workers.render_images(blocked, parse(SMALL)))


def test_it_is_found_again(small, cache, monkeypatch):
    monkeypatch.setattr(reader, "render_images", lambda *_: pytest.fail("painted twice"))
    assert open_dataset(SMALL, None, cache, Silent()).fingerprint == small.fingerprint


def test_an_interrupted_rendering_is_not_taken_for_a_whole_one(small, tmp_path, monkeypatch):
    def cut_short(root, size):
        for count, image in enumerate(workers.render_images(root, size)):
            if count == 7:
                raise KeyboardInterrupt
            yield image

    with monkeypatch.context() as patch:
        patch.setattr(reader, "render_images", cut_short)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(SMALL, None, tmp_path, Silent())
    assert not [f for f in tmp_path.iterdir() if f.is_dir() and f.suffix != ".part"]
    assert open_dataset(SMALL, None, tmp_path, Silent()).fingerprint == small.fingerprint
    assert [f.suffix for f in tmp_path.iterdir() if f.is_dir()] == [""]


def test_two_processes_at_once(small, tmp_path):
    program = (
        "import sys; from pathlib import Path; from benchmark.contracts import Silent\n"
        "from datasets.toybirds.reader import open_dataset\n"
        f"print(open_dataset({SMALL!r}, None, Path(sys.argv[1]), Silent()).fingerprint)"
    )
    home = str(Path(__file__).resolve().parents[3])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": home},
        )
        for _ in range(2)
    ]
    prints = [process.communicate(timeout=120)[0].strip() for process in running]
    assert prints == [small.fingerprint] * 2


def test_images_are_the_same_in_a_larger_set_of_images(tmp_path):
    few, many = Size(classes=4, images=2, pixels=48), Size(classes=4, images=4, pixels=48)
    list(layout.write_images(tmp_path / "few", few, [1]))
    list(layout.write_images(tmp_path / "many", many, [1]))
    assert contents(tmp_path / "few") == contents(tmp_path / "many")


# --------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": "1"}, "classes .* from 2 to 1000, not '1'"),
        ({"classes": "many"}, "whole number from 2 to 1000, not 'many'"),
        ({"images": "1"}, "images .* from 2"),
        ({"pixels": "4096"}, "pixels .* to 512"),
        ({"seed": "-1"}, "seed .* from 0"),
        ({"pixels": "96.5"}, "whole number"),
        ({"species": "40"}, "knows classes, images, pixels, seed, not 'species'"),
    ],
)
def test_wrong_arguments(arguments, words, tmp_path):
    with pytest.raises(UserError, match=words):
        open_dataset(arguments, None, tmp_path, Silent())
    assert not list(tmp_path.iterdir())


def test_defaults():
    assert parse({}) == Size(classes=40, images=60, pixels=96, seed=0)
    assert parse({"classes": "200", "images": "60", "pixels": "224"}).pixels == 224


# ---------------------------------------------------------------------------------- no giveaway


@pytest.mark.parametrize("crop", ["box", "centre"])
def test_thumbnails_do_not_give_it_away(forty, crop):
    """8 x 8 thumbnails, both of the whole image and of the crop that a network sees."""
    plain = Preprocessing(8, crop, (0, 0, 0), (1, 1, 1))

    def thumbnails(split):
        images = [test_image(p, b, plain) for p, b in zip(split.paths, split.boxes, strict=True)]
        return np.stack([image.numpy().ravel() for image in images]) / 255

    model = LogisticRegression(C=3.0, max_iter=300)
    model.fit(thumbnails(forty.train), forty.train.labels)
    accuracy = model.score(thumbnails(forty.test), forty.test.labels)
    assert 0.05 < accuracy < 0.40


@pytest.fixture(scope="module")
def forty(cache):
    """The default's species and images, painted smaller: at 8 x 8 there is no difference."""
    return open_dataset({"pixels": "48"}, None, cache, Silent())


def test_twins_are_the_most_similar_classes(forty):
    unit = forty.class_attributes / np.linalg.norm(forty.class_attributes, axis=1, keepdims=True)
    similar = np.triu(unit @ unit.T, 1)
    order = np.argsort(similar.ravel())[::-1][: len(forty.pairs)]
    best = {tuple(map(int, np.unravel_index(i, similar.shape))) for i in order}
    assert best == {tuple(pair) for pair in forty.pairs.tolist()}
