"""Class similarity and Structural Grounding."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from benchmark.contracts import NotApplicable, Tables
from metrics import class_similarity, most_similar_pairs, structural_grounding
from metrics.cosine import cosine_matrix
from metrics.grounding import structural_grounding_of


def test_golden(case, precision, tolerance):
    got = structural_grounding(
        case.tensor("weight", precision), torch.from_numpy(case["class_sim_gt"])
    ).item()
    for key in (
        f"exp_structural_grounding_{precision}",
        f"exp_pipeline_structural_grounding_{precision}",
    ):
        assert got == pytest.approx(float(case[key]), rel=0, abs=tolerance)


def test_golden_pairs_and_cosines(case):
    similarity = torch.from_numpy(case["class_sim_gt"])
    pairs = most_similar_pairs(similarity, 25)
    assert pairs.tolist() == case["own_grounding_pairs"].tolist()  # all 15 where there are fewer
    cosines = cosine_matrix(case.tensor("weight")).fill_diagonal_(0)
    np.testing.assert_allclose(cosines, case["exp_class_cosine_matrix_f64"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 4, 100])
def test_equation_against_a_plain_loop(pairs):
    rng = np.random.default_rng(pairs)
    weight = rng.normal(size=(8, 5))
    similarity = class_similarity(torch.from_numpy(rng.random((8, 6))))
    model = cosine_similarity(weight)
    every = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    best = sorted(every, key=lambda pair: -similarity[pair].item())[:pairs]
    want = sum(model[p] for p in best) / sum(similarity[p].item() for p in best)
    got = structural_grounding(torch.from_numpy(weight), similarity, pairs=pairs)
    assert got.item() == pytest.approx(want, abs=1e-12)


def test_tied_pairs_are_counted_once_each():
    """Golden item 18: ties at the end do not let a pair in by half."""
    similarity = torch.ones(4, 4).fill_diagonal_(0)
    assert most_similar_pairs(similarity, pairs=3).tolist() == [[0, 1], [0, 2], [0, 3]]


def test_a_class_without_weights_is_named():
    """Golden item 18: its cosine is undefined."""
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    similarity = torch.tensor([[0.0, 0.9, 0.1], [0.9, 0.0, 0.2], [0.1, 0.2, 0.0]])
    assert structural_grounding(weight, similarity, pairs=1).item() == pytest.approx(0.5**0.5 / 0.9)
    with pytest.raises(NotApplicable, match=r"classes \[2\] have no nonzero weight"):
        structural_grounding(weight, similarity, pairs=2)
    with pytest.raises(NotApplicable, match="no pair of classes is similar"):
        structural_grounding(weight, torch.zeros(3, 3))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="of 3 classes, class_similarity of 2"):
        structural_grounding(torch.rand(3, 2), torch.rand(2, 2))
    with pytest.raises(ValueError, match=r"a \(C, C\) matrix"):
        most_similar_pairs(torch.rand(2, 3))
    with pytest.raises(ValueError, match=r"classes \[1\] have no attribute"):
        class_similarity(torch.tensor([[1.0], [0.0]]))


def test_class_similarity_against_scikit_learn():
    attributes = np.random.default_rng(0).random((9, 12))
    got = class_similarity(torch.from_numpy(attributes))
    want = cosine_similarity(attributes)
    np.fill_diagonal(want, 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_shiny_and_bronzed_cowbird(shared):
    """The number printed in the QPM paper (figure 4): 0.97."""
    lines = {}
    with tarfile.open(shared / "data" / "cub_annotations.tar.gz") as archive:
        for member in archive:
            name = member.name.rsplit("/", 1)[-1]
            if name in ("classes.txt", "class_attribute_labels_continuous.txt"):
                stream = archive.extractfile(member)
                assert stream is not None
                lines[name] = stream.read().decode().splitlines()
    names = [line.split(".", 1)[1] for line in lines["classes.txt"]]
    attributes = np.array(
        [line.split() for line in lines["class_attribute_labels_continuous.txt"]], dtype=float
    )
    similarity = class_similarity(torch.from_numpy(attributes / 100))
    pair = names.index("Shiny_Cowbird"), names.index("Bronzed_Cowbird")
    assert round(similarity[pair].item(), 2) == 0.97


def test_adapter():
    similarity = class_similarity(torch.rand(5, 4))
    weight = torch.rand(5, 3)
    tables = Tables(torch.rand(9, 3), torch.rand(9, 5), torch.zeros(9), weight, similarity)
    assert structural_grounding_of(tables) == structural_grounding(weight, similarity).item()
