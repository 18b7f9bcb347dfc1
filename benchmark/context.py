"""What a method is given: the shared stages, lazily, and the tools that every fit needs.

:class:`Shared` holds what all methods of one (dataset, backbone, seed) have in common: the dense
classifier and its features, each computed at most once in a cache that all runs share.
:class:`Context` is one method's view of it, with its parameters and a folder of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark import classifier as classifiers
from benchmark import features as tables
from benchmark.backbones import BackboneSpec, build_parts, diversity_weight
from benchmark.classifier import Classifier, Head, LayeredHead, evaluating
from benchmark.contracts import Dataset, Parameters, Progress, UserError
from benchmark.images import TestBatches
from benchmark.recipe import FineTuning, Recipe
from benchmark.store import Result, Store, code_hash, derive_seed, versions
from benchmark.training import Setting, autocast, cross_entropy_with_diversity, train
from datasets.transforms import Preprocessing

# Modules whose source decides what every stage computes.
GROUND = (
    "benchmark.backbones",
    "benchmark.classifier",
    "benchmark.context",
    "benchmark.features",
    "benchmark.images",
    "benchmark.losses",
    "benchmark.training",
    "datasets.images",
    "datasets.transforms",
)
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn")


@dataclass
class Shared:
    """The stages that all methods of one (dataset, backbone, seed) share.

    ``preprocessing`` is complete, with the training images' mean and deviation.
    """

    dataset: Dataset
    backbone: BackboneSpec
    dense_recipe: Recipe
    preprocessing: Preprocessing
    seed: int
    device: torch.device
    precision: Literal["bf16", "float32"]
    store: Store
    progress: Progress
    asked: dict[str, Result] = field(default_factory=dict)  # stages asked for, by name

    # ------------------------------------------------------------------ what decides outcomes

    def ground(self) -> dict[str, Any]:
        """What decides the outcome of every stage, whatever it does."""
        return {
            "dataset": [self.dataset.name, self.dataset.fingerprint],
            "backbone": self.backbone.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "seed": self.seed,
            "device": self.device.type,
            "precision": self.precision,
            "libraries": versions(LIBRARIES),
            "code": code_hash(GROUND),
        }

    def dense_ingredients(self) -> dict[str, Any]:
        """Everything that decides the dense classifier."""
        return self.ground() | {"recipe": self.dense_recipe.model_dump(mode="json")}

    def features_ingredients(self) -> dict[str, Any]:
        """Everything that decides the dense features."""
        return self.dense_ingredients() | {"stage": "features"}

    # ------------------------------------------------------------------------------- stages

    @cached_property
    def _dense(self) -> Result:
        return self.store.get("dense", self.dense_ingredients(), self._train_dense)

    @cached_property
    def _features(self) -> tuple[Result, tables.Features]:
        result = self.store.get("features", self.features_ingredients(), self._extract)
        return result, tables.load(result.folder)

    def dense(self) -> Classifier:
        """The trained dense classifier: a fresh copy, free to be changed."""
        self.asked["dense"] = self._dense
        return classifiers.load(self._dense.folder, self.device)

    def dense_phase(self) -> dict[str, Any]:
        """The dense training's own history, as a phase of the record."""
        return json.loads((self._dense.folder / "phase.json").read_text())

    def features(self) -> tables.Features:
        """The dense features of all images."""
        result, features = self._features
        self.asked["features"] = result
        return features

    @cached_property
    def train_batches(self) -> TestBatches:
        """Training images with the test transform, in order."""
        return TestBatches(self.dataset.train, self.preprocessing, self.device)

    @cached_property
    def test_batches(self) -> TestBatches:
        """Test images, in order."""
        return TestBatches(self.dataset.test, self.preprocessing, self.device)

    def setting(self, *axes: object) -> Setting:
        """Where a training runs, its seed derived from named axes."""
        axes = (self.dataset.name, self.backbone.name, self.seed, *axes)
        return Setting(self.dataset.train, self.device, self.precision, derive_seed(*axes))

    def beta(self, recipe: Recipe, head: Head | LayeredHead) -> float:
        """The weight of the diversity loss: the recipe's, or else the backbone's.

        The loss reads the weights of the predicted class (equation 31), which a head with hidden
        layers does not have: there it is 0, and :class:`UserError` if the recipe wants it.
        """
        if head.weight is None:
            if recipe.diversity:
                raise UserError(
                    f"dense.diversity={recipe.diversity:g}: the diversity loss needs a linear head,"
                    f" and that of {self.backbone.name} has hidden layers; set it to 0 or none"
                )
            return 0.0
        return (
            diversity_weight(self.backbone.name) if recipe.diversity is None else recipe.diversity
        )

    def accuracy(self, classifier: Classifier) -> float:
        """Share of the test images that are classified rightly."""
        right = 0
        classifier.to(self.device)
        with evaluating(classifier):
            for images, labels, _ in self.test_batches:
                with autocast(self.setting()):
                    logits = classifier(images)
                right += int((logits.argmax(1) == labels).sum())
        return right / len(self.dataset.test)

    def fit(
        self,
        classifier: Classifier,
        recipe: Recipe,
        folder: Path,
        *,
        name: str,
        axes: tuple[object, ...],
    ) -> dict[str, Any]:
        """Train a classifier in place, and return its phase: accuracies, seconds, history."""
        done = folder / f"{name}.json"
        checkpoint = folder / f"{name}.pt"
        before = None if done.exists() else self.accuracy(classifier)
        setting = self.setting(*axes, name)
        loss = cross_entropy_with_diversity(self.beta(recipe, classifier.head))
        history = train(
            classifier, recipe, setting, loss, checkpoint, name=name, progress=self.progress
        )
        if done.exists():
            return json.loads(done.read_text())
        phase = {
            "name": name,
            "seconds": sum(entry["seconds"] for entry in history),
            "accuracy_before": before,
            "accuracy_after": self.accuracy(classifier),
            "history": history,
        }
        done.write_text(json.dumps(phase))
        return phase

    # ------------------------------------------------------------------- how they are computed

    def _train_dense(self, folder: Path) -> float:
        torch.manual_seed(derive_seed(self.dataset.name, self.backbone.name, self.seed, "start"))
        backbone, hidden = build_parts(self.backbone)
        n_features, n_classes = backbone.n_features, len(self.dataset.classes)
        head: Head | LayeredHead
        if hidden is None:
            linear = torch.nn.Linear(n_features, n_classes)
            head = Head(
                torch.arange(n_features), linear.weight.data, linear.bias.data, trainable=True
            )
        else:
            head = LayeredHead.untrained(n_features, hidden, n_classes)
        classifier = Classifier(backbone, head, self.preprocessing)
        earlier = seconds_in(folder / "dense training.pt")
        phase = self.fit(
            classifier, self.dense_recipe, folder, name="dense training", axes=("dense",)
        )
        phase["accuracy_before"] = None  # an untrained head has no accuracy worth the name
        classifiers.save(classifier, folder)
        (folder / "phase.json").write_text(json.dumps(phase))
        (folder / "dense training.pt").unlink()
        return earlier

    def _extract(self, folder: Path) -> None:
        tables.extract(
            self.dense(), self.train_batches, self.test_batches, self.setting(), folder,
            self.progress,
        )  # fmt: skip


