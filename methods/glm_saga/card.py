"""Card of glm-saga: the elastic-net path on the dense features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.contracts import MethodCard, Parameters


class GLMSagaParameters(Parameters):
    """Where on the path the row lies, and how the path is computed."""

    n_per_class: int = Field(5, ge=1, description="n_wc: weights per class at most, on average")
    alpha: float = Field(0.99, gt=0, le=1, description="share of the L1 norm in the penalty")
    n_lambdas: int = Field(100, ge=2, description="lambdas on the path")
    ratio: float = Field(1e-3, gt=0, lt=1, description="smallest lambda over the largest")
    engine: Literal["fast", "package"] = Field(
        "fast", description="ours, or the glm-saga package as published"
    )


CARD = MethodCard(
    name="glm_saga",
    title="glm-saga",
    kind="classifier",
    paper="Wong et al., Leveraging Sparse Linear Layers (ICML 2021)",
    parameters=GLMSagaParameters,
    fit="methods.glm_saga.method:fit",
    code=("methods.glm_saga", "methods.sparse_head"),
    deviations=(
        "the path is solved to its optimum by an engine of ours; engine=package is the original",
    ),
)
