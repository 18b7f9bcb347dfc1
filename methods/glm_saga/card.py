"""Card of glm-saga: the sparse layer on all dense features, without fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.contracts import MethodCard, Parameters


class GLMSagaParameters(Parameters):
    """The elastic-net path's parameters; the defaults are those of the papers' comparisons."""

    n_per_class: int = Field(5, ge=1, description="n_wc: weights per class, on average, at most")
    alpha: float = Field(0.99, gt=0, le=1, description="share of the L1 norm in the penalty")
    n_lambdas: int = Field(100, ge=2, description="points of the path")
    ratio: float = Field(1e-3, gt=0, lt=1, description="smallest lambda over the largest")
    tolerance: float = Field(
        0.01, gt=0, lt=1, description="optimality residual, as a share of lambda alpha (fast)"
    )
    engine: Literal["fast", "package"] = Field(
        "fast", description="elastic-net engine: ours, or the glm-saga package"
    )


CARD = MethodCard(
    name="glm_saga",
    title="glm-saga",
    kind="classifier",
    paper="Wong, Santurkar & Madry, Leveraging Sparse Linear Layers (ICML 2021)",
    parameters=GLMSagaParameters,
    fit="methods.glm_saga.method:fit",
    code=("methods.glm_saga", "methods.sparse_head"),
    deviations=("the elastic-net path is solved to its optimum, not stopped early as glm-saga is",),
)
