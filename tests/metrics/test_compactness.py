"""Counts of features."""

from __future__ import annotations

import torch

from benchmark.contracts import Tables
from metrics import features_per_class, total_features
from metrics.compactness import features_per_class_of, total_features_of


def test_golden(case):
    weight = case.tensor("weight")
    assert int(total_features(weight)) == int(case["exp_pipeline_n_used_features_f64"])
    assert features_per_class(weight).item() == float(case["exp_pipeline_nonzeros_per_class_f64"])


def test_negative_weights_count_and_empty_classes_too():
    weight = torch.tensor([[-1.0, 0.0, 2.0], [0.0, 0.0, -3.0], [0.0, 0.0, 0.0]])
    assert int(total_features(weight)) == 2
    assert features_per_class(weight).item() == 1


def test_adapters():
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    tables = Tables(torch.rand(3, 2), torch.rand(3, 2), torch.zeros(3), weight)
    assert total_features_of(tables) == 1.0
    assert features_per_class_of(tables) == 1.0
