"""Average Drop and Average Increase."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from benchmark.contracts import Batch, NotApplicable
from metrics import average_drop, average_increase
from metrics.masking import average_drop_of, average_increase_of, scores_of

probabilities = st.floats(0.001, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=20))
def test_equations(rows):
    scores, masked = torch.tensor(rows, dtype=torch.float64).T
    drop = sum(max(0.0, y - m) / y for y, m in rows) / len(rows)
    increase = sum(y < m for y, m in rows) / len(rows)
    assert average_drop(scores, masked).item() == pytest.approx(drop, abs=1e-12)
    assert average_increase(scores, masked).item() == pytest.approx(increase, abs=1e-12)


def test_extremes():
    scores = torch.tensor([0.9, 0.4])
    assert average_drop(scores, torch.zeros(2)) == 1
    assert average_drop(scores, scores) == 0
    assert average_increase(scores, scores) == 0
    assert average_increase(scores, torch.ones(2)) == 1


def test_scores_are_of_the_class_predicted_without_the_mask():
    rng = np.random.default_rng(0)
    logits, masked = rng.normal(size=(2, 30, 6))
    rows, predicted = np.arange(30), logits.argmax(1)
    got = scores_of(torch.from_numpy(logits), torch.from_numpy(masked))
    for values, full in zip(got, (logits, masked), strict=True):
        np.testing.assert_allclose(values, softmax(full, axis=1)[rows, predicted], atol=1e-12)


def test_undefined_scores_do_not_count():
    scores, masked = torch.tensor([0.0, torch.nan, 0.5]), torch.tensor([0.0, 0.3, 0.25])
    assert average_drop(scores, masked, "none").isnan().tolist() == [True, True, False]
    assert average_increase(scores, masked, "none").isnan().tolist() == [False, True, False]
    assert average_drop(scores, masked).item() == 0.5
    with pytest.raises(NotApplicable):
        average_drop(scores[:0], masked[:0])
    with pytest.raises(NotApplicable):
        average_increase(scores[1:2], masked[1:2])


def test_adapters():
    logits, masked = torch.randn(2, 9, 4)
    batch = Batch(
        torch.rand(9, 2, 1, 1), logits, torch.zeros(9), torch.rand(4, 2), masked_logits=masked
    )
    scores = scores_of(logits, masked)
    torch.testing.assert_close(average_drop_of(batch), average_drop(*scores, "none"))
    torch.testing.assert_close(average_increase_of(batch), average_increase(*scores, "none"))
