"""Concepts as players: each scales its coefficient at every place of a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.inputs import Inputs
from xai.layers import numbers_of
from xai.partition import Partition, Players

if TYPE_CHECKING:
    from torch import Tensor

    from xai.concepts.bank import ConceptBank
    from xai.layers import Cut


@dataclass(frozen=True)
class Concepts(Players):
    """The concepts of a bank, inside the network that it was fitted on.

    A mask m makes the layer's activations ``a(m) = (u ⊙ m) W + E``: concept i's coefficient is
    scaled by m_i, at all places alike. ``E = a − uW`` is what the concepts leave over, and stays:
    so all of them together give the network's own output.

    Parameters
    ----------
    bank : ConceptBank

    Raises
    ------
    ValueError
        A class in place of a bank that was fitted.

    Notes
    -----
    CRAFT (Fel et al. 2023, §3.2), which drops E and so explains the output of ``uW`` instead.
    ``info["reconstruction_error"]`` is ‖E‖/‖a‖, ``info["without_remainder"]`` the value at uW;
    `Explanation.activations` are the coefficients at each place, and `Explanation.map` their sum
    weighed by the values.

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> xai.explain(net, x[:3], "sobol", removal="baseline", players=Concepts(bank)).values.shape
    (3, 2)
    """

    bank: ConceptBank | None = None

    @property
    def layer(self) -> Any:
        """The bank's layer."""
        return self._bank.layer

    @property
    def _bank(self) -> ConceptBank:
        if self.bank is None:
            raise ValueError(
                "concepts must be found first: bank = xai.concepts.fit(model, images, layer=…), "
                "then players=xai.players.Concepts(bank)"
            )
        return self.bank

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each concept; `inputs` are coefficients."""
        assert channel_axis is not None
        d = inputs.shape[channel_axis - 1]
        shape = tuple(d if a == channel_axis else 1 for a in range(1, len(inputs.shape) + 1))
        owner = np.arange(d).reshape(1, *shape)
        return Partition(owner, np.full(inputs.n, d), self._bank.names, (d,), repr(self))

    def within(self, pieces: Cut, batch_size: int | None) -> Cut:
        """The rest of the network as a function of coefficients, the rows' own remainder added."""
        import torch

        from xai.layers import feature_maps

        bank, axis, a = self._bank, pieces.axis, pieces.inputs.block
        W = bank.basis_like(a)
        u = bank.coefficients_of(a, axis)
        E = a - _times(u, W, axis, like=a)
        with torch.no_grad():
            size = batch_size or 32
            bare = [
                pieces.model(a[rows] - E[rows], rows)
                for rows in np.array_split(np.arange(len(a)), -(-len(a) // size))
            ]

        def rebuilt(block: Tensor, rows: Any) -> Tensor:
            out = _times(block, W, axis, like=E)  # one product for all rows, then in place
            ends = [0, *(np.flatnonzero(np.diff(rows)) + 1), len(rows)]
            for start, stop in pairwise(ends):  # one row's remainder serves its whole run
                out[start:stop] += E[rows[start]]
            return out

        rest = pieces.model
        call, forward = rest.call, rest.forward
        assert forward is not None

        def encode(rows: Any, what: str) -> Any:
            if hasattr(rows, "shape") and tuple(rows.shape[1:]) == tuple(u.shape[1:]):
                return torch.as_tensor(rows).to(u.device, u.dtype)
            return bank.coefficients_of(pieces.inputs.encode(rows, what), axis)

        left = E.flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1).clamp_min(1e-30)
        return replace(
            pieces,
            model=replace(
                rest,
                call=lambda block, rows: call(rebuilt(block, rows), rows),
                forward=lambda block, rows: forward(rebuilt(block, rows), rows),
                alike=False,
                width=a[0].numel(),
            ),
            inputs=Inputs(u, lambda block: block, encode),
            activations=feature_maps(u, axis, bank.input_shape),
            paid=pieces.paid + 1,
            info={"reconstruction_error": numbers_of(left)},
            approximated=np.concatenate(bare),
        )


def _times(u: Tensor, W: Tensor, axis: int, like: Tensor) -> Tensor:
    """Activations u W of coefficients whose concepts lie along an axis, in memory as others are."""
    import torch

    if axis == 1 and u.ndim == 4 and like.is_contiguous():
        return torch.matmul(W.T, u.flatten(2)).reshape(len(u), -1, *u.shape[2:])
    return torch.movedim(torch.movedim(u, axis, -1) @ W, -1, axis)
