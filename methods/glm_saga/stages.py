"""The elastic net as stages of a fit: what the methods that stand on it share.

The group selection is cached on the dense features, whichever method asks for it first; a path
on the selected features belongs to the fit that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.context import Context
from benchmark.contracts import UserError
from benchmark.features import Features
from methods.glm_saga.engines import ENGINES, Engine
from methods.glm_saga.path import ElasticNetPath
from methods.glm_saga.selection import select_features

CODE = ("methods.glm_saga",)


def selected_features(context: Context, n_features: int, engine: Engine) -> np.ndarray:
    """Indices (n_features,), ascending, of the dense features that the group penalty selects."""
    features = context.features()
    n_dense = features.train.features.shape[1]
    if n_features > n_dense:
        raise UserError(
            f"{context.method}.n_features={n_features}: the backbone has {n_dense} features only"
        )

    def compute(folder: Path) -> None:
        selection = select_features(
            features.train.features,
            features.train.labels,
            context.n_classes,
            n_features,
            engine=engine,
            device=context.device,
            progress=context.progress,
        )
        np.save(folder / "selection.npy", np.sort(selection.indices))

    parameters = {"n_features": n_features, "engine": engine}
    result = context.stage("selection", parameters, CODE, compute)
    return np.load(result.folder / "selection.npy")


def sparse_path(
    context: Context,
    features: Features,
    selection: np.ndarray,
    engine: Engine,
    stop: Callable[[np.ndarray], bool] | None = None,
) -> ElasticNetPath:
    """The elastic-net path on the selected columns of the training features.

    ``stop`` is the path's own: called with the weights at each lambda, it ends the path.
    """
    return ENGINES[engine](
        np.ascontiguousarray(features.train.features[:, selection]),
        features.train.labels,
        context.n_classes,
        device=context.device,
        progress=context.progress,
        stop=stop,
    )
