"""Grad-CAM++ (Chattopadhay et al., WACV 2018), its weights reused on unseen images."""

from __future__ import annotations

import torch

from benchmark.explain import ExplainContext, Network
from methods.explainers import cam
from methods.explainers.gradients import gradient_of, top_score


def channel_weights(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Equations 5, 6 and 19 of the Grad-CAM++ paper.

    With g = dS^c / dA^k_ij: ``alpha_ij = g^2 / (2 g^2 + sum_ab A^k_ab g^3)`` (0 where g is 0 or
    the denominator vanishes), and the weight of channel k is ``sum_ij alpha_ij ReLU(g)``. The
    paper's Y^c = exp(S^c) makes every weight exp(S^c) times larger, which no heat map shows.

    Args:
        network: to be explained.
        images: (N, 3, H, W); c is the class predicted for each.

    Returns:
        (N, d).
    """
    maps = network.maps(images)
    slope = gradient_of(network, maps, top_score)[1]
    # g^2 is cancelled, so that small gradients do not drown in a constant that keeps 0 / 0 away.
    denominator = 2 + maps.sum((2, 3), keepdim=True) * slope
    usable = (slope != 0) & (denominator != 0)
    alpha = torch.where(usable, 1 / torch.where(usable, denominator, 1), 0)
    return (alpha * slope.relu()).sum((2, 3))


class GradCAMPlusPlus(cam.Cam):
    """Grad-CAM++ as an explainer."""

    rule = staticmethod(channel_weights)


def fit(context: ExplainContext) -> GradCAMPlusPlus:
    """Weigh the channels of |V| inputs."""
    return GradCAMPlusPlus.fit_in(context)
