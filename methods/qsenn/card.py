"""Card of Q-SENN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.contracts import MethodCard
from benchmark.recipe import FineTuning


class QSENNParameters(FineTuning):
    """Q-SENN's own parameters; the fine-tunings' are inherited, ``epochs`` being the last one's.

    The schedule is that of the authors' configuration: fine-tunings of 10, 10, 10 and 40 epochs
    that start at 1e-4 times 0.9 to the power of their number.
    """

    n_features: int = Field(50, ge=1, description="n_f*: features that are selected")
    n_per_class: int = Field(5, ge=1, description="n_wc: weights per class, on average")
    iterations: int = Field(4, ge=1, description="times that a sparse layer is fitted and tuned")
    iteration_epochs: int = Field(10, ge=1, description="epochs of all fine-tunings but the last")
    iteration_factor: float = Field(
        0.9, gt=0, le=1, description="what the start rate is multiplied by from one to the next"
    )
    engine: Literal["fast", "package"] = Field(
        "fast", description="elastic-net engine: ours, or the glm-saga package"
    )


CARD = MethodCard(
    name="qsenn",
    title="Q-SENN",
    kind="classifier",
    paper="Norrenbrock et al., Q-SENN (AAAI 2024)",
    parameters=QSENNParameters,
    fit="methods.qsenn.method:fit",
    code=("methods.qsenn", "methods.glm_saga", "methods.sparse_head"),
    epochs=lambda p: p.epochs + (p.iterations - 1) * p.iteration_epochs,
    quick={
        "n_features": 20,
        "epochs": 12,
        "iteration_epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.005,
        "step_epochs": 3,
        "augment": "light",
    },
    deviations=(
        "the elastic-net path is solved to its optimum, not stopped early as glm-saga is, and the "
        "layer comes from the point whose ternary layer fits the training images best, not from "
        "the last",
        "the largest weight keeps its sign when it is negative, and biases are never NaN",
    ),
)
