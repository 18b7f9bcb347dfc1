"""Card of Score-CAM."""

from __future__ import annotations

from benchmark.contracts import MethodCard
from methods.explainers.parameters import QUICK, ReuseParameters

CARD = MethodCard(
    name="score_cam",
    title="Score-CAM",
    kind="explainer",
    paper="Wang et al., Score-CAM (CVPR workshops 2020)",
    parameters=ReuseParameters,
    fit="methods.score_cam.method:fit",
    code=("methods.score_cam", "methods.explainers"),
    quick=QUICK,
    deviations=(
        "distances in Omega are taken after a random projection where maps exceed omega_dimensions",
    ),
)
