"""Card of representative interpretations."""

from __future__ import annotations

from pydantic import Field

from benchmark.contracts import MethodCard
from methods.explainers.parameters import QUICK, ReuseParameters


class RepresentativeParameters(ReuseParameters):
    """The method's own parameters, besides the choice of inputs and references."""

    boundaries: int = Field(
        50, ge=1, description="|Q|: reference images sampled, each giving a linear boundary"
    )
    delta: int | None = Field(
        None,
        ge=0,
        description="images of another prediction that a polytope may cover; none: as few as "
        "the boundaries allow, tau(x)",
    )


CARD = MethodCard(
    name="representative_interp",
    title="Representative interpretations",
    kind="explainer",
    paper="Lam et al., Finding Representative Interpretations on CNNs (ICCV 2021)",
    parameters=RepresentativeParameters,
    fit="methods.representative_interp.method:fit",
    code=("methods.representative_interp", "methods.explainers"),
    # 50 boundaries suit the two to four classes of the paper; 40 classes have 780 pairs.
    quick=QUICK | {"boundaries": 500},
    deviations=(
        "boundaries that are equal are kept once: under a pooled linear head at most C (C - 1) / 2",
        "of several polytopes that cover an unseen image, that of the nearest cluster centre draws",
        "a polytope without boundaries is drawn by the input's own boundary",
        "distances in Omega are taken after a random projection where maps exceed omega_dimensions",
    ),
)
