"""Card of the dense classifier, the uninterpretable reference row."""

from benchmark.contracts import MethodCard, Parameters

CARD = MethodCard(
    name="dense",
    title="Dense",
    kind="classifier",
    paper="Norrenbrock et al., QPM (ICLR 2025), appendix C",
    parameters=Parameters,
    fit="methods.dense.method:fit",
    reference=True,
)
