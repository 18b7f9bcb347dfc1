"""Gradients of scores with respect to feature maps, through the head alone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmark.explain import Network


def gradient_of(
    network: Network, maps: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """``score(logits (N, C)) -> (N,)`` and its gradient in the maps.

    Args:
        network: its head is differentiated.
        maps: (N, d, h, w).
        score: of each image, from its own logits alone.

    Returns:
        scores (N,) and gradients (N, d, h, w), both detached.

    >>> from benchmark.explain import Cut
    >>> network = Cut(trunk=torch.nn.Identity(), top=lambda maps: 3 * maps.sum((2, 3)))
    >>> _, gradient = gradient_of(network, torch.ones(1, 2, 1, 1), lambda logits: logits[:, 1])
    >>> gradient.flatten().tolist()
    [0.0, 3.0]
    """
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        scores = score(network.head(maps)[1])
        (gradient,) = torch.autograd.grad(scores.sum(), maps)
    return scores.detach(), gradient


def top_score(logits: torch.Tensor) -> torch.Tensor:
    """The score (N,) of the predicted class."""
    return logits.amax(1)


def top_two_difference(logits: torch.Tensor) -> torch.Tensor:
    """``max_1 G - max_2 G`` (N,), the difference of the largest two scores.

    >>> top_two_difference(torch.tensor([[1.0, 5.0, 3.0]]))
    tensor([2.])
    """
    best = logits.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]
