"""Many walkers, each from its own start: steepest exchanges with a tabu list.

A walker always takes the best exchange, uphill or not, and may not undo it for a few moves
(tabu search, Glover 1989); what it meets on the way up is kept. Between rounds new starts are bred
from pairs of good selections: what both share stays, the rest is filled from either. Budgets are
numbers of moves, so the result does not depend on the machine's speed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from methods.qpm.assignment.moves import Terms, swap_gains

TENURE = (4, 12)  # for how many moves an exchanged feature stays put, if there are enough others


def walk(
    terms: Terms, starts: np.ndarray, tenures: np.ndarray, stop: Callable[[], bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Best selection (B, n) each walker met, and by how much it beats its start (B,).

    ``starts`` (B, n) int64; ``tenures`` (moves, B, 2): how long the leaving and the entering
    feature of a move stay put. ``stop()`` is asked before every move.
    """
    device = terms.gain.device
    selected = torch.as_tensor(starts, device=device).clone()
    batch, n = selected.shape
    n_f = terms.gain.shape[1]
    waits = torch.as_tensor(tenures, device=device)
    free_from = torch.zeros(batch, n_f, dtype=torch.int64, device=device)
    row = torch.arange(batch, device=device)
    change = torch.zeros(batch, dtype=terms.gain.dtype, device=device)
    best, best_change = selected.clone(), change.clone()
    for move in range(len(tenures)):
        if stop():
            break
        gains = swap_gains(terms, selected)
        flat = gains.flatten(1)
        top, at = flat.max(1)
        tabu = free_from > move
        gains.masked_fill_(tabu[:, None], -torch.inf)
        gains.masked_fill_(tabu.gather(1, selected)[..., None], -torch.inf)
        free, free_at = flat.max(1)
        # a tabu move is allowed where it leads beyond everything seen
        wish = change + top > best_change * (1 + 1e-5)
        take = wish | torch.isinf(free)
        at = torch.where(take, at, free_at)
        change = change + torch.where(take, top, free)
        place, entering = at // n_f, at % n_f
        leaving = selected[row, place]
        selected[row, place] = entering
        free_from[row, leaving] = move + 1 + waits[move, :, 0]
        free_from[row, entering] = move + 1 + waits[move, :, 1]
        better = change > best_change
        best_change = torch.where(better, change, best_change)
        best = torch.where(better[:, None], selected, best)
    return best.cpu().numpy(), best_change.cpu().numpy()


def walk_all(
    terms: Terms,
    starts: np.ndarray,
    moves: int,
    generator: np.random.Generator,
    stop: Callable[[], bool],
    workers: int,
) -> np.ndarray:
    """:func:`walk` for every start; on a CPU each walker has a thread, elsewhere all are one batch.

    The numbers of threads and walkers at a time do not change the result.
    """
    tenures = _tenures(generator, moves, *starts.shape, terms.gain.shape[1])
    if terms.gain.device.type != "cpu":
        return walk(terms, starts, tenures, stop)[0]

    def one(b: int) -> np.ndarray:
        with torch.inference_mode():
            return walk(terms, starts[b : b + 1], tenures[:, b : b + 1], stop)[0][0]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # walkers run side by side; one thread each is faster and repeatable
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            return np.stack(list(pool.map(one, range(len(starts)))))
    finally:
        torch.set_num_threads(threads)


def _tenures(
    generator: np.random.Generator, moves: int, walkers: int, n: int, n_f: int
) -> np.ndarray:
    """(moves, walkers, 2) of :data:`TENURE`, shorter where few features could move instead."""
    columns = []
    for others in (n_f - n, n):  # a feature that left may not return; one that entered may not go
        high = max(1, min(TENURE[1], others // 2))
        low = min(TENURE[0], high)
        columns.append(generator.integers(low, high + 1, size=(moves, walkers)))
    return np.stack(columns, axis=-1)


def fill(
    gain: np.ndarray,
    redundancy: np.ndarray,
    bias: np.ndarray,
    k: int,
    n: int,
    fixed: np.ndarray,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Greedily extend the features ``fixed`` to ``n``, each time by the one that adds most.

    ``allowed`` restricts the choice; it must leave enough features.
    """
    n_c, n_f = gain.shape
    kept = np.zeros((k, n_c))
    chosen = np.zeros(n_f, dtype=bool)
    burden = np.zeros(n_f)
    barred = np.zeros(n_f, dtype=bool) if allowed is None else ~allowed

    def take(d: int) -> None:
        chosen[d] = True
        burden[:] += redundancy[d]
        kept[0] = np.maximum(kept[0], gain[:, d])
        kept.sort(axis=0)

    for d in fixed.tolist():
        take(d)
    for _ in range(n - len(fixed)):
        worth = np.maximum(gain - kept[0][:, None], 0).sum(0) + bias - burden
        worth[chosen | barred] = -np.inf
        take(int(worth.argmax()))
    return np.flatnonzero(chosen)
