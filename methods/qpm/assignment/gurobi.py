"""``solver="gurobi"``: the QPM paper's iterative scheme (section 4.1.1, appendix C).

The quadratic program is solved with n_wc features a class on average only; then, and again after
each solution, the constraints that it violates are added in the relaxed form of equations 9 and
10: for the classes that ever had too few features, and once none has, for those that ever were
alike, over the features that were ever selected. Each iteration starts from the best assignment of
the features of the last one. Where the paper repairs one pair of classes at a time (equations 19
to 25, "usually optimal"), :func:`methods.qpm.assignment.distinct.assign` gives the optimum.

Equation 9 excludes solutions too, so the end may lie a little below the optimum (the paper finds
0.5 %). Only the first iteration relaxes the problem, and so bounds it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from benchmark.contracts import Progress, UserError
from methods.qpm.assignment import program as linear
from methods.qpm.assignment.distinct import assign
from methods.qpm.assignment.monitor import Monitor
from methods.qpm.assignment.problem import AssignmentProblem

GAP = 1e-4  # section 4.1.1
ITERATION = 3 * 3600.0  # seconds that one iteration may take, section 4.1.1
OTHERS = "solver=highs and solver=local need neither"


def environment(problem: AssignmentProblem) -> Any:
    """A silent Gurobi environment whose licence is large enough for the problem.

    Raises :class:`benchmark.contracts.UserError` where there is none.
    """
    try:
        import gurobipy
    except ImportError as error:
        raise UserError(
            "solver=gurobi needs the package gurobipy (the extra `gurobi`) and a licence; " + OTHERS
        ) from error
    try:
        env = gurobipy.Env(params={"OutputFlag": 0})
        with gurobipy.Model(env=env) as model:  # as many unknowns; nothing else to be solved
            model.addVars(problem.similarity.size + problem.similarity.shape[1])
            model.optimize()
    except gurobipy.GurobiError as error:
        raise _refusal(error, problem) from error
    return env


def _refusal(error: Exception, problem: AssignmentProblem) -> UserError:
    n_c, n_f = problem.similarity.shape
    said = str(error).partition(";")[0].rstrip(".")
    return UserError(
        f"solver=gurobi: Gurobi's licence does not admit this problem of {n_c} classes and {n_f} "
        f"features ({said}); {OTHERS}"
    )


def iterate(
    problem: AssignmentProblem, monitor: Monitor, seed: int, progress: Progress, env: Any
) -> None:
    """Improve the solution that ``monitor`` has, up to section 4.1.1's own end or the limits.

    ``env`` comes from :func:`environment`. Without a wanted gap each iteration ends at 1e-4.
    """
    import gurobipy

    assert monitor.selected is not None
    assert monitor.assignment is not None
    start = monitor.selected, monitor.assignment
    among: set[int] = set()  # Gamma
    sparse: set[int] = set()  # C_sparse
    duplicates: set[int] = set()  # C_duplicates
    with progress.bar("Gurobi") as advance:
        while not (monitor.good_enough() or monitor.out_of_time()):
            advance(note=f"{len(sparse)} classes filled, {len(duplicates)} kept apart")
            try:
                with _model(problem, env, among, sparse, duplicates, start) as model:
                    found = _optimise(problem, monitor, seed, model, not (sparse or duplicates))
            except gurobipy.GurobiError as error:
                raise _refusal(error, problem) from error
            if found is None:
                break
            selected, assignment = found
            few, alike = _violated(problem, assignment)
            if not (few or alike):
                monitor.offer(selected, assignment)
                break
            among.update(selected.tolist())
            sparse |= few
            duplicates |= alike
            start = selected, assign(problem, selected)
            monitor.offer(*start)


def _violated(problem: AssignmentProblem, assignment: np.ndarray) -> tuple[set[int], set[int]]:
    """Classes with too few features; where there are none, classes that others are like."""
    least = problem.n_per_class if problem.exact_per_class else 1
    few = set(np.flatnonzero(assignment.sum(1) < least).tolist())
    return few, set() if few else {c for pair in linear.alike(assignment) for c in pair}


def _model(
    problem: AssignmentProblem,
    env: Any,
    among: set[int],
    sparse: set[int],
    duplicates: set[int],
    start: tuple[np.ndarray, np.ndarray],
) -> Any:
    """One iteration's program; its columns start with s and x, in this order."""
    import gurobipy

    gamma = np.array(sorted(among), dtype=np.int64)
    pairs = list(itertools.combinations(sorted(duplicates), 2))
    program = linear.Program()
    columns = linear.selection(program, problem)
    linear.total(program, problem, columns)
    least = problem.n_per_class if problem.exact_per_class else 1
    for c in sorted(sparse):
        program.require(columns.x[c, gamma], 1.0, lower=least)  # equation 9
    linear.difference(program, problem, columns, pairs, gamma)  # equation 10

    kinds = np.where(program.integer, gurobipy.GRB.BINARY, gurobipy.GRB.CONTINUOUS)
    matrix, lower, upper = program.matrix, program.lower, program.upper
    model = gurobipy.Model(env=env)
    values = model.addMVar(program.n_columns, ub=1.0, vtype=kinds)
    for rows, sense, bound in (
        (lower == upper, "=", upper),
        ((lower < upper) & np.isfinite(upper), "<", upper),
        ((lower < upper) & np.isfinite(lower), ">", lower),
    ):
        if rows.any():
            model.addMConstr(matrix[rows], values, sense, bound[rows])
    s = values[columns.s.tolist()]
    pairwise = s @ (np.triu(problem.redundancy) @ s)  # each pair once
    model.setObjective(program.cost @ values - pairwise, gurobipy.GRB.MAXIMIZE)
    values.setAttr("Start", linear.point(problem, *start, pairs, gamma, penalised=False))
    model.update()
    return model


def _optimise(
    problem: AssignmentProblem, monitor: Monitor, seed: int, model: Any, bounds: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """The best selection and assignment of one iteration; None if it found none."""
    import gurobipy

    n_c, n_f = problem.similarity.shape
    codes = gurobipy.GRB.Callback
    cut_short = False

    def read(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
        taken = np.array(values[: n_f + n_c * n_f]) > 0.5
        selected = np.flatnonzero(taken[:n_f])
        return selected, taken[n_f:].reshape(n_c, n_f)[:, selected]

    def watch(model: Any, where: int) -> None:
        nonlocal cut_short
        if where == codes.MIPSOL:
            selected, _ = read(model.cbGetSolution(model.getVars()))
            monitor.offer(selected, assign(problem, selected))
        if where == codes.MIP and bounds:
            _tighten(monitor, model.cbGet(codes.MIP_OBJBND))
        if monitor.out_of_time() or monitor.good_enough():
            cut_short = True
            model.terminate()

    model.Params.Seed = seed % 2_000_000_000
    model.Params.MIPGap = GAP if monitor.gap is None else monitor.gap
    model.Params.TimeLimit = max(0.0, min(ITERATION, monitor.seconds_left))
    model.optimize(watch)
    if model.Status == gurobipy.GRB.TIME_LIMIT:
        monitor.hit_time_limit = True
    if bounds:
        _tighten(monitor, model.ObjBound)
    if model.Status == gurobipy.GRB.INTERRUPTED and not cut_short:
        raise KeyboardInterrupt  # Gurobi catches the signal itself
    return read(model.X) if model.SolCount else None


def _tighten(monitor: Monitor, bound: float) -> None:
    if math.isfinite(bound) and abs(bound) < 1e99:  # Gurobi's infinity is 1e100
        monitor.tighten(bound)
