"""glm-saga as a row: the densest point of the path with at most n_wc weights per class."""

from __future__ import annotations

import numpy as np

from benchmark.context import Context
from benchmark.contracts import Fitted
from methods.glm_saga.card import GLMSagaParameters
from methods.glm_saga.engines import ENGINES
from methods.glm_saga.sparsify import denser_than, densest_with_at_most
from methods.sparse_head import readable_head


def fit(context: Context) -> Fitted:
    """The path on all dense features, as far as it is sparse enough; nothing is fine-tuned."""
    parameters: GLMSagaParameters = context.parameters
    features = context.features()
    with context.timer("path"):
        path = ENGINES[parameters.engine](
            features.train.features,
            features.train.labels,
            context.n_classes,
            alpha=parameters.alpha,
            n_lambdas=parameters.n_lambdas,
            ratio=parameters.ratio,
            device=context.device,
            progress=context.progress,
            stop=denser_than(parameters.n_per_class),
        )
    index = densest_with_at_most(path, parameters.n_per_class)
    head = readable_head(
        features, np.arange(len(features.mean)), path.weights[index], path.biases[index]
    )
    report = {"lambda": float(path.lambdas[index]), "optimality_residual": float(path.kkt[index])}
    return Fitted(context.readable(head), report=report)
