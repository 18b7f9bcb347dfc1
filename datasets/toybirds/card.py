"""Card of toybirds, the embedded default."""

from benchmark.contracts import DatasetCard

CARD = DatasetCard(
    name="toybirds",
    title="Toy birds, rendered on first use: 40 species, ten pairs differ in one detail alone",
    licence="MIT, as this project",
    layout="CUB-200-2011's, written to the cache folder",
    open="datasets.toybirds.reader:open_dataset",
    preset="quick",
    usage="toybirds[:classes=40,images=60,pixels=96,seed=0]",
)
