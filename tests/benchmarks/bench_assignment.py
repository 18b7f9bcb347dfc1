"""The assignment solver on instances shaped like the papers' data, beside a plain search.

    python -m pytest tests/benchmarks/bench_assignment.py --benchmark-enable --benchmark-only

Needs the generator of instances and CUB's class attributes in ../shared. docs/assignment-solver.md
has what came out, and the longer comparisons.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from methods.qpm.assignment import AssignmentProblem, solve

SHARED = Path(__file__).parents[2].parent / "shared"
GENERATOR = SHARED / "instances" / "make_assignment_instance.py"
ATTRIBUTES = "attributes/class_attribute_labels_continuous.txt"

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason="needs ../shared")


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """``instance(features, classes, select)``: A, R and b, made once."""
    folder = tmp_path_factory.mktemp("instances")
    with tarfile.open(SHARED / "data" / "cub_annotations.tar.gz") as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith(ATTRIBUTES))
        archive.extract(member, folder, filter="data")
    attributes = next(folder.rglob(Path(ATTRIBUTES).name))

    def make(features: int, classes: int, select: int) -> dict[str, np.ndarray]:
        out = folder / f"{features}x{classes}x{select}.npz"
        if not out.exists():
            sizes = {"features": features, "classes": classes, "select": select, "seed": 1}
            options = [f"--{name}={value}" for name, value in sizes.items()]
            command = [sys.executable, GENERATOR, *options, "--attributes", attributes, out]
            subprocess.run(command, check=True)
        with np.load(out) as file:
            return dict(file)

    return make


def problem_of(arrays: dict[str, np.ndarray], n: int) -> AssignmentProblem:
    return AssignmentProblem(arrays["A"], arrays["R"], arrays["b"], n, 5)


@pytest.mark.benchmark(group="local search and bound at the root")
@pytest.mark.parametrize(
    ("features", "classes", "n"), [(400, 100, 30), (2048, 200, 50), (2048, 1000, 50)]
)
def test_local(benchmark, instance, features, classes, n):
    problem = problem_of(instance(features, classes, n), n)
    solution = benchmark.pedantic(lambda: solve(problem, cases=0), rounds=1)
    benchmark.extra_info |= {"objective": solution.objective, "gap": solution.gap}


@pytest.mark.benchmark(group="random restarts and exchanges, for as long as local takes")
@pytest.mark.parametrize(("features", "classes", "n"), [(400, 100, 30), (2048, 200, 50)])
def test_restarts(benchmark, instance, features, classes, n):
    from tests.benchmarks.assignment_baselines import swaps

    problem = problem_of(instance(features, classes, n), n)
    began = time.perf_counter()
    solution = solve(problem, cases=0)
    seconds = time.perf_counter() - began
    found: list[float] = []
    benchmark.pedantic(
        lambda: swaps(problem, seconds, lambda objective, bound: found.append(objective)), rounds=1
    )
    benchmark.extra_info |= {"objective": found[-1], "local": solution.objective}
    assert solution.objective >= found[-1]


@pytest.mark.benchmark(group="more features, 2048 x 200")
@pytest.mark.parametrize("n", [20, 50, 100, 200])
def test_n_features(benchmark, instance, n):
    problem = problem_of(instance(2048, 200, 50), n)
    solution = benchmark.pedantic(lambda: solve(problem, cases=0), rounds=1)
    benchmark.extra_info |= {"objective": solution.objective, "gap": solution.gap}
