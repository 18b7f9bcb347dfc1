"""Assignment problems and their solutions as files (.npz)."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from benchmark.contracts import UserError
from benchmark.store import write_atomically
from methods.qpm.assignment.problem import AssignmentProblem, Solution

N_FEATURES, N_PER_CLASS = 50, 5  # section 4.1


def read_problem(
    file: Path,
    n_features: int | None = None,
    n_per_class: int | None = None,
    exact_per_class: bool = True,
) -> AssignmentProblem:
    """The problem of the arrays A (n_c, n_f) and, where they are there, R (n_f, n_f) and b (n_f,).

    The counts are those given, or else the file's own ``n_features`` and ``n_per_class``, or else
    the paper's 50 and 5. Raises :class:`benchmark.contracts.UserError` naming the file.
    """
    arrays = _read(file)
    if "A" not in arrays:
        raise UserError(
            f"{file} has no array A (classes x features); it holds {', '.join(arrays) or 'nothing'}"
        )
    try:
        return AssignmentProblem(
            arrays["A"],
            arrays.get("R"),  # type: ignore[arg-type]
            arrays.get("b"),  # type: ignore[arg-type]
            _count(arrays, "n_features", n_features, N_FEATURES),
            _count(arrays, "n_per_class", n_per_class, N_PER_CLASS),
            exact_per_class,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{file}: {error}") from error


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        missing = isinstance(error, FileNotFoundError)
        said = "there is no such file" if missing else "this is no .npz of plain arrays"
        raise UserError(f"{file}: {said}") from error


def _count(arrays: dict[str, np.ndarray], name: str, given: int | None, usual: int) -> int:
    if given is not None:
        return given
    stored = arrays.get(name, np.array(usual))
    if stored.size != 1 or stored.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be one whole number")
    return stored.item()


def write_solution(file: Path, solution: Solution) -> None:
    """Write a solution, whole or not at all.

    Arrays: ``selected`` (n*,) int, ``assignment`` (n_c, n*) bool, ``objective``, ``upper_bound``,
    ``gap`` (relative), ``seconds``, ``solver``, ``hit_time_limit``, and ``history`` (rows, 3):
    seconds, objective, bound.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        selected=solution.selected,
        assignment=solution.assignment,
        objective=solution.objective,
        upper_bound=solution.upper_bound,
        gap=solution.gap,
        seconds=solution.seconds,
        solver=solution.solver,
        hit_time_limit=solution.hit_time_limit,
        history=np.array(solution.history, dtype=np.float64).reshape(-1, 3),
    )
    write_atomically(file, buffer.getvalue())
