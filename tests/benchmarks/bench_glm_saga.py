"""Timings of the elastic-net path, both engines in one run, and the memory of a streamed table.

``pytest tests/benchmarks/bench_glm_saga.py --benchmark-enable`` runs them, each once: some 10
minutes, nearly all of them the package's. ``-k "not package"`` leaves those out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from methods.glm_saga.engines import ENGINES
from methods.glm_saga.selection import select_features


def features_like_a_network_s(
    n: int, d: int, n_classes: int, rank: int = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rectified, correlated features (n, d) float32 whose spectrum falls by 10; labels (n,)."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    centres = rng.normal(size=(n_classes, rank))
    hidden = (centres[y] + 1.5 * rng.normal(size=(n, rank))) * np.logspace(0, -1, rank) * 2
    x = hidden @ rng.normal(size=(rank, d)) / rank**0.5 + 0.7 * rng.normal(size=(n, d)) - 0.3
    return np.maximum(x, 0).astype(np.float32), y


@pytest.fixture(scope="module")
def medium():
    return features_like_a_network_s(3000, 512, 50)


@pytest.fixture(scope="module")
def like_cub():
    """As many images, features and classes as CUB-200-2011 has with a ResNet-50."""
    return features_like_a_network_s(5994, 2048, 200, rank=128)


def once(benchmark, function, *arguments, **named):
    return benchmark.pedantic(function, arguments, named, rounds=1, iterations=1)


def note(benchmark, path) -> None:
    """What the path reached, beside the time it took."""
    benchmark.extra_info |= {
        "lambdas": len(path),
        "largest residual": float(path.kkt.max()),
        "nonzeros at the end": int(path.nonzeros[-1]),
        "objectives at lambda 25, 50, 75, 100 %": [
            float(path.objective[len(path) * k // 4 - 1]) for k in (1, 2, 3, 4)
        ],
    }


@pytest.mark.benchmark(group="100 lambdas on (3000, 512, 50)")
@pytest.mark.parametrize("engine", ["fast", "package"])
def test_whole_path(benchmark, medium, engine):
    path = once(benchmark, ENGINES[engine], *medium, 50)
    note(benchmark, path)
    assert len(path) == 100


@pytest.mark.benchmark(group="like CUB: (5994, 2048, 200)")
def test_select_50_features(benchmark, like_cub):
    found = once(benchmark, select_features, *like_cub, 200, 50)
    assert len(found.order) == 50


@pytest.mark.benchmark(group="like CUB: 100 lambdas on 50 features")
def test_path_on_50_features(benchmark, like_cub):
    x, y = like_cub
    path = once(benchmark, ENGINES["fast"], np.ascontiguousarray(x[:, :50]), y, 200)
    note(benchmark, path)
    assert len(path) == 100


# VmHWM and not getrusage, whose peak a process inherits from the one that started it.
STREAM = """
import json, re, sys
from pathlib import Path
import numpy as np
from methods.glm_saga.fast import elastic_net_path

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

x = np.load(sys.argv[1], mmap_mode="r")
before = peak()
path = elastic_net_path(x, np.load(sys.argv[2]), 50, n_lambdas=4, ratio=0.5, memory=0)
print(json.dumps({"imports_kib": before, "peak_kib": peak(), "kkt": path.kkt.max()}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.benchmark(group="streamed table, 4 lambdas, 50 classes")
@pytest.mark.parametrize("n", [25_000, 200_000])
def test_streamed_memory(benchmark, tmp_path, n):
    """The peak of a process of its own, which maps n x 2048 float32 rows."""
    file = tmp_path / "x.npy"
    table = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(n, 2048))
    labels = np.empty(n, dtype=np.int64)
    part, part_labels = features_like_a_network_s(25_000, 2048, 50)
    for start in range(0, n, 25_000):
        table[start : start + 25_000], labels[start : start + 25_000] = part, part_labels
    table.flush()
    np.save(tmp_path / "y.npy", labels)
    del table

    def stream():
        return subprocess.run(
            [sys.executable, "-c", STREAM, file, tmp_path / "y.npy"],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
        ).stdout  # fmt: skip

    report = json.loads(once(benchmark, stream))
    benchmark.extra_info |= report
    assert report["kkt"] < 1e-4
    assert report["peak_kib"] < 3 * 2**20
