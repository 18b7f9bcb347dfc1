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


@dataclass(frozen=True)
class Pool:
    """The features that may enter: ``columns`` (B, m), their ``gain`` (B, n_c, m)."""

    columns: torch.Tensor
    gain: torch.Tensor


def pool_of(terms: Terms, columns: torch.Tensor) -> Pool:
    """Gather once what :func:`swap_gains` needs of the features ``columns`` (B, m)."""
    return Pool(columns, terms.gain.T[columns].transpose(1, 2).contiguous())


def swap_gains(terms: Terms, selected: torch.Tensor, pool: Pool | None = None) -> torch.Tensor:
    """(B, n, m): change of Z when ``selected[b, i]`` (B, n) is replaced by ``pool.columns[b, j]``.

    By default the pool is all n_f features in order. Equation 4 (no two classes alike) is left
    aside; -inf where the new feature is selected already. On average (``terms.total``) the price
    of an assignment is held fixed, which gives an upper bound.

    >>> terms = Terms(torch.eye(3), torch.zeros(3, 3), torch.tensor([0.0, 0.0, 0.5]), 1)
    >>> swap_gains(terms, torch.tensor([[0, 1]]))[0, :, 2]
    tensor([0.5000, 0.5000])
    """
    selected_pairs = terms.redundancy[selected[:, :, None], selected[:, None, :]]  # (B, n, n)
    kept = selected_pairs.sum(1) - terms.bias[selected]
    if pool is None:
        gain, bias, among = terms.gain[None], terms.bias, terms.redundancy[selected]
    else:
        gain, bias = pool.gain, terms.bias[pool.columns]
        among = terms.redundancy[selected[:, :, None], pool.columns[:, None, :]]  # (B, n, m)
    burden = among.sum(1)  # what a feature's pairs with the selected ones would cost
    shares = _exact_shares if terms.total is None else _average_shares
    replaced, entering, leaving = shares(terms, selected, gain)
    value = among if replaced is None else replaced.add_(among)
    value += (entering - burden + bias)[:, None]
    value += (kept - leaving)[..., None]
    if pool is None:
        return value.scatter_(2, selected[:, None].expand(-1, selected.shape[1], -1), -torch.inf)
    barred = torch.zeros_like(terms.bias, dtype=torch.bool).repeat(len(selected), 1)
    barred.scatter_(1, selected, True)
    return value.masked_fill_(barred.gather(1, pool.columns)[:, None], -torch.inf)


def _exact_shares(
    terms: Terms, selected: torch.Tensor, gain: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    batch, n = selected.shape
    own = terms.gain[:, selected.reshape(-1)].reshape(-1, batch, n).transpose(0, 1)  # (B, n_c, n)
    values, places = own.topk(min(terms.k + 1, n), dim=2)
    high = values[..., terms.k - 1 : terms.k]
    # with n = k every feature is needed: whatever replaces one is taken as it is
    low = values[..., terms.k :] if n > terms.k else torch.full_like(high, -torch.inf)
    holds = torch.zeros_like(own).scatter_(2, places[..., : terms.k], 1.0)
    entering = torch.maximum(gain, high).sum(1) - high.sum(1)
    replaced = torch.bmm(holds.transpose(1, 2), torch.minimum(torch.maximum(gain, low), high))
    return replaced, entering, (holds * own).sum(1)


def _average_shares(
    terms: Terms, selected: torch.Tensor, gain: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    assert terms.total is not None
    own = terms.gain.T[selected].transpose(1, 2)  # (B, n_c, n)
    price = own.flatten(1).topk(terms.total, dim=1).values[:, -1, None, None]
    entering = (gain - price).clamp_(min=0).sum(1)
    return None, entering, (own - price).clamp_(min=0).sum(1)
