"""SLDD-Model: group selection, a sparse layer cut to n_wc weights per class, fine-tuning."""

from __future__ import annotations

from benchmark.context import Context
from benchmark.contracts import Fitted
from methods.glm_saga.sparsify import denser_than, sldd_cut
from methods.glm_saga.stages import selected_features, sparse_path
from methods.sldd.card import SLDDParameters
from methods.sparse_head import readable_head


def fit(context: Context) -> Fitted:
    """Select n_f* features, fit and cut the sparse layer, fine-tune under it."""
    parameters: SLDDParameters = context.parameters
    features = context.features()
    selection = selected_features(context, parameters.n_features, parameters.engine)
    with context.timer("sparse layer"):
        stop = denser_than(2 * parameters.n_per_class)
        path = sparse_path(context, features, selection, parameters.engine, stop)
    weight, bias, index = sldd_cut(path, parameters.n_per_class)
    classifier = context.readable(readable_head(features, selection, weight, bias))
    phase = context.finetune(classifier, parameters, "fine-tuning")
    report = {"selected": selection.tolist(), "lambda": float(path.lambdas[index])}
    return Fitted(classifier, report=report, phases=[phase])
