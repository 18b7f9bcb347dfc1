"""Grad-CAM (Selvaraju et al., ICCV 2017), its weights reused on unseen images."""

from __future__ import annotations

import torch

from benchmark.explain import ExplainContext, Network
from methods.explainers import cam
from methods.explainers.gradients import gradient_of, top_score


def channel_weights(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Equation 1 of the Grad-CAM paper: alpha_k is the mean over places of dy^c / dA^k.

    Args:
        network: to be explained.
        images: (N, 3, H, W); c is the class predicted for each.

    Returns:
        (N, d).
    """
    return gradient_of(network, network.maps(images), top_score)[1].mean((2, 3))


class GradCAM(cam.Cam):
    """Grad-CAM as an explainer."""

    rule = staticmethod(channel_weights)


def fit(context: ExplainContext) -> GradCAM:
    """Weigh the channels of |V| inputs."""
    return GradCAM.fit_in(context)
