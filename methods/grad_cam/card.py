"""Card of Grad-CAM."""

from __future__ import annotations

from benchmark.contracts import MethodCard
from methods.explainers.parameters import QUICK, ReuseParameters

CARD = MethodCard(
    name="grad_cam",
    title="Grad-CAM",
    kind="explainer",
    paper="Selvaraju et al., Grad-CAM (ICCV 2017)",
    parameters=ReuseParameters,
    fit="methods.grad_cam.method:fit",
    code=("methods.grad_cam", "methods.explainers"),
    quick=QUICK,
    deviations=(
        "distances in Omega are taken after a random projection where maps exceed omega_dimensions",
    ),
)
