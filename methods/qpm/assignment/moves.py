"""What every exchange of a selected feature for another one is worth, all at once.

Given the selection the assignment separates by class, so with ``h`` the least similarity that a
class keeps and ``l`` the best it leaves out, taking feature e for feature d changes that class's
share by ``max(a_e - h, 0)`` where it does not hold d, and by ``min(max(a_e, l), h) - a_d`` more
where it does. Summed over classes this is one matrix product.

Tensors only, on any device; B selections are valued together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Terms:
    """The constants of a problem on one device: ``gain`` (n_c, n_f) scaled by equation 17,
    ``redundancy`` (n_f, n_f), ``bias`` (n_f,); ``k`` features per class; ``total`` assignments
    where k is only an average, else None."""

    gain: torch.Tensor
    redundancy: torch.Tensor
    bias: torch.Tensor
    k: int
    total: int | None = None


def swap_gains(terms: Terms, selected: torch.Tensor) -> torch.Tensor:
    """(B, n, n_f): change of Z when ``selected[b, i]`` (B, n) is replaced by feature e.

    Equation 4 (no two classes alike) is left aside; -inf where e is selected already. On average
    (``terms.total``) the value is that of the unchanged price of an assignment: an upper bound.

    >>> terms = Terms(torch.eye(3), torch.zeros(3, 3), torch.tensor([0.0, 0.0, 0.5]), 1)
    >>> swap_gains(terms, torch.tensor([[0, 1]]))[0, :, 2]
    tensor([0.5000, 0.5000])
    """
    shape = (*selected.shape, terms.gain.shape[1])
    redundancy = terms.redundancy[selected]  # (B, n, n_f)
    burden = redundancy.sum(1)  # (B, n_f)
    if terms.total is None:
        value, entering, leaving = _exactly(terms, selected)
    else:
        value, entering, leaving = _on_average(terms, selected)
    value = redundancy if value is None else value.add_(redundancy)
    value += (entering - burden + terms.bias)[:, None]
    value += (burden.gather(1, selected) - terms.bias[selected] - leaving)[..., None]
    return value.scatter_(2, selected[:, None].expand(*shape[:2], shape[1]), -torch.inf)


def _exactly(
    terms: Terms, selected: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    batch, n = selected.shape
    own = terms.gain[:, selected.reshape(-1)].reshape(-1, batch, n).transpose(0, 1)  # (B, n_c, n)
    kept = min(terms.k + 1, n)
    values, places = own.topk(kept, dim=2)
    high = values[..., terms.k - 1 : terms.k]
    # with n = k every feature is needed: whatever replaces one is taken as it is
    low = values[..., terms.k :] if kept > terms.k else torch.full_like(high, -torch.inf)
    holds = torch.zeros_like(own).scatter_(2, places[..., : terms.k], 1.0)
    entering = (terms.gain - high).clamp_(min=0).sum(1)
    replaced = torch.bmm(
        holds.transpose(1, 2), torch.minimum(torch.maximum(terms.gain[None], low), high)
    )
    return replaced, entering, (holds * own).sum(1)


def _on_average(
    terms: Terms, selected: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    assert terms.total is not None
    own = terms.gain.T[selected].flatten(1)  # (B, n n_c)
    price = own.topk(terms.total, dim=1).values[:, -1]
    worth = (terms.gain - price[:, None, None]).clamp_(min=0).sum(1)  # (B, n_f)
    return None, worth, worth.gather(1, selected)
