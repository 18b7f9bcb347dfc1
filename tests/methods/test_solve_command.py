"""``python -m benchmark solve``: files in, files out, what goes wrong, and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmark import cli
from methods.qpm.assignment import SOLVERS, AssignmentProblem, evaluate, solve
from methods.qpm.assignment.files import read_problem
from methods.qpm.command import LiveLine

ROOT = Path(__file__).resolve().parents[2]


def arrays(n_c: int = 6, n_f: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    redundancy = np.triu(rng.random((n_f, n_f)), 1)
    return {
        "A": rng.normal(size=(n_c, n_f)),
        "R": redundancy + redundancy.T,
        "b": rng.normal(size=n_f),
    }


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmark", "solve", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("solver", ["local", "highs"])
def test_a_file_is_solved_and_the_solution_written(tmp_path, monkeypatch, capsys, solver) -> None:
    given = arrays()
    np.savez(tmp_path / "toy.npz", **given)
    words = ["--n-features", "5", "--n-per-class", "2", "--solver", solver, "--seed", "3"]
    assert call(monkeypatch, str(tmp_path / "toy.npz"), *words) == 0
    said = capsys.readouterr()
    assert "objective" in said.err  # the live line
    assert "toy-solution.npz" in said.out
    problem = AssignmentProblem(given["A"], given["R"], given["b"], 5, 2)
    expected = solve(problem, solver, seed=3)
    with np.load(tmp_path / "toy-solution.npz") as found:
        assert found["selected"].tolist() == expected.selected.tolist()
        assert found["assignment"].dtype == bool
        assert evaluate(problem, found["selected"], found["assignment"]) == found["objective"]
        assert found["upper_bound"] == expected.upper_bound
        assert found["gap"] == expected.gap
        assert found["solver"] == solver
        assert found["seconds"] > 0
        assert not found["hit_time_limit"]
        assert found["history"].shape == (len(expected.history), 3)
        assert found["history"][-1, 1] == found["objective"]


def test_r_and_b_may_be_missing_and_the_counts_in_the_file(tmp_path, monkeypatch) -> None:
    file = tmp_path / "toy.npz"
    np.savez(file, A=arrays()["A"], n_features=4, n_per_class=2)
    problem = read_problem(file)
    assert (problem.n_features, problem.n_per_class) == (4, 2)
    assert not problem.redundancy.any()
    assert not problem.bias.any()
    assert read_problem(file, n_features=5).n_features == 5  # what is said counts
    out = tmp_path / "here.npz"
    assert call(monkeypatch, str(file), "--average", "--out", str(out)) == 0
    with np.load(out) as found:
        assert found["assignment"].sum() == 2 * 6


def broken(file: Path, **changes: object) -> None:
    np.savez(file, **{k: v for k, v in (arrays() | changes).items() if v is not None})  # type: ignore[arg-type]


FAULTS = {
    "missing": (lambda file: None, [], "no such file"),
    "text": (lambda file: file.write_text("A"), [], "no .npz"),
    "empty": (lambda file: file.write_bytes(b""), [], "no .npz"),
    "truncated": (lambda file: file.write_bytes(b"PK\x03\x04rest"), [], "no .npz"),
    "pickle": (lambda file: broken(file, b=np.array([{}], dtype=object)), [], "no .npz"),
    "no A": (lambda file: np.savez(file, B=1), [], "no array A"),
    "nan": (lambda file: broken(file, A=np.full((6, 12), np.nan)), [], "NaN"),
    "words": (lambda file: broken(file, A=np.full((6, 12), "x")), [], ""),
    "R": (lambda file: broken(file, R=np.zeros((3, 3))), [], "redundancy must be 12 x 12"),
    "b": (lambda file: broken(file, b=np.zeros(3)), [], "bias must have one entry"),
    "count": (lambda file: broken(file, n_features=np.arange(3)), [], "n_features must be one"),
    "many": (lambda file: broken(file), ["--n-features", "13"], "exceeds the 12 features"),
    "alike": (lambda file: broken(file), ["--n-features", "2"], "different sets for 6 classes"),
    "out": (lambda file: broken(file), ["--out", "nowhere/x.npz"], "no folder nowhere"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_file_is_one_sentence_and_status_2(name, tmp_path, monkeypatch, capsys) -> None:
    make, words, said = FAULTS[name]
    file = tmp_path / "toy.npz"
    make(file)
    counts = ["--n-features", "5", "--n-per-class", "1"]
    given = counts if name != "count" else counts[2:]
    assert call(monkeypatch, str(file), *given, *words) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert said in error
    assert str(file) in error or name == "out"
    assert not (tmp_path / "toy-solution.npz").exists()


@pytest.mark.parametrize("found", [True, False])
def test_ctrl_c_writes_what_there_is(found, tmp_path, monkeypatch, capsys) -> None:
    def stopped(problem, monitor, seed, progress) -> None:
        if found:
            assignment = np.eye(5, dtype=bool)
            monitor.offer(np.arange(5), assignment)
        raise KeyboardInterrupt

    np.savez(tmp_path / "toy.npz", A=arrays(n_c=5)["A"], n_features=5, n_per_class=1)
    monkeypatch.setitem(SOLVERS, "local", stopped)
    assert call(monkeypatch, str(tmp_path / "toy.npz")) == 130
    said = capsys.readouterr()
    assert (tmp_path / "toy-solution.npz").exists() is found
    assert "interrupted" in (said.out if found else said.err)


def test_a_real_ctrl_c_ends_highs_with_a_solution(tmp_path: Path) -> None:
    np.savez(tmp_path / "toy.npz", **arrays(n_c=60, n_f=80))
    words = ["toy.npz", "--solver", "highs", "--n-features", "20", "--n-per-class", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "solve", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a background job of a shell ignores the signal, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    while "objective" not in (line := process.stderr.readline()):
        assert line, "it ended by itself"
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.startswith("interrupted; ")
    assert "Traceback" not in error
    with np.load(tmp_path / "toy-solution.npz") as found:
        assert found["selected"].shape == (20,)
        assert found["upper_bound"] >= found["objective"]


def test_on_a_terminal_one_line_is_kept_up_to_date() -> None:
    screen = io.StringIO()
    line = LiveLine(Console(file=screen, force_terminal=True, width=100))
    with line.shown(), line.bar("searching", total=3) as advance:
        line.watch(1.0, 301.25, 310.0, 0.029)
        advance(note="Z = 301")
        assert "objective 301.250, bound 310.000, gap 2.90 %  (searching 1/3, Z = 301)" in str(
            line.__rich__()
        )
    assert "objective 301.250" in screen.getvalue()
