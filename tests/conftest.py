"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import benchmark.__main__  # noqa: F401 - says how threads wait, before anything imports torch

# isort: split
import numpy as np
import pytest
from hypothesis import settings

# The same examples on every run, so that a failure is the change's own; look for others with
# `pytest --hypothesis-profile=random`.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", derandomize=False, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden cases and data that lies beside the project; users don't have it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared (golden cases, real data) is not there")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path):
    """``golden("losses")`` loads a golden case as a dict; half-precision arrays are widened."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "golden" / f"{name}.npz", allow_pickle=False) as archive:
            case = {key: archive[key] for key in archive.files}
        return {k: v.astype(np.float64) if v.dtype == np.float16 else v for k, v in case.items()}

    return load
