"""Where a number comes from: versions, device, commit, time."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmark.store import versions

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "highspy",
    "gurobipy",
    "glm-saga",
)


def git_commit(folder: Path | None = None) -> str | None:
    """The project's commit, with ``+`` where the tree has changes; None outside a checkout."""
    folder = folder or Path(__file__).resolve().parent

    def git(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def describe(device: str) -> dict[str, Any]:
    """Versions, device, threads and time for a record.

    >>> sorted(describe("cpu"))
    ['device', 'git_commit', 'platform', 'processor', 'python', 'threads', 'time', 'versions']
    """
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    return {
        "versions": versions(PACKAGES),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "device": device,
        "processor": name,
        "threads": torch.get_num_threads(),
        "git_commit": git_commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
