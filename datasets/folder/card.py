"""Card of image folders."""

from benchmark.contracts import DatasetCard

CARD = DatasetCard(
    name="folder",
    title="Any folder of images: train/CLASS/..., test/CLASS/...",
    licence="your own images",
    layout="PATH/train/CLASS/**/IMAGE and PATH/test/CLASS/**/IMAGE",
    open="datasets.folder.reader:open_dataset",
    preset="quick",
    usage="folder:PATH[,merge_val=true]",
)
