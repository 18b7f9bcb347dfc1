"""The one training loop: dense training and every fine-tuning, CPU and CUDA.

Appendix C of the QPM paper: SGD, the learning rate multiplied by a factor every so many epochs,
dropout on the features, and a loss that the caller passes in. After each epoch a checkpoint is
written; a run that was killed continues from it and ends with the same numbers.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional as F

from benchmark.classifier import Classifier
from benchmark.contracts import Progress, Silent, Split, UserError
from benchmark.images import train_batches
from benchmark.losses import feature_diversity_loss
from benchmark.recipe import Recipe
from benchmark.store import derive_seed

# loss(selected maps, features, logits, labels, weight) -> scalar; a layered head has no weight
Loss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor
]


@dataclass(frozen=True)
class Setting:
    """Where a training runs: device, precision, data, and the seed of its random choices."""

    split: Split
    device: torch.device
    precision: Literal["bf16", "float32"]
    seed: int


def cross_entropy_with_diversity(beta: float) -> Loss:
    """Equation 33 of the QPM paper: cross-entropy plus beta times the feature diversity loss."""

    def loss(
        maps: torch.Tensor,
        features: torch.Tensor,
        logits: torch.Tensor,
        labels: torch.Tensor,
        weight: torch.Tensor | None,
    ) -> torch.Tensor:
        total = F.cross_entropy(logits, labels)
        if beta:
            assert weight is not None
            total = total + feature_diversity_loss(maps, logits, weight, beta=beta)
        return total

    return loss


def train(
    classifier: Classifier,
    recipe: Recipe,
    setting: Setting,
    loss: Loss,
    checkpoint: Path,
    *,
    name: str = "training",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train in place; the history has one entry per epoch: epoch, loss, accuracy, rate, seconds.

    ``accuracy`` is that on the augmented training images while they are learnt. Continues from
    ``checkpoint`` if there is one, and leaves it behind at the end. Raises :class:`UserError`
    when the loss is no longer finite.
    """
    progress = progress or Silent()
    classifier.to(setting.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(classifier, recipe)
    history = _resume(checkpoint, classifier, optimizer)
    steps = math.ceil(len(setting.split) / recipe.batch_size)
    classifier.head.dropout = recipe.dropout
    classifier.train()
    with progress.bar(name, total=recipe.epochs * steps) as advance:
        advance(len(history) * steps)
        for epoch in range(len(history), recipe.epochs):
            factor = recipe.step_factor ** (epoch // recipe.step_epochs)
            for group in optimizer.param_groups:
                group["lr"] = group["initial"] * factor
            entry = _epoch(classifier, optimizer, recipe, setting, loss, epoch, advance)
            if not math.isfinite(entry["loss"]):
                raise UserError(
                    f"{name} diverged in epoch {epoch + 1} (the loss is {entry['loss']}): "
                    f"try a learning_rate below {recipe.learning_rate:g}"
                )
            history.append(entry | {"learning_rate": recipe.learning_rate * factor})
            _save(checkpoint, classifier, optimizer, history)
    classifier.eval()
    return history


def _optimizer(classifier: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    last = [p for p in classifier.head.last_layer() if p.requires_grad]
    final = {id(p) for p in last}
    rest = [p for p in classifier.parameters() if p.requires_grad and id(p) not in final]
    groups: list[dict[str, Any]] = [{"params": rest, "initial": recipe.learning_rate}]
    if last:
        groups.append({"params": last, "initial": recipe.head_learning_rate})
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


def _epoch(
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    setting: Setting,
    loss: Loss,
    epoch: int,
    advance: Callable[..., None],
) -> dict[str, Any]:
    started = time.perf_counter()
    device = setting.device
    seed = derive_seed(setting.seed, "epoch", epoch)
    torch.manual_seed(seed)  # dropout draws from torch's own generator
    total = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    seen = 0
    batches = train_batches(
        setting.split,
        classifier.preprocessing,
        device,
        augment=recipe.augment,
        batch_size=recipe.batch_size,
        seed=seed,
    )
    for images, labels in batches:
        with autocast(setting):
            maps = classifier.maps(images)
        head = classifier.head
        selected = head.select(maps)
        features, logits = head.classify(selected)
        value = loss(selected, features, logits, labels, head.weight)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        total += value.detach() * len(labels)
        right += (logits.detach().argmax(1) == labels).sum()
        seen += len(labels)
        advance(1)
    return {
        "epoch": epoch + 1,
        "loss": float(total) / seen,
        "accuracy": float(right) / seen,
        "seconds": time.perf_counter() - started,
    }


def autocast(setting: Setting) -> torch.autocast:
    """The context in which the backbone runs: bf16 where the setting says so."""
    return torch.autocast(
        setting.device.type, dtype=torch.bfloat16, enabled=setting.precision == "bf16"
    )


def best_precision(device: torch.device) -> Literal["bf16", "float32"]:
    """bf16 where the hardware has instructions for it and so gains from it, else float32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        # Without these instructions oneDNN emulates bf16, which is slower than float32.
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    return "float32"


def _save(
    file: Path, classifier: Classifier, optimizer: torch.optim.Optimizer, history: list
) -> None:
    temporary = file.with_name(file.name + ".new")
    state = {
        "classifier": classifier.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    torch.save(state, temporary)
    os.replace(temporary, file)


def _resume(file: Path, classifier: Classifier, optimizer: torch.optim.Optimizer) -> list:
    if not file.exists():
        return []
    state = torch.load(file, map_location="cpu", weights_only=True)
    classifier.load_state_dict(state["classifier"])
    optimizer.load_state_dict(state["optimizer"])
    return state["history"]
