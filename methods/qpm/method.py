"""QPM: constants, quadratic program, fine-tuning with the assignment fixed (figure 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.context import Context
from benchmark.contracts import Fitted, UserError
from benchmark.features import Features
from methods.qpm import constants
from methods.qpm.assignment import AssignmentProblem, Solution, solve
from methods.qpm.card import QPMParameters
from methods.sparse_head import readable_head

SIMILARITY = {"pearson": constants.pearson, "auroc": constants.auroc}


def fit(context: Context) -> Fitted:
    """Solve the assignment on the dense features, then fine-tune under it."""
    parameters: QPMParameters = context.parameters
    features = context.features()
    with context.timer("constants"):
        problem = build_problem(features, context.n_classes, parameters)

    solution = _solve(problem, context)
    weight = solution.assignment.astype(np.float32)
    # Without equation 3 a class with fewer features than the average gets that many deviations
    # more, or else it could hardly win (appendix G).
    bias = None if parameters.exact_per_class else parameters.n_per_class - weight.sum(1)
    head = readable_head(features, solution.selected, weight, bias)
    classifier = context.readable(head)
    phase = context.finetune(classifier, parameters, "fine-tuning")
    return Fitted(classifier, report=describe(solution), phases=[phase])


def _solve(problem: AssignmentProblem, context: Context) -> Solution:
    parameters: QPMParameters = context.parameters
    with context.timer("assignment"):
        return solve(
            problem,
            solver=parameters.solver,
            time_limit=parameters.time_limit,
            gap=parameters.gap,
            seed=context.seed % 2**32,
            progress=context.progress,
        )


def build_problem(
    features: Features, n_classes: int, parameters: QPMParameters
) -> AssignmentProblem:
    """A, R and b of the dense features, as the parameters ask for them."""
    table = features.train
    n_dense = table.features.shape[1]
    if parameters.n_features > n_dense:
        raise UserError(
            f"qpm.n_features={parameters.n_features}: the backbone has {n_dense} features only"
        )
    similarity = constants.scale_to_one(
        SIMILARITY[parameters.similarity](table.features, table.labels, n_classes)
    )
    no_redundancy = np.zeros((n_dense, n_dense))
    return AssignmentProblem(
        similarity=similarity,
        redundancy=(
            constants.redundancy(similarity, parameters.n_features)
            if parameters.redundancy
            else no_redundancy
        ),
        bias=selection_bias(features, parameters),
        n_features=parameters.n_features,
        n_per_class=parameters.n_per_class,
        exact_per_class=parameters.exact_per_class,
    )


def selection_bias(features: Features, parameters: QPMParameters) -> np.ndarray:
    """b (n_f,), scaled to the parameter ``bias_weight``."""
    weight, sums = parameters.bias_weight, features.locality
    build = {
        "locality": lambda: constants.clip_and_scale(constants.locality(sums), weight),
        "locality_code": lambda: constants.locality_as_published(sums, weight),
        "centre": lambda: constants.clip_and_scale(constants.centre(sums), weight),
        "none": lambda: np.zeros(len(features.mean)),
        "file": lambda: constants.clip_and_scale(
            _read_bias(parameters.bias_file, len(features.mean)), weight
        ),
    }
    return build[parameters.bias]()


def _read_bias(file: str | None, n_features: int) -> np.ndarray:
    if file is None:
        raise UserError("qpm.bias=file needs qpm.bias_file: a .npy with one value per feature")
    try:
        values = np.load(Path(file), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"qpm.bias_file={file} can't be read: {error}") from error
    if values.shape != (n_features,) or not np.isfinite(values).all():
        raise UserError(
            f"qpm.bias_file={file}: {n_features} finite values are needed, one per dense feature; "
            f"it holds an array of shape {values.shape}"
        )
    return values.astype(np.float64)


def describe(solution: Solution) -> dict:
    """What the record keeps of the solver."""
    return {
        "solver": solution.solver,
        "objective": solution.objective,
        "upper_bound": solution.upper_bound,
        "gap": solution.gap,
        "solver_seconds": solution.seconds,
        "hit_time_limit": solution.hit_time_limit,
        "selected": np.asarray(solution.selected).tolist(),
    }
