"""The schedule of a training, declared apart from the loop so that checking it needs no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.contracts import Parameters

Augment = Literal["trivial", "light", "none"]


class Schedule(Parameters):
    """What every training by SGD has, at the values of appendix C of the QPM paper."""

    epochs: int = Field(150, ge=1, description="passes over the training images")
    batch_size: int = Field(16, ge=2, description="images in a step")
    step_epochs: int = Field(30, ge=1, description="epochs after which the rate falls")
    step_factor: float = Field(0.4, gt=0, le=1, description="what the rate is multiplied by")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="l2 regularisation")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate of the pooled features")
    diversity: float | None = Field(
        None, ge=0, description="weight beta of the feature diversity loss; none: the backbone's"
    )
    augment: Augment = Field(
        "trivial", description="trivial: flip, jitter and TrivialAugment; light: flip and jitter"
    )


class Recipe(Schedule):
    """Dense training: backbone and final layer.

    >>> Recipe(epochs=3).learning_rate
    0.005
    """

    learning_rate: float = Field(
        5e-3, gt=0, description="rate at the start, of all but the final layer"
    )
    head_learning_rate: float = Field(1e-2, gt=0, description="rate of the final layer")


class FineTuning(Schedule):
    """Fine-tuning of the backbone under a fixed head; methods add their own parameters to it.

    The rate has two published values: ``"code"`` is the authors' code's 1e-4, ``"text"`` is 100
    times the last rate of the dense training, as appendix C has it.
    """

    epochs: int = Field(40, ge=1, description="passes over the training images")
    learning_rate: float | Literal["code", "text"] = Field(
        "code", description="rate at the start: a number; code: 1e-4; text: 100 x the last dense"
    )
    step_epochs: int = Field(10, ge=1, description="epochs after which the rate falls")
    momentum: float = Field(0.95, ge=0, lt=1, description="momentum of SGD")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the pooled features")

    def start_rate(self, dense: Recipe) -> float:
        """The rate at the start as a number.

        >>> FineTuning().start_rate(Recipe()), round(FineTuning(learning_rate="text")
        ...     .start_rate(Recipe()), 5)
        (0.0001, 0.0128)
        """
        if self.learning_rate == "code":
            return 1e-4
        if self.learning_rate == "text":
            falls = (dense.epochs - 1) // dense.step_epochs
            return 100 * dense.learning_rate * dense.step_factor**falls
        return float(self.learning_rate)
