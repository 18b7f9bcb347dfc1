"""Select, normalise, combine: the head that several methods put on the dense backbone."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.classifier import Head
from benchmark.features import Features


def readable_head(
    features: Features,
    selection: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    rectify: bool = False,
) -> Head:
    """A fixed head on selected features, normalised with their training mean and deviation.

    ``selection`` (n_f*,) indexes the backbone's features, ``weight`` is (n_c, n_f*) on the
    normalised features, ``bias`` (n_c,) or None.
    """
    selection = np.asarray(selection)
    return Head(
        torch.from_numpy(selection),
        weight=torch.as_tensor(np.asarray(weight, dtype=np.float32)),
        bias=None if bias is None else torch.as_tensor(np.asarray(bias, dtype=np.float32)),
        mean=torch.from_numpy(features.mean[selection]),
        deviation=torch.from_numpy(features.deviation[selection]),
        rectify=rectify,
    )
