"""Means over samples, with and without those that do not count."""

from __future__ import annotations

import pytest
import torch

from benchmark.contracts import NotApplicable
from metrics import mean_of_whole_blocks
from metrics.reduction import reduce

VALUES = torch.tensor([1.0, torch.nan, 3.0, 8.0, 100.0])


def test_mean_is_over_what_counts():
    assert reduce(VALUES, "mean", "nothing") == 28
    assert reduce(VALUES, "none", "nothing") is VALUES
    with pytest.raises(NotApplicable, match="nothing at all"):
        reduce(VALUES[1:2], "mean", "nothing at all")


def test_whole_blocks():
    assert mean_of_whole_blocks(VALUES, block=2) == 4
    assert mean_of_whole_blocks(VALUES, block=2, count_from=3) == 1
    assert mean_of_whole_blocks(VALUES, block=2, count_from=50) == 28
    with pytest.raises(NotApplicable, match="0 whole blocks of 300"):
        mean_of_whole_blocks(VALUES)
