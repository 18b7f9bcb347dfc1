"""What other ways reach on an assignment problem, for docs/assignment-solver.md.

    python tests/benchmarks/assignment_baselines.py INSTANCE.npz --n-features 50 --n-per-class 5 \
        --solver swaps|highs|scip --seconds 600

``swaps``: from random selections, the best of all exchanges until none improves, again and again;
all exchanges are valued at once by our own code, so it is as fast as a plain search can be.
``highs`` and ``scip``: the linearised problem without "no two classes alike" (so that they have
the easier task), no start, one thread. SCIP needs ``pip install pyscipopt``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import highspy
import numpy as np
import torch

from methods.qpm.assignment import AssignmentProblem
from methods.qpm.assignment import program as linear
from methods.qpm.assignment.distinct import relaxed
from methods.qpm.assignment.local import terms_of
from methods.qpm.assignment.moves import swap_gains


def swaps(problem: AssignmentProblem, seconds: float, say: Callable[[float, float], None]) -> None:
    """Random restarts, steepest ascent."""
    torch.set_num_threads(1)
    terms = terms_of(problem, "cpu")
    rng = np.random.default_rng(0)
    n_f, end, best = problem.similarity.shape[1], time.perf_counter() + seconds, -np.inf
    while time.perf_counter() < end:
        selected = torch.as_tensor(rng.choice(n_f, problem.n_features, replace=False))
        while time.perf_counter() < end:
            gains = swap_gains(terms, selected[None])[0]
            at = int(gains.argmax())
            if gains.ravel()[at] <= 1e-5:
                break
            selected[at // n_f] = at % n_f
        value = relaxed(problem, selected.numpy())
        if value > best:
            best = value
            say(best, np.inf)


def model_of(problem: AssignmentProblem) -> highspy.Highs:
    """The linearised problem; x may be fractional, which changes nothing once s is whole."""
    program = linear.Program()
    columns = linear.selection(program, problem, binary=False)
    linear.counts(program, problem, columns)
    linear.penalties(program, problem, columns)
    matrix = program.matrix
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.col_cost_ = program.cost
    lp.col_lower_, lp.col_upper_ = np.zeros(lp.num_col_), np.ones(lp.num_col_)
    lp.row_lower_, lp.row_upper_ = program.lower, program.upper
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
    lp.a_matrix_.value_ = matrix.data
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[int(whole)] for whole in program.integer]
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    model.passModel(lp)
    return model


def highs(problem: AssignmentProblem, seconds: float, say: Callable[[float, float], None]) -> None:
    model = model_of(problem)
    model.setOptionValue("time_limit", seconds)
    model.setOptionValue("threads", 1)
    model.run()
    info = model.getInfo()
    say(info.objective_function_value, info.mip_dual_bound)


def scip(problem: AssignmentProblem, seconds: float, say: Callable[[float, float], None]) -> None:
    from pyscipopt import Model

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.mps"
        model_of(problem).writeModel(str(file))
        model = Model()
        model.hideOutput()
        model.readProblem(str(file))
    model.setParam("limits/time", seconds)
    model.setParam("misc/usesymmetry", 0)  # there is none, and looking takes gigabytes
    model.optimize()
    found = model.getNSols() > 0
    say(model.getObjVal() if found else -np.inf, model.getDualbound())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("instance")
    parser.add_argument("--n-features", type=int, required=True)
    parser.add_argument("--n-per-class", type=int, required=True)
    parser.add_argument("--solver", choices=["swaps", "highs", "scip"], required=True)
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    with np.load(args.instance) as file:
        problem = AssignmentProblem(
            file["A"], file["R"], file["b"], args.n_features, args.n_per_class
        )
    began = time.perf_counter()

    def say(objective: float, bound: float) -> None:
        seconds = time.perf_counter() - began
        print(f"{args.solver} {seconds:8.1f} s  Z = {objective:.4f}  Z <= {bound:.4f}", flush=True)

    {"swaps": swaps, "highs": highs, "scip": scip}[args.solver](problem, args.seconds, say)


if __name__ == "__main__":
    main()
