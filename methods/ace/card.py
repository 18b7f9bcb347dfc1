"""Card of ACE, and its parameters."""

from __future__ import annotations

from pydantic import Field

from benchmark.contracts import MethodCard
from methods.explainers.parameters import QUICK, ReuseParameters


class ACEParameters(ReuseParameters):
    """ACE's own parameters; ``inputs_per_class`` here sets how many sets of images there are."""

    segments: tuple[int, ...] = Field(
        (15, 50, 80), min_length=1, description="SLIC segments of an image, one entry per size"
    )
    images_per_set: int = Field(
        50, ge=2, description="images of a cluster from which concepts are made, at most"
    )
    concepts: int = Field(25, ge=1, description="k-means clusters of a set's segments")
    segments_per_concept: int = Field(
        40, ge=1, description="segments nearest to its centre that make a concept; others go"
    )
    images_per_concept: int = Field(
        2, ge=1, description="images that a concept's segments must come from, at least"
    )
    counterparts: int = Field(
        20, ge=1, description="random sets of segments against which a concept is tested"
    )


CARD = MethodCard(
    name="ace",
    title="ACE",
    kind="explainer",
    paper="Ghorbani et al., Towards Automatic Concept-based Explanations (NeurIPS 2019)",
    parameters=ACEParameters,
    fit="methods.ace.method:fit",
    code=("methods.ace", "methods.explainers"),
    quick=QUICK
    | {
        "segments": (6, 15, 30),
        "images_per_set": 10,
        "concepts": 10,
        "segments_per_concept": 20,
    },
    deviations=(
        "distances in Omega are taken after a random projection where maps exceed omega_dimensions",
        "random counterparts of a concept are segments of the other sets, not images of ImageNet",
        "concept activation vectors come from ridge regression, solved in closed form",
        "concepts of equal TCAV score are ordered by their mean directional derivative: under a "
        "pooled linear head a vector's score is 0 or 1",
        "no concept is dropped for its p-value; it is only ranked behind",
        "segments without a near concept come last, so that 20 % of the pixels are reached",
    ),
)
