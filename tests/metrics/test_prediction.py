"""Accuracy, over all classes and within pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from benchmark.contracts import Batch, NotApplicable
from metrics import accuracy, pair_accuracy
from metrics.prediction import accuracy_of, pair_accuracy_of


def test_accuracy_golden(case):
    got = accuracy(case.tensor("outputs_test"), case.tensor("labels_test"))
    assert got.item() == pytest.approx(float(case["exp_pipeline_accuracy_f64"]), abs=1e-7)


def test_accuracy_against_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 5)), rng.integers(0, 5, 200)
    got = accuracy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert got.item() == pytest.approx(accuracy_score(labels, logits.argmax(1)), abs=1e-7)


def test_pair_accuracy_against_a_plain_loop():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(300, 7)), rng.integers(0, 7, 300)
    pairs = np.array([[0, 3], [5, 2], [3, 6]])  # class 3 is in two pairs; 1 and 4 are in none
    want = []
    for scores, label in zip(logits, labels, strict=True):
        others = [int(b) for a, b in [*pairs, *pairs[:, ::-1]] if a == label]
        won = [float(scores[label] > scores[other]) for other in others]
        want.append(np.mean(won) if won else np.nan)
    arguments = [torch.from_numpy(a) for a in (logits, labels, pairs)]
    got = pair_accuracy(*arguments, reduction="none")
    np.testing.assert_allclose(got, want, atol=1e-7)
    assert np.isnan(got[torch.from_numpy(np.isin(labels, [1, 4]))]).all()
    assert pair_accuracy(*arguments).item() == pytest.approx(np.nanmean(want), abs=1e-6)


def test_a_tie_within_a_pair_is_wrong():
    assert pair_accuracy(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([[0, 1]])) == 0


def test_nothing_to_measure_is_said():
    labels = torch.tensor([2])
    with pytest.raises(NotApplicable, match="in a pair"):
        pair_accuracy(torch.zeros(1, 3), labels, torch.tensor([[0, 1]]))
    with pytest.raises(NotApplicable, match="no samples"):
        accuracy(torch.zeros(0, 3), labels[:0])
    assert accuracy(torch.zeros(0, 3), labels[:0], reduction="none").shape == (0,)


def test_a_diverged_classifier_is_refused():
    logits = torch.tensor([[torch.nan, 1.0]])
    with pytest.raises(ValueError, match="NaN"):
        accuracy(logits, torch.tensor([0]))
    with pytest.raises(ValueError, match="NaN"):
        pair_accuracy(logits, torch.tensor([0]), torch.tensor([[0, 1]]))


def test_adapters():
    logits, labels, pairs = torch.randn(9, 4), torch.arange(9) % 4, torch.tensor([[0, 1]])
    batch = Batch(torch.rand(9, 2, 1, 1), logits, labels, torch.rand(4, 2), pairs=pairs)
    want = accuracy(logits, labels, reduction="none")
    torch.testing.assert_close(accuracy_of(batch), want, rtol=0, atol=0)
    want = pair_accuracy(logits, labels, pairs, reduction="none")
    torch.testing.assert_close(pair_accuracy_of(batch), want, equal_nan=True)
