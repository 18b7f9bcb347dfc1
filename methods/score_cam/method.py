"""Score-CAM (Wang et al., CVPR workshops 2020), its weights reused on unseen images."""

from __future__ import annotations

import torch

from benchmark.explain import ExplainContext, Network
from methods.explainers import cam
from methods.explainers.heat import enlarge, rescale

BATCH = 128  # masked images that go through the network at a time


def channel_weights(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Algorithm 1 of the Score-CAM paper, without gradients.

    Each channel's map, enlarged to the image's size and rescaled to [0, 1], masks the image; the
    weights are the softmax over channels of the predicted class's scores of the masked images.
    (The score of the baseline image, which equation 7 subtracts, is the same for all channels and
    so cancels in the softmax.)

    Args:
        network: to be explained; it sees d masked images for each image.
        images: (N, 3, H, W); c is the class predicted for each.

    Returns:
        (N, d), positive, each row summing to 1.
    """
    maps = network.maps(images)
    with torch.no_grad():
        predicted = network.head(maps)[1].argmax(1)
    return torch.stack(
        [
            _weights_of(network, image, own, int(c))
            for image, own, c in zip(images, maps, predicted, strict=True)
        ]
    )


@torch.no_grad()
def _weights_of(
    network: Network, image: torch.Tensor, maps: torch.Tensor, predicted: int
) -> torch.Tensor:
    scores = []
    for some in maps.split(BATCH):
        large = enlarge(some[None], (image.shape[1], image.shape[2]))[0]
        masks = rescale(large.flatten(1)).view_as(large)
        masked = image * masks[:, None]
        scores.append(network.head(network.maps(masked))[1][:, predicted])
    return torch.cat(scores).softmax(0)


class ScoreCAM(cam.Cam):
    """Score-CAM as an explainer."""

    rule = staticmethod(channel_weights)


def fit(context: ExplainContext) -> ScoreCAM:
    """Weigh the channels of |V| inputs; each costs as many forward passes as there are channels."""
    return ScoreCAM.fit_in(context)
