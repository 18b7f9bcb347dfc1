"""Tables in bounded pieces, in double precision: sums over many samples stay exact."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

ELEMENTS = 2**22  # 32 MiB a block in double precision


def column_slices(table: Tensor, elements: int = ELEMENTS) -> list[slice]:
    """Consecutive slices of the columns of ``table`` (n, m), each with at most ``elements`` numbers
    but at least one column.

    Raises:
        ValueError: the table is no matrix.

    >>> import torch
    >>> column_slices(torch.zeros(4, 5), elements=8)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if table.ndim != 2:
        raise ValueError(f"a table (n, m) is needed, this one has shape {tuple(table.shape)}")
    rows, columns = table.shape
    width = max(1, elements // max(1, rows))
    return [slice(start, min(start + width, columns)) for start in range(0, columns, width)]


def column_block(table: Tensor, part: slice) -> Tensor:
    """The columns ``part`` of ``table`` (n, m), in float64.

    Raises:
        ValueError: they hold NaN or infinite values (which a mean that leaves out undefined
            values would hide).

    >>> import torch
    >>> column_block(torch.tensor([[1.0, 2.0, 3.0]]), slice(1, 3))
    tensor([[2., 3.]], dtype=torch.float64)
    """
    block = table[:, part].detach().double()
    if not bool(block.isfinite().all()):
        raise ValueError("the table holds NaN or infinite values; has the classifier diverged?")
    return block


def column_blocks(table: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """All columns of ``table``, one :func:`column_block` after the other, with their slices.

    >>> import torch
    >>> [(part, block.shape) for part, block in column_blocks(torch.zeros(4, 5))]
    [(slice(0, 5, None), torch.Size([4, 5]))]
    """
    return ((part, column_block(table, part)) for part in column_slices(table))
