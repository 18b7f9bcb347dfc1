"""Card of QPM: what it is, what it takes, what --preset quick changes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, field_validator

from benchmark.contracts import Command, MethodCard
from benchmark.recipe import FineTuning


class QPMParameters(FineTuning):
    """QPM's own parameters; the fine-tuning's are inherited."""

    n_features: int = Field(50, ge=1, description="n_f*: features that are selected")
    n_per_class: int = Field(5, ge=1, description="n_wc: features assigned to each class")
    exact_per_class: bool = Field(
        True, description="exactly n_wc per class (eq. 3); else on average, with a class bias"
    )
    similarity: Literal["pearson", "auroc"] = Field(
        "pearson", description="A: correlation of features and classes, or AUROC (table 10)"
    )
    redundancy: bool = Field(True, description="R: penalise similar features (eq. 5)")
    bias: Literal["locality", "locality_code", "centre", "none", "file"] = Field(
        "locality",
        description="b: eq. 8; as the authors' code has it; eq. 26; none; or bias_file",
    )
    bias_file: str | None = Field(None, description=".npy with one value per dense feature")
    bias_weight: float = Field(
        10**-0.5, ge=0, description="lambda: largest magnitude of b (1/sqrt(10))"
    )
    solver: Literal["local", "highs", "gurobi"] = Field(
        "local",
        description="local: our search and bound; highs: search, then proof by HiGHS, for small "
        "problems or with a time limit; gurobi: search, then the paper's scheme, with its package "
        "and a licence",
    )
    time_limit: float | None = Field(
        None, gt=0, description="seconds that the solver may take; a cap, reported when hit"
    )
    gap: float | None = Field(
        None,
        ge=0,
        description="relative gap at which the solver stops (by default local ends by its budget, "
        "highs at the optimum, gurobi at 1e-4 in each iteration, section 4.1.1)",
    )

    @field_validator("solver")
    @classmethod
    def _is_installed(cls, solver: str) -> str:
        """Refused before anything is trained."""
        if solver == "gurobi" and find_spec("gurobipy") is None:
            raise ValueError(
                "the package gurobipy (the extra `gurobi`) is not installed; highs and local "
                "need neither it nor a licence"
            )
        return solver


CARD = MethodCard(
    name="qpm",
    title="QPM",
    kind="classifier",
    paper="Norrenbrock et al., QPM (ICLR 2025)",
    parameters=QPMParameters,
    fit="methods.qpm.method:fit",
    code=("methods.qpm", "methods.sparse_head"),
    epochs=lambda parameters: parameters.epochs,
    quick={
        "n_features": 20,
        "epochs": 12,
        "batch_size": 32,
        "learning_rate": 0.005,
        "step_epochs": 3,
        "augment": "light",
    },
    commands=(
        Command(
            "solve",
            "Solve a feature-selection-and-assignment problem from a file.",
            "methods.qpm.command:solve_file",
        ),
    ),
    deviations=(
        "the assignment is solved by local search and bounded by a relaxation without equation 4; "
        "the paper's own scheme is solver=gurobi, which starts from the local search, not a clique",
        "epsilon of section 4.1.1 is found by a min-degree greedy independent set, not exactly",
    ),
)
