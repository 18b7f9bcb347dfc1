"""The reader of CUB's layout: on a small layout written here, and on real annotations."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.contracts import Silent, UserError
from datasets.cub.card import CARD
from datasets.cub.reader import NEEDED, find_root, open_dataset, read_layout
from datasets.transforms import Preprocessing, move_points, test_image

ATTRIBUTES = ("has_bill_shape::cone", "has_bill_shape::dagger", "has_wing_color::blue")


@pytest.fixture
def root(tmp_path) -> Path:
    """Four images (ids 2, 3, 5, 9) of two classes (ids 4 and 7), rows out of order."""
    folder = tmp_path / "CUB_200_2011"
    files = {
        "images.txt": "5 004.Red_Tit/Red Tit_1.png\n2 004.Red_Tit/b.png\n3 007.Wren/c.png\n"
        "9 007.Wren/d.png\n",
        "classes.txt": "4 004.Red_Tit\n7 007.Wren\n",
        "image_class_labels.txt": "9 7\n5 4\n2 4\n3 7\n",
        "train_test_split.txt": "2 0\n3 1\n5 1\n9 0\n",
        "bounding_boxes.txt": "2 1.0 2.0 3.0 4.0\n3 0.0 0.5 6.0 6.0\n5 1.5 1.0 5.0 4.0\n"
        "9 2.0 2.0 4.0 4.0\n",
        "parts/parts.txt": "1 back\n2 left eye\n",
        "parts/part_locs.txt": "2 1 2.0 3.0 1\n2 2 0.0 0.0 0\n3 1 4.5 5.0 1\n5 2 3.0 2.0 1\n",
        "attributes.txt": "".join(f"{i} {name}\n" for i, name in enumerate(ATTRIBUTES, 1)),
        "attributes/class_attribute_labels_continuous.txt": "100.0 0.0 25.5\n0.0 50.0 100.0\n",
        # Real rows differ in length too.
        "attributes/image_attribute_labels.txt": "2 1 1 4 5.5\n3 2 0 3 0 1.5\n3 3 1 2 0 0 1.5\n"
        "5 1 1 1 2.0\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for name in (
        "004.Red_Tit/Red Tit_1.png",
        "004.Red_Tit/b.png",
        "007.Wren/c.png",
        "007.Wren/d.png",
    ):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (0, 90, 0)).save(folder / "images" / name)
    return folder


def opened(root: Path):
    return open_dataset({}, root, root, Silent())


def test_everything_is_read_in_the_order_of_the_image_ids(root):
    data = opened(root)
    assert data.name == "cub"
    assert data.classes == ("004.Red_Tit", "007.Wren")
    assert [p.name for p in data.train.paths] == ["c.png", "Red Tit_1.png"]
    assert [p.name for p in data.test.paths] == ["b.png", "d.png"]
    assert data.train.labels.tolist() == [1, 0]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.train.boxes.tolist() == [[0, 0.5, 6, 6], [1.5, 1, 5, 4]]
    assert data.crop_boxes
    assert data.fine_grained
    assert data.pairs is None
    assert all(path.is_file() for path in data.train.paths + data.test.paths)


def test_parts_attributes_and_certainties(root):
    data = opened(root)
    assert data.part_names == ("back", "left eye")
    assert data.train.parts.tolist() == [[[4.5, 5, 1], [0, 0, 0]], [[0, 0, 0], [3, 2, 1]]]
    assert data.attribute_names == ATTRIBUTES
    np.testing.assert_allclose(data.class_attributes, [[1, 0, 0.255], [0, 0.5, 1]])
    rows = data.image_attributes  # of the training images 3 and 5 alone
    assert rows.image.tolist() == [0, 0, 1]
    assert rows.attribute.tolist() == [1, 2, 0]
    assert rows.present.tolist() == [False, True, True]
    assert rows.certainty.tolist() == [3, 2, 1]


@pytest.mark.parametrize("place", ["attributes/attributes.txt", "../attributes.txt"])
def test_attribute_names_may_lie_elsewhere(root, place):
    (root / "attributes.txt").rename(root / place)
    assert opened(root).attribute_names == ATTRIBUTES


def test_what_is_optional_may_be_absent(root):
    for name in ("parts", "attributes"):
        for file in (root / name).iterdir():
            file.unlink()
    (root / "attributes.txt").unlink()
    data = opened(root)
    assert data.train.parts is None
    assert data.class_attributes is None
    assert data.image_attributes is None
    assert data.part_names == data.attribute_names == ()


def test_windows_line_ends(root):
    expected = opened(root)
    for file in root.rglob("*.txt"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    found = opened(root)
    assert found.classes == expected.classes
    assert found.train.paths == expected.train.paths
    assert np.array_equal(found.train.parts, expected.train.parts)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_data_root_may_lie_above(root, levels):
    if levels == 2:
        (root.parent / "CUB200").mkdir()
        root = root.rename(root.parent / "CUB200" / "CUB_200_2011")
    given = [root, *root.parents][levels]
    assert find_root(given) == root
    assert len(open_dataset({}, given, given, Silent()).train) == 2


# ------------------------------------------------------------------------------------------ errors


def test_no_data_root():
    with pytest.raises(UserError, match=r"needs --data-root.*CUB_200_2011\.tgz"):
        open_dataset({}, None, Path(), Silent())


def test_an_empty_data_root_says_where_it_looked_and_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"images\.txt") as error:
        open_dataset({}, tmp_path, tmp_path, Silent())
    for word in (str(tmp_path), str(tmp_path / "CUB_200_2011"), "download", "--data-root"):
        assert word in str(error.value)
    with pytest.raises(UserError, match="does not exist"):
        open_dataset({}, tmp_path / "nowhere", tmp_path, Silent())


@pytest.mark.parametrize("file", NEEDED)
def test_each_needed_file_is_named_when_missing(root, file):
    (root / file).unlink()
    with pytest.raises(UserError) as error:
        opened(root.parent)
    assert file in str(error.value)
    assert str(root) in str(error.value)


def test_missing_images_are_counted_and_named(root):
    (root / "images/007.Wren/d.png").unlink()
    with pytest.raises(UserError, match=r"1 of the 4 images.*007\.Wren/d\.png"):
        opened(root)


def test_arguments_are_refused(root):
    with pytest.raises(UserError, match="no arguments, but got size"):
        open_dataset({"size": "3"}, root, root, Silent())


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("bounding_boxes.txt", "2 1 2 3 4\n3 0 0 6 6\n9 1 1 2 2\n", "lacks the image 5"),
        ("bounding_boxes.txt", "2 1 2 3 four\n", "table of numbers"),
        ("image_class_labels.txt", "9 7\n5 4\n2 4\n3 8\n", "class 8"),
        ("image_class_labels.txt", "9 7\n5 4\n2 4\n3 7\n77 7\n", "image 77"),
        ("train_test_split.txt", "2 1\n3 1\n5 1\n9 1\n", "no test images"),
        ("classes.txt", "one 004.Red_Tit\n", "line 1"),
        ("images.txt", "", "is empty"),
        ("parts/part_locs.txt", "2 9 1.0 1.0 1\n", "part 9"),
        ("attributes/class_attribute_labels_continuous.txt", "1.0 2.0\n", "1 rows and 2 columns"),
        ("attributes/image_attribute_labels.txt", "3 8 1 4 1.0\n", "attribute 8"),
    ],
)
def test_what_does_not_fit_together_names_the_file(root, file, content, words):
    (root / file).write_text(content)
    with pytest.raises(UserError, match=words) as error:
        opened(root)
    assert Path(file).name in str(error.value)


# ------------------------------------------------------------------------------------- fingerprint


def test_the_fingerprint_is_that_of_the_content(root):
    first = opened(root).fingerprint
    assert opened(root).fingerprint == first
    moved = root.rename(root.parent / "elsewhere")
    assert opened(moved).fingerprint == first


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bounding_boxes.txt", "2 1.0", "2 1.5"),
        ("attributes.txt", "cone", "hooked"),
        ("parts/part_locs.txt", "4.5", "4.6"),
        ("attributes/image_attribute_labels.txt", "3 2 0", "3 2 1"),
    ],
)
def test_changed_annotations_change_the_fingerprint(root, file, old, new):
    first = opened(root).fingerprint
    (root / file).write_text((root / file).read_text().replace(old, new))
    assert opened(root).fingerprint != first


def test_a_changed_image_changes_the_fingerprint(root):
    first = opened(root).fingerprint
    Image.new("RGB", (30, 8)).save(root / "images/007.Wren/d.png")
    assert opened(root).fingerprint != first
    other = opened(root).fingerprint
    (root / "images/007.Wren/beside.png").write_bytes(b"not listed, so of no account")
    assert opened(root).fingerprint == other


# --------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def annotations(shared, tmp_path_factory):
    """The real annotation files, with empty files for the photographs."""
    folder = tmp_path_factory.mktemp("annotations")
    with tarfile.open(shared / "data" / "cub_annotations.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    root = folder / "cub_annotations"
    for line in (root / "images.txt").read_text().splitlines():
        file = root / "images" / line.split()[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def test_the_real_annotations(annotations):
    data = read_layout(annotations, "cub")
    assert (len(data.train), len(data.test)) == (5994, 5794)
    assert len(data.classes) == 200
    assert data.classes[0] == "001.Black_footed_Albatross"
    assert len(data.part_names) == 15
    assert len(data.attribute_names) == 312
    assert data.class_attributes.shape == (200, 312)
    assert 0 <= data.class_attributes.min() < data.class_attributes.max() <= 1
    assert data.image_attributes is None
    assert set(np.bincount(data.train.labels)) == {29, 30}


def test_shiny_and_bronzed_cowbird_are_as_similar_as_in_the_paper(annotations):
    # QPM, figure 4: Psi^gt = 0.97.
    data = read_layout(annotations, "cub")
    shiny, bronzed = (
        data.class_attributes[next(i for i, name in enumerate(data.classes) if kind in name)]
        for kind in ("Shiny_Cowbird", "Bronzed_Cowbird")
    )
    cosine = shiny @ bronzed / np.linalg.norm(shiny) / np.linalg.norm(bronzed)
    assert round(float(cosine), 2) == 0.97


@pytest.fixture(scope="module")
def photographs(shared, tmp_path_factory):
    """103 real images in the real layout."""
    folder = tmp_path_factory.mktemp("photographs")
    with tarfile.open(shared / "data" / "cub2011_mini_96.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return read_layout(folder / "cub2011_mini_96", "cub")


def test_real_photographs_open_and_crop(photographs):
    assert len(photographs.train) + len(photographs.test) == 103
    plain = Preprocessing(32, "box", (0, 0, 0), (1, 1, 1))
    for split in (photographs.train, photographs.test):
        for path, box, label in zip(split.paths, split.boxes, split.labels, strict=True):
            assert test_image(path, box, plain).shape == (3, 32, 32)
            assert photographs.classes[label] == path.parent.name


def test_real_parts_lie_inside_their_boxes(photographs):
    plain = Preprocessing(96, "box", (0, 0, 0), (1, 1, 1))
    for split in (photographs.train, photographs.test):
        for path, box, parts in zip(split.paths, split.boxes, split.parts, strict=True):
            with Image.open(path) as image:
                size = image.size
            seen = parts[parts[:, 2] == 1]
            moved = move_points(seen, box, size, plain)
            assert moved[:, 2].all()
            assert ((moved[:, :2] >= 0) & (moved[:, :2] <= 96)).all()


def test_the_card_opens_it(root):
    from benchmark.contracts import load

    assert load(CARD.open)({}, root, root, Silent()).name == CARD.name
