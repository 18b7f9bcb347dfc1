"""The cards, and what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import metrics
from benchmark.contracts import Batch, Tables, load
from metrics.cards import CARDS

PUBLIC_IN_CARDS = {
    "sid_at_5": "sid_at_k",
    "diversity_at_5": "diversity_at_k",
}


# Explainers report the others of themselves: tests/benchmark/test_explain.py.
OF_CLASSIFIERS = [card for card in CARDS if card.scope != "explainer"]


@pytest.fixture
def inputs(golden_case) -> dict[str, Any]:
    """A batch and tables of one golden case with everything that a metric may need."""
    case = golden_case("ternary")
    labels = case.tensor("labels_test")
    logits = case.tensor("outputs_test", "f32")
    batch = Batch(
        case.tensor("feature_maps_test", "f32"),
        logits,
        labels,
        case.tensor("weight", "f32"),
        masked_logits=logits.flip(0),
        pairs=torch.tensor([[0, 1], [2, 3]]),
    )
    tables = Tables(
        case.tensor("features_train", "f32"),
        case.tensor("outputs_train", "f32"),
        case.tensor("labels_train"),
        case.tensor("weight", "f32"),
        torch.from_numpy(case["class_sim_gt"]),
        case.attributes,
    )
    return {"sample": batch, "table": tables}


def test_names():
    assert [card.name for card in CARDS] == list(dict.fromkeys(card.name for card in CARDS))
    assert {card.name for card in CARDS} == {
        "accuracy",
        "average_drop",
        "average_increase",
        "class_independence",
        "contrastiveness",
        "correlation",
        "dependence",
        "diversity_at_5",
        "feature_alignment",
        "features_per_class",
        "pair_accuracy",
        "polytope_size",
        "purity",
        "representativeness",
        "sid_at_5",
        "structural_grounding",
        "total_features",
        "unseen_coverage",
    }
    for card in CARDS:
        assert PUBLIC_IN_CARDS.get(card.name, card.name) in metrics.__all__


@pytest.mark.parametrize("card", OF_CLASSIFIERS, ids=lambda card: card.name)
def test_every_card_computes_what_it_says(card, inputs):
    source = inputs[card.scope]
    assert card.needs <= {field.name for field in fields(source)}
    value = load(card.compute)(source)
    if card.scope == "sample":
        assert value.shape == source.labels.shape
        value = value[~value.isnan()]
        assert len(value)
        low, high = value.min().item(), value.max().item()
    else:
        assert isinstance(value, float)
        low = high = value
    assert card.range[0] - 1e-6 <= low <= high <= card.range[1] + 1e-6


def test_every_public_name_is_found():
    for name in metrics.__all__:
        assert getattr(metrics, name).__name__ == name
        assert name in dir(metrics)
    with pytest.raises(AttributeError, match="no attribute 'sid_at_6'"):
        _ = metrics.sid_at_6


def test_cards_need_no_torch():
    code = "import sys, metrics, metrics.cards; sys.exit('torch' in sys.modules)"
    path = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0


def test_the_readmes_own_metric_works(inputs):
    readme = (Path(metrics.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[-1]
    names: dict[str, Any] = {}
    exec(example, names)
    values = load(names["CARD"].compute)(inputs["sample"])
    assert values.shape == inputs["sample"].labels.shape
    assert 0 <= values.min() <= values.max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("card", OF_CLASSIFIERS, ids=lambda card: card.name)
def test_the_same_on_cuda(card, inputs):
    source = inputs[card.scope]
    there = {
        field.name: value.cuda() if isinstance(value, torch.Tensor) else value
        for field in fields(source)
        for value in [getattr(source, field.name)]
    }
    want = torch.as_tensor(load(card.compute)(source))
    got = torch.as_tensor(load(card.compute)(type(source)(**there))).cpu()
    torch.testing.assert_close(got, want, rtol=0, atol=5e-6, equal_nan=True)
