"""What the tables must know of each metric; importable without torch.

Values with unit ``"percent"`` are fractions (0.85), which a report shows as per cent (85.0).
Sample metrics read a :class:`benchmark.contracts.Batch`, table metrics
:class:`benchmark.contracts.Tables`.
"""

from __future__ import annotations

from math import inf

from benchmark.contracts import MetricCard

QPM = "QPM (Norrenbrock et al., ICLR 2025)"
QSENN = "Q-SENN (Norrenbrock et al., AAAI 2024)"
SLDD = "SLDD-Model (Norrenbrock et al., 2022)"
REPRESENTATIVE = "Representative Interpretations (Lam et al., ICCV 2021)"

CARDS: tuple[MetricCard, ...] = (
    MetricCard(
        name="accuracy",
        title="Accuracy",
        unit="percent",
        range=(0, 1),
        higher_is_better=True,
        scope="sample",
        compute="metrics.prediction:accuracy_of",
    ),
    MetricCard(
        name="pair_accuracy",
        title="Accuracy within the pairs",
        unit="percent",
        range=(0, 1),
        higher_is_better=True,
        scope="sample",
        compute="metrics.prediction:pair_accuracy_of",
        needs=frozenset({"pairs"}),
    ),
    MetricCard(
        name="total_features",
        title="Total features",
        unit="count",
        range=(0, inf),
        higher_is_better=False,
        scope="table",
        compute="metrics.compactness:total_features_of",
        paper=f"{QPM}, table 2",
    ),
    MetricCard(
        name="features_per_class",
        title="Features / class",
        unit="count",
        range=(0, inf),
        higher_is_better=False,
        scope="table",
        compute="metrics.compactness:features_per_class_of",
        paper=f"{QPM}, table 2",
    ),
    MetricCard(
        name="sid_at_5",
        title="SID@5",
        unit="percent",
        range=(0.2, 1),
        higher_is_better=True,
        scope="sample",
        compute="metrics.spatial:sid_at_5_of",
        paper=f"{QPM}, eqs. 15-16",
    ),
    MetricCard(
        name="diversity_at_5",
        title="diversity@5",
        unit="percent",
        range=(0.2, 1),
        higher_is_better=True,
        scope="sample",
        compute="metrics.spatial:diversity_at_5_of",
        paper=SLDD,
    ),
    MetricCard(
        name="class_independence",
        title="Class-Independence",
        unit="percent",
        range=(0, 1),
        higher_is_better=True,
        scope="table",
        compute="metrics.generality:class_independence_of",
        paper=f"{QPM}, eq. 14",
    ),
    MetricCard(
        name="contrastiveness",
        title="Contrastiveness",
        unit="percent",
        range=(0, 1),
        higher_is_better=True,
        scope="table",
        compute="metrics.mixtures:contrastiveness_of",
        paper=f"{QPM}, eq. 13",
    ),
    MetricCard(
        name="structural_grounding",
        title="Structural Grounding",
        unit="percent",
        range=(-inf, inf),
        higher_is_better=True,
        scope="table",
        compute="metrics.grounding:structural_grounding_of",
        needs=frozenset({"class_similarity"}),
        paper=f"{QPM}, eq. 12",
    ),
    MetricCard(
        name="correlation",
        title="Correlation",
        unit="percent",
        range=(-1, 1),
        higher_is_better=False,
        scope="table",
        compute="metrics.redundancy:correlation_of",
        paper=f"{QPM}, eq. 18",
    ),
    MetricCard(
        name="dependence",
        title="Dependence",
        unit="percent",
        range=(0, 1),
        higher_is_better=False,
        scope="table",
        compute="metrics.generality:dependence_of",
        paper=QSENN,
    ),
    MetricCard(
        name="feature_alignment",
        title="Feature alignment",
        unit="fraction",
        range=(-inf, inf),
        higher_is_better=True,
        scope="table",
        compute="metrics.alignment:feature_alignment_of",
        needs=frozenset({"image_attributes"}),
        paper=f"{QSENN}; QPM, eqs. 28-29",
    ),
    MetricCard(
        name="average_drop",
        title="Average Drop",
        unit="percent",
        range=(0, 1),
        higher_is_better=False,
        scope="sample",
        compute="metrics.masking:average_drop_of",
        needs=frozenset({"masked_logits"}),
        paper=f"{REPRESENTATIVE}, eq. 7",
    ),
    MetricCard(
        name="average_increase",
        title="Average Increase",
        unit="percent",
        range=(0, 1),
        higher_is_better=True,
        scope="sample",
        compute="metrics.masking:average_increase_of",
        needs=frozenset({"masked_logits"}),
        paper=f"{REPRESENTATIVE}, eq. 8",
    ),
)
