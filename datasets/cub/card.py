"""Card of CUB-200-2011."""

from benchmark.contracts import DatasetCard

CARD = DatasetCard(
    name="cub",
    title="CUB-200-2011: 200 bird species, cropped to their boxes",
    licence="non-commercial research use; the photographs remain their owners'",
    layout="images.txt, classes.txt, image_class_labels.txt, train_test_split.txt, "
    "bounding_boxes.txt, images/CLASS/*.jpg, parts/, attributes/",
    open="datasets.cub.reader:open_dataset",
    preset="paper",
    usage="cub --data-root DIR",
)
