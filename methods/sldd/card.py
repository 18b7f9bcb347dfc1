"""Card of the SLDD-Model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.contracts import MethodCard
from benchmark.recipe import FineTuning


class SLDDParameters(FineTuning):
    """The SLDD-Model's own parameters; the fine-tuning's are inherited."""

    n_features: int = Field(50, ge=1, description="n_f*: features that are selected")
    n_per_class: int = Field(5, ge=1, description="n_wc: weights per class, on average")
    engine: Literal["fast", "package"] = Field(
        "fast", description="elastic-net engine: ours, or the glm-saga package"
    )


CARD = MethodCard(
    name="sldd",
    title="SLDD-Model",
    kind="classifier",
    paper="Norrenbrock et al., Take 5 (NeurIPS 2022 workshop)",
    parameters=SLDDParameters,
    fit="methods.sldd.method:fit",
    code=("methods.sldd", "methods.glm_saga", "methods.sparse_head"),
    epochs=lambda parameters: parameters.epochs,
    quick={
        "n_features": 20,
        "epochs": 12,
        "batch_size": 32,
        "learning_rate": 0.005,
        "step_epochs": 3,
        "augment": "light",
    },
    deviations=("the elastic-net path is solved to its optimum, not stopped early as glm-saga is",),
)
