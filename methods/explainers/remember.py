"""Parts of a long fit that survive its being killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def remembered(
    file: Path | None, compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrays computed once and then found in ``file`` (``.npz``), which is written whole or not.

    Without a file they are computed each time.

    >>> remembered(None, lambda: {"one": np.ones(1)})
    {'one': array([1.])}
    """
    if file is None:
        return compute()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"new {file.name}")
        np.savez(temporary, **compute())  # type: ignore[arg-type]
        temporary.replace(file)
    with np.load(file) as archive:
        return {name: archive[name] for name in archive.files}
