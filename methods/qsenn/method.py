"""Q-SENN: as SLDD, but ternary weights, and the sparse layer fitted anew between fine-tunings."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.classifier import Classifier, Head
from benchmark.context import Context
from benchmark.contracts import Fitted
from benchmark.features import Features
from methods.glm_saga.sparsify import ternary_layer
from methods.glm_saga.stages import selected_features, sparse_path
from methods.glm_saga.table import open_table
from methods.qsenn.card import QSENNParameters
from methods.sparse_head import readable_head


def fit(context: Context) -> Fitted:
    """Select n_f* features; then, several times, a ternary layer and a fine-tuning under it."""
    parameters: QSENNParameters = context.parameters
    features = context.features()
    selection = selected_features(context, parameters.n_features, parameters.engine)
    classifier = context.dense()
    phases = []
    start = parameters.start_rate(context.shared.dense_recipe)
    for iteration in range(parameters.iterations):
        last = iteration == parameters.iterations - 1
        with context.timer(f"sparse layer {iteration + 1}"):
            if iteration:
                features = context.extract(classifier, f"features {iteration + 1}")
            head = _ternary_head(context, features, selection, iteration)
        classifier = Classifier(classifier.backbone, head, classifier.preprocessing)
        recipe = parameters.model_copy(
            update={
                "epochs": parameters.epochs if last else parameters.iteration_epochs,
                "learning_rate": start * parameters.iteration_factor**iteration,
            }
        )
        phases.append(context.finetune(classifier, recipe, f"fine-tuning {iteration + 1}"))
    level = float(head.weight.abs().max())
    return Fitted(
        classifier, report={"selected": selection.tolist(), "level": level}, phases=phases
    )


def _ternary_head(
    context: Context, features: Features, selection: np.ndarray, iteration: int
) -> Head:
    """The ternary layer on features as they are now, normalised with their own statistics."""
    parameters: QSENNParameters = context.parameters

    def compute() -> dict[str, torch.Tensor]:
        path = sparse_path(context, features, selection, parameters.engine)
        table = open_table(
            np.ascontiguousarray(features.train.features[:, selection]),
            features.train.labels,
            context.n_classes,
            device=context.device,
        )
        weight, bias, _ = ternary_layer(path, table, parameters.n_per_class)
        return {
            "weight": torch.as_tensor(np.ascontiguousarray(weight)),
            "bias": torch.as_tensor(np.ascontiguousarray(bias)),
        }

    layer = context.once(f"sparse layer {iteration + 1}", compute)
    return readable_head(features, selection, layer["weight"].numpy(), layer["bias"].numpy())
