"""Golden metric cases as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from benchmark.contracts import ImageAttributes

CASES = ("binary", "ternary", "dense", "edge")
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}
TOLERANCE = {"f32": 5e-6, "f64": 1e-9}  # as the golden README recommends


@dataclass(frozen=True)
class Case:
    """One golden file: its arrays, and tensors of them in a precision."""

    name: str
    arrays: dict[str, np.ndarray]

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def tensor(self, key: str, precision: str = "f64") -> torch.Tensor:
        values = torch.from_numpy(self.arrays[key])
        return values.to(PRECISIONS[precision]) if values.is_floating_point() else values

    def used(self, key: str, precision: str = "f64") -> torch.Tensor:
        """The same, restricted to the columns with a nonzero weight."""
        return self.tensor(key, precision)[:, torch.from_numpy(self["exp_relevant_columns"])]

    @property
    def attributes(self) -> ImageAttributes:
        """Image k in increasing id order is training sample k."""
        image = np.unique(self["attr_img_id"], return_inverse=True)[1].reshape(-1)
        return ImageAttributes(
            image,
            self["attr_attribute"].astype(np.int64) - 1,
            self["attr_is_present"].astype(bool),
            self["attr_certainty"],
        )


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On tensors this small threads only wait for each other, on a busy machine for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden_case(golden) -> Callable[[str], Case]:
    return cache(lambda name: Case(name, golden(f"metrics_{name}")))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, golden_case) -> Case:
    return golden_case(request.param)


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tolerance(precision: str) -> float:
    return TOLERANCE[precision]
