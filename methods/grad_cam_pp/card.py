"""Card of Grad-CAM++."""

from __future__ import annotations

from benchmark.contracts import MethodCard
from methods.explainers.parameters import QUICK, ReuseParameters

CARD = MethodCard(
    name="grad_cam_pp",
    title="Grad-CAM++",
    kind="explainer",
    paper="Chattopadhay et al., Grad-CAM++ (WACV 2018)",
    parameters=ReuseParameters,
    fit="methods.grad_cam_pp.method:fit",
    code=("methods.grad_cam_pp", "methods.explainers"),
    quick=QUICK,
    deviations=(
        "the factor exp(S^c) of all weights is left out: no rescaled heat map shows it",
        "distances in Omega are taken after a random projection where maps exceed omega_dimensions",
    ),
)
