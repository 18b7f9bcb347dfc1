"""glm-saga: the densest point of the elastic-net path with at most n_wc weights per class."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmark.context import Context
from benchmark.contracts import Fitted
from benchmark.features import Features
from methods.glm_saga.card import GLMSagaParameters
from methods.glm_saga.engines import ENGINES
from methods.glm_saga.path import ElasticNetPath
from methods.glm_saga.sparsify import denser_than, densest_with_at_most
from methods.sparse_head import readable_head


def fit(context: Context) -> Fitted:
    """The path on the dense features, as far as it is needed; nothing is fine-tuned."""
    parameters: GLMSagaParameters = context.parameters
    features = context.features()
    with context.timer("elastic-net path"):
        path = _path(context, features, parameters)
    index = densest_with_at_most(path, parameters.n_per_class)
    # Features that no class uses are no part of the readable classifier.
    selection = np.flatnonzero(path.weights[index].any(0))
    head = readable_head(features, selection, path.weights[index][:, selection], path.biases[index])
    report = {
        "lambda": float(path.lambdas[index]),
        "lambda_index": index,
        "nonzeros": int(path.nonzeros[index]),
        "objective": float(path.objective[index]),
        "kkt": float(path.kkt[index]),
        "largest_kkt": float(path.kkt.max()),
        "points": len(path),
        "selected": selection.tolist(),
    }
    return Fitted(context.readable(head), report=report)


def _path(context: Context, features: Features, parameters: GLMSagaParameters) -> ElasticNetPath:
    own: dict[str, dict[str, Any]] = {
        "fast": {
            "tolerance": parameters.tolerance,
            "checkpoint": context.folder / "elastic-net path",
        },
        "package": {},
    }
    return ENGINES[parameters.engine](
        features.train.features,
        features.train.labels,
        context.n_classes,
        alpha=parameters.alpha,
        n_lambdas=parameters.n_lambdas,
        ratio=parameters.ratio,
        device=context.device,
        progress=context.progress,
        stop=denser_than(parameters.n_per_class),
        **own[parameters.engine],
    )
