"""The rulers: functions on tensors, each with a card (:mod:`metrics.cards`).

Names are looked up on first use, so that ``import metrics`` and the cards need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics.alignment import alignment_matrix as alignment_matrix
    from metrics.alignment import feature_alignment as feature_alignment
    from metrics.compactness import features_per_class as features_per_class
    from metrics.compactness import total_features as total_features
    from metrics.covering import polytope_size as polytope_size
    from metrics.covering import purity as purity
    from metrics.covering import representativeness as representativeness
    from metrics.covering import unseen_coverage as unseen_coverage
    from metrics.generality import class_independence as class_independence
    from metrics.generality import dependence as dependence
    from metrics.grounding import class_similarity as class_similarity
    from metrics.grounding import most_similar_pairs as most_similar_pairs
    from metrics.grounding import structural_grounding as structural_grounding
    from metrics.masking import average_drop as average_drop
    from metrics.masking import average_increase as average_increase
    from metrics.mixtures import contrastiveness as contrastiveness
    from metrics.mixtures import fit_two_normals as fit_two_normals
    from metrics.mixtures import normal_overlap as normal_overlap
    from metrics.prediction import accuracy as accuracy
    from metrics.prediction import pair_accuracy as pair_accuracy
    from metrics.reduction import mean_of_whole_blocks as mean_of_whole_blocks
    from metrics.redundancy import correlation as correlation
    from metrics.spatial import diversity_at_k as diversity_at_k
    from metrics.spatial import sid_at_k as sid_at_k

# No module may be named like a function: importing it would hide the function.
_HOME = {
    "accuracy": "prediction",
    "alignment_matrix": "alignment",
    "average_drop": "masking",
    "average_increase": "masking",
    "class_independence": "generality",
    "class_similarity": "grounding",
    "contrastiveness": "mixtures",
    "correlation": "redundancy",
    "dependence": "generality",
    "diversity_at_k": "spatial",
    "feature_alignment": "alignment",
    "features_per_class": "compactness",
    "fit_two_normals": "mixtures",
    "mean_of_whole_blocks": "reduction",
    "most_similar_pairs": "grounding",
    "normal_overlap": "mixtures",
    "pair_accuracy": "prediction",
    "polytope_size": "covering",
    "purity": "covering",
    "representativeness": "covering",
    "sid_at_k": "spatial",
    "structural_grounding": "grounding",
    "total_features": "compactness",
    "unseen_coverage": "covering",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
