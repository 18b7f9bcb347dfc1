"""Image folders: any tree, and a sentence for everything that is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmark.contracts import Silent, UserError, load
from datasets.folder.card import CARD
from datasets.folder.reader import open_dataset, read_folder


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5)).save(root / name)


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "fruit"
    put(
        folder,
        "train/pear/2.png", "train/pear/1.JPG", "train/apple/deep/er/3.jpeg",
        "test/apple/4.png", "test/pear/5.bmp",
        "val/apple/6.png",
    )  # fmt: skip
    return folder


def names(paths) -> list[str]:
    return ["/".join(path.parts[-2:]) for path in paths]


def test_classes_and_samples_are_sorted(root):
    data = read_folder(root)
    assert data.name == "fruit"
    assert data.classes == ("apple", "pear")
    assert names(data.train.paths) == ["er/3.jpeg", "pear/1.JPG", "pear/2.png"]
    assert data.train.labels.tolist() == [0, 1, 1]
    assert names(data.test.paths) == ["apple/4.png", "pear/5.bmp"]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.boxes is None
    assert not data.crop_boxes


def test_hidden_and_other_files_are_ignored(root):
    put(root, "train/pear/.hidden.png", "train/.cache/7.png", "train/pear/.thumbs/8.png")
    (root / "train/pear/notes.txt").write_text("sweet")
    (root / "train/stray.png").write_bytes(b"in no class")
    assert len(read_folder(root).train) == 3


def test_val_is_ignored_unless_asked_for(root):
    merged = open_dataset({"path": str(root), "merge_val": "true"}, None, root, Silent())
    assert "apple/6.png" in names(merged.train.paths)
    assert len(merged.train) == 4
    plain = open_dataset({"path": str(root), "merge_val": "false"}, None, root, Silent())
    assert len(plain.train) == 3
    assert merged.fingerprint != plain.fingerprint


def test_a_tested_class_needs_training_images(root):
    put(root, "test/quince/9.png")
    with pytest.raises(UserError, match=r"'quince' has test images but no training images"):
        read_folder(root)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_named(root, split):
    (root / split).rename(root / "elsewhere")
    with pytest.raises(UserError, match=rf"{split} does not exist.*train/CLASS"):
        read_folder(root)


def test_an_empty_split_is_named(tmp_path):
    (tmp_path / "train/a").mkdir(parents=True)
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match=r"no images in .*train"):
        read_folder(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    put(tmp_path, "train/a/1.png", "test/a/2.png")
    with pytest.raises(UserError, match="needs two classes"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs a path"),
        ({"path": "/nowhere/at/all"}, "/nowhere/at/all does not exist"),
        ({"path": ".", "shuffle": "1"}, "not shuffle"),
        ({"path": ".", "merge_val": "maybe"}, "true or false, not 'maybe'"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(UserError, match=words):
        open_dataset(arguments, None, Path(), Silent())


def test_merging_a_missing_val(root):
    (root / "val/apple/6.png").unlink()
    (root / "val/apple").rmdir()
    (root / "val").rmdir()
    with pytest.raises(UserError, match=r"no folder .*val"):
        read_folder(root, merge_val=True)


def test_the_fingerprint_is_that_of_the_content(root):
    first = read_folder(root).fingerprint
    moved = root.rename(root.parent / "moved")
    assert read_folder(moved).fingerprint == first
    Image.new("RGB", (90, 90), (3, 4, 5)).save(moved / "test/apple/4.png")
    changed = read_folder(moved).fingerprint
    assert changed != first
    (moved / "test/apple/4.png").rename(moved / "test/apple/other.png")
    assert read_folder(moved).fingerprint not in (first, changed)


def test_the_card_opens_it(root):
    assert load(CARD.open)({"path": str(root)}, None, root, Silent()).name == "fruit"
