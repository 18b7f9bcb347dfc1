"""Many walkers, each from its own start: steepest exchanges with a tabu list.

A walker always takes the best exchange, uphill or not, and may not undo it for a few moves
(tabu search, Glover 1989); the best selection it meets is kept. Between full passes it values
only the features that looked best in the last one (a candidate list). Budgets are numbers of
moves, so the result does not depend on the machine's speed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import torch

from methods.qpm.assignment.moves import Terms, pool_of, swap_gains

# For how many moves a feature that left stays out, and one that entered stays in. Short tenures
# were clearly better on instances shaped like CUB.
STAYS_OUT = (1, 3)
STAYS_IN = (2, 5)
REFRESH = 10  # moves between full passes
CANDIDATES = 300  # features valued in between
SMALL = 2**16  # entries of A up to which walkers run as one batch on a CPU


def walk(
    terms: Terms, starts: np.ndarray, tenures: np.ndarray, stop: Callable[[], bool]
) -> np.ndarray:
    """The best selection (B, n) that each walker met, in single precision.

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
    few = n_f - n > 2 * CANDIDATES
    pool = None
    for move in range(len(tenures)):
        if stop():
            break
        if move % REFRESH == 0:
            pool = None
        gains = swap_gains(terms, selected, pool)
        tabu = free_from > move
        blocked = (tabu if pool is None else tabu.gather(1, pool.columns))[:, None]
        blocked = blocked | tabu.gather(1, selected)[..., None]
        top, at = gains.flatten(1).max(1)
        free, free_at = gains.masked_fill(blocked, -torch.inf).flatten(1).max(1)
        # what is tabu is allowed where it leads beyond everything seen
        take = (change + top > best_change * (1 + 1e-5)) | torch.isinf(free)
        change = change + torch.where(take, top, free)
        at = torch.where(take, at, free_at)
        place, entering = at // gains.shape[2], at % gains.shape[2]
        if pool is not None:
            entering = pool.columns[row, entering]
        elif few:
            pool = pool_of(terms, gains.max(1).values.topk(CANDIDATES, dim=1).indices)
        leaving = selected[row, place]
        selected[row, place] = entering
        free_from[row, leaving] = move + 1 + waits[move, :, 0]
        free_from[row, entering] = move + 1 + waits[move, :, 1]
        better = change > best_change
        best_change = torch.where(better, change, best_change)
        best = torch.where(better[:, None], selected, best)
    return best.cpu().numpy()


def walk_all(
    terms: Terms,
    starts: np.ndarray,
    moves: int,
    generator: np.random.Generator,
    stop: Callable[[], bool],
    workers: int,
) -> np.ndarray:
    """:func:`walk` for every start.

    On a CPU the walkers of a big problem have a thread each (their data fit its cache); those of
    a small one, and all on other devices, are one batch. The number of threads does not change
    the result.
    """
    walkers, n = starts.shape
    # shorter where few features could move instead
    tenures = np.stack(
        [
            generator.integers(min(low, others), min(high, others) + 1, size=(moves, walkers))
            for (low, high), others in (
                (STAYS_OUT, (terms.gain.shape[1] - n) // 2),
                (STAYS_IN, n // 2),
            )
        ],
        axis=-1,
    )
    if terms.gain.device.type != "cpu" or terms.gain.numel() <= SMALL:
        with torch.inference_mode():
            return walk(terms, starts, tenures, stop)

    leaving = Event()  # Ctrl-C reaches this thread only: the walkers' have to be told

    def one(b: int) -> np.ndarray:
        with torch.inference_mode():
            waits = tenures[:, b : b + 1]
            return walk(terms, starts[b : b + 1], waits, lambda: leaving.is_set() or stop())[0]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # walkers run side by side; one thread each is faster and repeatable
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                return np.stack(list(pool.map(one, range(walkers))))
            finally:
                leaving.set()
    finally:
        torch.set_num_threads(threads)


def fill(terms: Terms, fixed: np.ndarray, n: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Greedily extend the features ``fixed`` to ``n``, each time by the one that adds most.

    ``allowed`` (n_f,) bool restricts the choice; it must leave enough features.
    """
    gain = terms.gain
    k = terms.k
    kept = torch.zeros(len(gain), k, dtype=gain.dtype, device=gain.device)
    chosen = torch.zeros(gain.shape[1], dtype=torch.bool, device=gain.device)
    barred = chosen.clone() if allowed is None else ~torch.as_tensor(allowed, device=gain.device)
    burden = torch.zeros_like(terms.bias)

    def take(d: int) -> None:
        nonlocal kept
        chosen[d] = True
        burden.add_(terms.redundancy[d])
        kept = torch.cat([kept, gain[:, d, None]], dim=1).topk(k, dim=1).values

    for d in fixed.tolist():
        take(d)
    for _ in range(n - len(fixed)):
        least = kept[:, -1:]
        worth = torch.maximum(gain, least).sum(0) - least.sum() + terms.bias - burden
        take(int(worth.masked_fill_(chosen | barred, -torch.inf).argmax()))
    return chosen.nonzero()[:, 0].cpu().numpy()
