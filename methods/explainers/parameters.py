"""What all explainers of Lam et al.'s comparison have in common; importable without torch."""

from __future__ import annotations

from pydantic import Field

from benchmark.contracts import Parameters


class ReuseParameters(Parameters):
    """Reference images, and the inputs V whose interpretations are reused on unseen images."""

    inputs_per_class: int = Field(
        10, ge=1, description="|V| / classes: inputs that are interpreted, chosen by k-means"
    )
    references_per_class: int = Field(
        2500, ge=1, description="training images of each class that serve as references R"
    )
    omega_dimensions: int | None = Field(
        4096,
        ge=64,
        description="distances in Omega are taken after a random projection onto so many "
        "dimensions, where the maps have more; none: never",
    )
    unseen: int | None = Field(
        1000, ge=1, description="test images on which the explainer is measured; none: all"
    )


# What --preset quick changes for all explainers.
QUICK = {"inputs_per_class": 2, "unseen": None}