def seconds_in(checkpoint: Path) -> float:
    """Seconds that killed attempts had spent on a training, as its checkpoint tells."""
    if not checkpoint.exists():
        return 0.0
    history = torch.load(checkpoint, map_location="cpu", weights_only=True)["history"]
    return sum(entry["seconds"] for entry in history)


@dataclass
class Context:
    """What ``fit`` is called with: one method's view of the shared stages.

    ``folder`` is the fit's own; what is left there survives a kill. ``seed`` is derived from
    (dataset, backbone, method, seed), so that adding a method changes no other's numbers.
    """

    method: str
    parameters: Any
    shared: Shared
    folder: Path
    timings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def dataset(self) -> Dataset:
        return self.shared.dataset

    @property
    def n_classes(self) -> int:
        return len(self.shared.dataset.classes)

    @property
    def device(self) -> torch.device:
        return self.shared.device

    @property
    def progress(self) -> Progress:
        return self.shared.progress

    @property
    def seed(self) -> int:
        shared = self.shared
        return derive_seed(shared.dataset.name, shared.backbone.name, self.method, shared.seed)

    def generator(self, name: str = "") -> np.random.Generator:
        """A generator of the fit's own, named."""
        return np.random.default_rng([self.seed, derive_seed(name)])

    def dense(self) -> Classifier:
        """The trained dense classifier: a fresh copy, free to be changed."""
        return self.shared.dense()

    def features(self) -> tables.Features:
        """The dense features of all images: ``.train.features``, ``.train.labels``, ..."""
        return self.shared.features()

    def readable(self, head: Head) -> Classifier:
        """The dense backbone under another head."""
        dense = self.dense()
        return Classifier(dense.backbone, head, dense.preprocessing).to(self.device).eval()

    def finetune(self, classifier: Classifier, recipe: FineTuning, name: str) -> dict[str, Any]:
        """Fine-tune in place, fixed head; the phase has the accuracy before and after."""
        shared = self.shared
        rate = recipe.start_rate(shared.dense_recipe)
        fields = recipe.model_dump(include=set(Recipe.model_fields))
        plain = Recipe(**(fields | {"learning_rate": rate}))
        return shared.fit(classifier, plain, self.folder, name=name, axes=(self.method,))

    def extract(self, classifier: Classifier, name: str) -> tables.Features:
        """The training features of a fine-tuned backbone, kept in the fit's folder."""
        folder = self.folder / name
        if not (folder / "statistics.npz").exists() or not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            shared = self.shared
            tables.extract(
                classifier, shared.train_batches, None, shared.setting(), folder, self.progress
            )
            (folder / "done").touch()
        return tables.load(folder)

    def once(
        self, name: str, compute: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Tensors computed at most once in this fit, also when it is killed and continued."""
        file = self.folder / f"{name}.safetensors"
        if not file.exists():
            temporary = file.with_suffix(".new")
            save_file({k: v.contiguous() for k, v in compute().items()}, temporary)
            temporary.replace(file)
        return load_file(file)

    def stage(
        self,
        name: str,
        parameters: Mapping[str, Any] | Parameters,
        code: tuple[str, ...],
        compute: Callable[[Path], float | None],
    ) -> Result:
        """A cached stage on the dense features that several methods may share.

        It is keyed by the features, the parameters given and the source of the modules named,
        not by the method that asks for it.
        """
        ingredients = self.shared.features_ingredients() | {
            "stage": name,
            "parameters": dict(parameters),
            "own_code": code_hash(code),
        }
        result = self.shared.store.get(name, ingredients, compute)
        self.timings.append(
            {"stage": name, "key": result.key, "seconds": result.seconds, "cached": result.cached}
        )
        return result

    @contextmanager
    def timer(self, name: str) -> Iterator[None]:
        """Time a part of the fit under a name of its own in the record."""
        started = time.perf_counter()
        yield
        self.timings.append(
            {"stage": name, "seconds": time.perf_counter() - started, "cached": False}
        )
