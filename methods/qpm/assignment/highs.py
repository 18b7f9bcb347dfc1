"""``solver="highs"``: branch and bound on the linearised problem, by the free solver HiGHS.

"No two classes alike" (equation 4) is left out at first and demanded of those pairs of classes
that come out alike, as section 4.1.1 of the QPM paper does, counting coincidences among a growing
set of features. Every program solved on the way is a relaxation of the problem, so its bound is
one; a solution of the last in which no two classes are alike is an optimum. Whatever features a
relaxed solution selects get their best assignment with equation 4 in force, so that good solutions
come long before the end.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import highspy
import numpy as np

from benchmark.contracts import Progress
from methods.qpm.assignment import program as linear
from methods.qpm.assignment.distinct import assign
from methods.qpm.assignment.monitor import Monitor
from methods.qpm.assignment.problem import AssignmentProblem

POLL = 0.1  # seconds between looks at the clock while HiGHS works
GRACE = 2.0  # seconds that it has to stop; within a large linear program it does not listen


def prove(problem: AssignmentProblem, monitor: Monitor, seed: int, progress: Progress) -> None:
    """Improve and bound the solution that ``monitor`` has, to the wanted gap or the optimum.

    Bounds are valid to HiGHS's tolerances (1e-9 on a constraint, 1e-6 on a whole number).
    """
    assert monitor.selected is not None
    among = set(monitor.selected.tolist())
    pairs = linear.alike(_most_similar(problem, monitor.selected))
    with progress.bar("HiGHS") as advance:
        while not (monitor.good_enough() or monitor.out_of_time()):
            advance(note=f"{len(pairs)} pairs kept apart")
            found = _solve(problem, sorted(pairs), np.array(sorted(among)), monitor, seed, progress)
            if found is None:
                break
            selected, assignment = set(found[0].tolist()), found[1]
            new = linear.alike(assignment)
            if not new or (new <= pairs and selected <= among):  # the latter: rounding, if ever
                break
            among |= selected
            pairs |= new


def _solve(
    problem: AssignmentProblem,
    pairs: list[tuple[int, int]],
    among: np.ndarray,
    monitor: Monitor,
    seed: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray] | None:
    """One relaxation to its optimum: its selection and assignment; None if it was cut short."""
    program = linear.Program()
    # With a selection and equation 3 alone, the best x is whole by itself.
    binary = np.full(problem.n_classes, not problem.exact_per_class)
    binary[[c for pair in pairs for c in pair]] = True
    columns = linear.selection(program, problem, binary)
    linear.counts(program, problem, columns)
    linear.penalties(program, problem, columns)
    linear.difference(program, problem, columns, pairs, among)

    solver = _load(program, monitor, seed)
    assert monitor.selected is not None
    assert monitor.assignment is not None
    start = highspy.HighsSolution()
    start.col_value = linear.point(problem, monitor.selected, monitor.assignment, pairs, among)
    solver.setSolution(start)

    with _running(solver) as (thread, events):
        for values, bound in events:
            if values is not None:
                _offer(problem, monitor, *_read(problem, columns, binary, values))
            _tighten(monitor, bound)
            if monitor.good_enough() or monitor.out_of_time():
                break
    if thread.is_alive():
        return None
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kTimeLimit:
        monitor.hit_time_limit = True
    elif status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInterrupt):
        progress.say(f"HiGHS stopped early: {solver.modelStatusToString(status).lower()}")
    if status != highspy.HighsModelStatus.kOptimal:
        return None
    _tighten(monitor, solver.getInfo().mip_dual_bound)
    found = _read(problem, columns, binary, np.array(solver.getSolution().col_value))
    _offer(problem, monitor, *found)
    return found


def _load(program: linear.Program, monitor: Monitor, seed: int) -> highspy.Highs:
    matrix = program.matrix
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.col_cost_ = program.cost
    lp.col_lower_, lp.col_upper_ = np.zeros(program.n_columns), np.ones(program.n_columns)
    lp.row_lower_, lp.row_upper_ = program.lower, program.upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
    lp.a_matrix_.value_ = matrix.data
    whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    lp.integrality_ = [whole if integer else real for integer in program.integer]
    solver = highspy.Highs()
    options = {
        "log_to_console": False,  # output_flag stays on: without it no bound is reported
        "random_seed": seed % 2**31,
        "mip_rel_gap": monitor.gap or 0.0,
        "mip_abs_gap": 0.0,
        "primal_feasibility_tolerance": 1e-9,
        "dual_feasibility_tolerance": 1e-9,
    }
    if math.isfinite(monitor.seconds_left):
        options["time_limit"] = max(0.0, monitor.seconds_left)
    for name, value in options.items():
        solver.setOptionValue(name, value)
    solver.passModel(lp)
    return solver


Event = tuple[np.ndarray | None, float]


@contextmanager
def _running(solver: highspy.Highs) -> Iterator[tuple[threading.Thread, Iterator[Event]]]:
    """Run HiGHS in a thread of its own; that, and what it reports: (values or None, bound).

    Leaving the block stops it, at the latest when its current linear program is done: that is not
    waited for. So the main thread stays free for Ctrl-C and for the clock.
    """
    reports: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = threading.Event()

    def report(kind: object, _message: str, out: object, into: object, _data: object) -> None:
        if kind == kinds.kCallbackMipImprovingSolution:
            reports.put((np.array(out.mip_solution), out.mip_dual_bound))  # type: ignore[attr-defined]
        elif kind == kinds.kCallbackMipLogging:
            reports.put((None, out.mip_dual_bound))  # type: ignore[attr-defined]
        elif stop.is_set():
            into.user_interrupt = True  # type: ignore[attr-defined]

    kinds = highspy.cb.HighsCallbackType
    solver.setCallback(report, None)
    for kind in (
        kinds.kCallbackMipImprovingSolution,
        kinds.kCallbackMipLogging,
        kinds.kCallbackMipInterrupt,
        kinds.kCallbackSimplexInterrupt,
    ):
        solver.startCallback(kind)
    thread = threading.Thread(target=solver.run, daemon=True)

    def events() -> Iterator[Event]:
        while thread.is_alive() or not reports.empty():
            try:
                yield reports.get(timeout=POLL)
            except queue.Empty:
                yield None, math.inf

    thread.start()
    try:
        yield thread, events()
    finally:
        stop.set()
        thread.join(GRACE)


def _read(
    problem: AssignmentProblem, columns: linear.Columns, binary: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Selection (n*,) and assignment (n_c, n*) of a solution of a relaxation."""
    selected = np.flatnonzero(values[columns.s] > 0.5)
    assignment = values[columns.x[:, selected]] > 0.5
    if not binary.all():  # ties may have left the others in fractions
        assignment = np.where(binary[:, None], assignment, _most_similar(problem, selected))
    return selected, assignment


def _most_similar(problem: AssignmentProblem, selected: np.ndarray) -> np.ndarray:
    """Every class its n_per_class most similar features of the selected ones, alike or not."""
    gain = problem.gain[:, selected]
    best = np.argsort(-gain, axis=1, kind="stable")[:, : problem.n_per_class]
    assignment = np.zeros(gain.shape, dtype=bool)
    np.put_along_axis(assignment, best, True, axis=1)
    return assignment


def _offer(
    problem: AssignmentProblem, monitor: Monitor, selected: np.ndarray, assignment: np.ndarray
) -> None:
    if not linear.alike(assignment):
        monitor.offer(selected, assignment)
    elif problem.exact_per_class:
        monitor.offer(selected, assign(problem, selected))


def _tighten(monitor: Monitor, bound: float) -> None:
    if math.isfinite(bound):
        monitor.tighten(bound)
