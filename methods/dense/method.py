"""The dense classifier as it is: all features, all weights."""

from __future__ import annotations

from benchmark.context import Context
from benchmark.contracts import Fitted


def fit(context: Context) -> Fitted:
    """The shared dense classifier; its training is a stage of the harness."""
    return Fitted(context.dense(), phases=[context.shared.dense_phase()])
