"""The command line in a process of its own, as people use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from benchmark.cli import _announce
from benchmark.contracts import Command, UserError

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str, cwd: Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "BENCHMARK_CACHE": str(cache or cwd / "cache"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def test_help_needs_no_torch_and_names_the_commands(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['benchmark', 'run', '--help']\n"
        "from benchmark.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "--methods" in ran.stdout
    top = call("--help", cwd=tmp_path)
    for command in ("run", "report", "list", "prepare", "solve"):
        assert command in top.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "run"),
        (["run"], "--methods"),
        (["run", "--methods", "qmp", "--dataset", "toybirds"], "did you mean qpm"),
        (["run", "--methods", "qpm", "--dataset", "toybird"], "did you mean toybirds"),
        (["run", "--methods", "qpm", "--dataset", "toybirds", "--set", "qpm.n_wc=5"], "n_wc"),
        (["run", "--methods", "qpm", "--dataset", "toybirds", "--seeds", "x"], "--seeds x"),
        (["run", "--methods", "qpm", "--dataset", "toybirds", "--plugin", "no.py"], "no.py"),
        (["run", "--config", "no.yaml"], "no.yaml"),
        (["run", "--methods", "dense", "--dataset", "folder:nowhere"], "nowhere"),
        (["run", "--methods", "dense", "--dataset", "cub"], "--data-root"),
        (["run", "--methods", "dense", "--dataset", "toybirds:sizes=3"], "sizes"),
        (["report", "nowhere"], "nowhere"),
        (["list", "method"], "did you mean methods"),
    ],
)
def test_what_the_user_can_mend_is_a_sentence_and_status_2(words, said, tmp_path) -> None:
    ran = call(*words, cwd=tmp_path)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "runs").exists()


def test_a_method_adds_commands_but_replaces_none() -> None:
    app = typer.Typer()
    calls: list[int] = []

    def double(number: int) -> None:
        calls.append(2 * number)

    _announce(app, Command("double", "Twice as much.", double), "arithmetic")
    app.command("other")(lambda: None)
    CliRunner().invoke(app, ["double", "21"])
    assert calls == [42]
    with pytest.raises(UserError, match="arithmetic brings the command 'double'"):
        _announce(app, Command("double", "Again.", double), "arithmetic")


def test_lists(tmp_path: Path) -> None:
    everything = call("list", cwd=tmp_path).stdout
    for name in ("dense", "glm_saga", "sldd", "qsenn", "qpm", "toybirds", "cub", "folder:PATH",
                 "sid_at_5", "resnet50"):  # fmt: skip
        assert name in everything
    assert "n_per_class" in call("list", "qpm", cwd=tmp_path).stdout


PLUGIN = """
from benchmark.contracts import Fitted, MethodCard, Parameters

def fit(context):
    if context.shared.seed == 2:
        raise RuntimeError("seed two is not to my liking")
    return Fitted(context.dense())

CARD = MethodCard("picky", "Picky", "classifier", "none", Parameters, fit)
"""


def test_run_report_and_replay(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "picky.py").write_text(PLUGIN)
    words = [
        "run", "--methods", "dense,picky", "--plugin", "picky.py", "--seeds", "1,2",
        "--dataset", "toybirds:classes=6,images=8,pixels=48", "--out", "out",
        "--set", "data.image_size=32", "--set", "dense.epochs=1", "--set", "dense.batch_size=8",
        "--device", "cpu", "--precision", "float32",
    ]  # fmt: skip
    ran = call(*words, cwd=tmp_path, cache=cache)
    assert ran.returncode == 1, ran.stdout + ran.stderr  # a cell failed, the others finished
    assert "about" in ran.stderr  # the estimate, before it starts
    assert "seed two is not to my liking" in ran.stderr
    assert "Traceback" not in ran.stderr
    page = (tmp_path / "out/report.html").read_text()
    assert "seed two is not to my liking" in page
    rows = (tmp_path / "out/results.csv").read_text().splitlines()
    assert rows[0] == (
        "dataset,backbone,method,variant,explains,seed,repetition,metric,value,unit,"
        "higher_is_better,status,reason"
    )
    assert any(",failed," in row for row in rows)

    fields = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert fields["parameters"]["dense"]["epochs"] == 1
    started = time.monotonic()
    again = call("run", "--config", "out/config.yaml", "--out", "again", cwd=tmp_path, cache=cache)
    assert again.returncode == 1
    assert time.monotonic() - started < 120
    assert (tmp_path / "again/results.csv").read_text().splitlines() == rows

    (tmp_path / "out/report.md").unlink()
    assert call("report", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out/report.md").exists()
    merged = call("report", "out", "again", "--out", "both", cwd=tmp_path)
    assert merged.returncode == 0
    assert (tmp_path / "both/report.html").exists()
