"""Composition and random numbers in torch, on the device where a model's inputs live.

Of a batch only indices go to the device: the explained row, the coalition and the replacement row
of each input. Players, the table of coalitions and the rows themselves are there already.
The random numbers are `xai.streams`' own, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai import streams

if TYPE_CHECKING:
    from torch import Tensor

Indices = NDArray[np.intp]


# ------------------------------------------------------------------------------- composition


@dataclass(frozen=True, eq=False)
class Owners:
    """The player of each element, on a device.

    Attributes
    ----------
    places : (n or 1, e) int, or None
        One more than the player of each place; 0 where x's own value always stays. None: element
        i is player i.
    shape : of one row of places; its axes are as long as x's, or 1
    """

    places: Tensor | None
    shape: tuple[int, ...]

    @classmethod
    def of(cls, owner: NDArray[np.intp], device: Any, *, identity: bool) -> Owners:
        """Copy owners (n or 1, *shape) to a device, in four bytes each."""
        import torch

        shape = owner.shape[1:]
        if identity:
            return cls(None, shape)
        flat = (owner.reshape(len(owner), -1) + 1).astype(np.int32)
        return cls(torch.as_tensor(flat, device=device), shape)

    def table(self, coalitions: Any, device: Any, dtype: Any = None) -> Tensor:
        """Coalitions (c, d) on a device, behind a first player that is always kept.

        One column for all players stays one, where no element is kept always.
        """
        import torch

        table = torch.as_tensor(coalitions, device=device, dtype=dtype)
        if self.places is None or (table.shape[1] == 1 and self.all_owned):
            return table
        return torch.cat([table.new_ones(len(table), 1), table], dim=1)

    @cached_property
    def all_owned(self) -> bool:
        """Whether every element has a player."""
        return self.places is None or bool((self.places > 0).all())

    def masks(self, table: Tensor, rows: Tensor, which: Tensor) -> Tensor:
        """Element masks (B, *shape), True where kept, of rows (B,) and places in the table."""
        kept = table.index_select(0, which)
        if kept.shape[1] == 1 and self.all_owned:
            return kept.reshape(len(kept), *[1] * len(self.shape))
        if self.places is not None:
            own = self.places if len(self.places) == 1 else self.places.index_select(0, rows)
            kept = kept.gather(1, own.long().expand(len(kept), -1))
        return kept.reshape(len(kept), *self.shape)

    def sums(self, values: Tensor, rows: Tensor, d: int) -> Tensor:
        """Sums (B, d) of the elements' values (B, *x's shape) over each player of rows (B,)."""
        together = [a for a, size in enumerate(self.shape, start=1) if size == 1]
        values = (values.sum(together) if together else values).reshape(len(values), -1)
        if self.places is None:
            return values
        own = self.places if len(self.places) == 1 else self.places.index_select(0, rows)
        out = values.new_zeros(len(values), d + 1)
        return out.scatter_add_(1, own.long().expand(len(values), -1), values)[:, 1:]


def indices(device: Any, parts: Sequence[Indices]) -> Sequence[Tensor]:
    """Arrays of one length on a device, in one copy that the device's queue does not wait for."""
    import torch

    packed = torch.from_numpy(np.stack(parts))
    if device.type == "cuda":
        packed = packed.pin_memory()
    return packed.to(device, non_blocking=True).unbind()


def masks(owners: Owners, table: Tensor, rows: Indices, which: Indices) -> Tensor:
    """Element masks (B, *shape) of rows and coalitions that the host knows by index."""
    return owners.masks(table, *indices(table.device, [rows, which]))


def compose(
    x: Tensor,
    replacement: Tensor,
    owners: Owners,
    table: Tensor,
    rows: Indices,
    which: Indices,
    places: Indices,
) -> Tensor:
    """Model inputs (B, *shape): x where kept, replacement rows elsewhere; between, of soft masks.

    Parameters
    ----------
    x : (n, *shape), replacement : (m, *shape), on one device; table : as `Owners.table` makes it
    rows, which, places : (B,) int
        Explained row, coalition and replacement row of each input.
    """
    import torch

    own, coalition, other = indices(x.device, [rows, which, places])
    kept = owners.masks(table, own, coalition)
    ours, others = _take(x, rows, own), _take(replacement, places, other)
    if kept.dtype == torch.bool:
        return torch.where(kept, ours, others)
    dtype = torch.promote_types(torch.promote_types(ours.dtype, others.dtype), kept.dtype)
    return others.to(dtype).lerp(ours.to(dtype), kept.to(dtype))


def difference(x: Tensor, replacement: Tensor, rows: Indices, places: Indices) -> Tensor:
    """What each input loses where everything is removed: x less its replacement, (B, *shape)."""
    own, other = indices(x.device, [rows, places])
    return _take(x, rows, own) - _take(replacement, places, other)


def _take(block: Tensor, on_host: Indices, on_device: Tensor) -> Tensor:
    """Rows by index; one alone stays one, for every input to share."""
    first = int(on_host[0])
    same = (on_host == first).all()
    return block.narrow(0, first, 1) if same else block.index_select(0, on_device)


# -------------------------------------------------------------------------------- random numbers


def bits(seed: int, stream: int, samples: Tensor, width: int) -> Tensor:
    """`streams.bits` on the samples' device: the same 64 bits, in signed integers."""
    import torch

    key, golden = _signed(streams.key(seed, stream)[0]), _signed(streams.GOLDEN)
    row = _mix(key + (samples.long() + 1) * golden)
    column = torch.arange(1, width + 1, device=samples.device) * golden
    return _mix(row.unsqueeze(1) + column)


def uniforms(seed: int, stream: int, samples: Tensor, width: int) -> Tensor:
    """`streams.uniforms` on the samples' device."""
    return _shift(bits(seed, stream, samples, width), 11).double() * 2.0**-53


def normals(seed: int, stream: int, samples: Tensor, width: int) -> Tensor:
    """`streams.normals` on the samples' device, up to the rounding of its functions."""
    import torch

    both = bits(seed, stream, samples, -(-width // 2))
    u = (_shift(both, 32).float() + 0.5) * 2.0**-32
    angle = (both & (2**32 - 1)).float() * (2 * np.pi * 2.0**-32)
    radius = (-2 * u.log()).sqrt()
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :width]


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser; products of signed integers wrap as those of unsigned ones do."""
    z = (z ^ _shift(z, 30)) * _signed(streams.MIX_1)
    z = (z ^ _shift(z, 27)) * _signed(streams.MIX_2)
    return z ^ _shift(z, 31)


def _shift(z: Tensor, by: int) -> Tensor:
    """Shift right, filling up with zeros rather than copies of the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(word: int | np.uint64) -> int:
    """The signed integer of the same 64 bits."""
    return (int(word) ^ (1 << 63)) - (1 << 63)
