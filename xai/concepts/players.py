"""Concepts as players: each scales its coefficient at every place of a layer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.batches import REST_BATCH_BYTES
from xai.inputs import Inputs, as_tensor, no_codes, on_host
from xai.layers import runs_of
from xai.partition import Partition, Players
from xai.regions import Channels

if TYPE_CHECKING:
    from torch import Tensor

    from xai.concepts.bank import ConceptBank
    from xai.layers import Cut
    from xai.model import Model

Floats: TypeAlias = NDArray[np.floating]
Indices: TypeAlias = NDArray[np.intp]


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
    TypeError
        What is given is no bank.
    ValueError
        None is given.

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
        from xai.concepts.bank import as_bank

        return as_bank(self.bank)

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each concept; `inputs` are coefficients."""
        channels = Channels(self.layer).encode(inputs, channel_axis)
        return replace(channels, names=self._bank.names, description=repr(self))

    def within(self, pieces: Cut, batch_size: int | None) -> Cut:
        """The rest of the network as a function of coefficients, the rows' own remainder added."""
        from xai.layers import feature_maps, is_made

        bank, axis, a = self._bank, pieces.axis, pieces.inputs.block
        u = bank.coefficients_of(a, axis)
        W, rest = bank.basis_like(a), pieces.model
        made = _Made(u, W, a - _times(u, W, axis, like=a), axis)
        bare, spans, affine = made.without_remainder(rest, a, batch_size or 32)
        call, forward = rest.call, rest.forward
        assert forward is not None

        def encode(rows: Any, what: str) -> Any:
            if is_made(rows, u, pieces.shape):
                return as_tensor(rows).to(u.device, u.dtype)
            return bank.coefficients_of(pieces.inputs.encode(rows, what), axis)

        most = max(1, REST_BATCH_BYTES // (a[0].numel() * a.element_size()))

        def run(block: Tensor, rows: Indices) -> Any:
            """Outputs by parts; of other rows in calls as large as memory allows."""
            import torch

            if spans and (parts := made.spanned(block, rows)) is not None:
                return call(parts, rows)
            cuts = [slice(s, s + most) for s in range(0, len(rows), most)]
            outs = [call(made(block[cut], rows[cut]), rows[cut]) for cut in cuts]
            return torch.cat(outs) if len(outs) > 1 else outs[0]

        left = made.E.flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1).clamp_min(1e-30)
        return replace(
            pieces,
            model=replace(
                rest,
                call=run,
                forward=lambda block, rows: forward(made(block, rows), rows),
                alike=False,
                width=a[0].numel(),
                compact=affine,
            ),
            inputs=Inputs(u, lambda block: block, encode, categorical=no_codes(u)),
            activations=feature_maps(u, axis, pieces.sides),
            paid=pieces.paid + 1,
            info={"reconstruction_error": on_host(left)},
            approximated=bare,
        )


@dataclass(frozen=True, eq=False)
class _Made:
    """Activations of the layer, made of coefficients of some rows: u W + E.

    Attributes
    ----------
    u : coefficients of each row, with concepts along `axis`
    W : (r, C)
    E : each row's remainder, in the layer's own memory format
    """

    u: Tensor
    W: Tensor
    E: Tensor
    axis: int

    def __call__(self, block: Tensor, rows: Indices) -> Tensor:
        """Activations of a block of coefficients."""
        out = _times(block, self.W, self.axis, like=self.E)  # one product, then in place
        for start, stop in runs_of(rows):  # one row's remainder serves its whole run
            out[start:stop] += self.E[rows[start]]
        return out

    def spanned(self, block: Tensor, rows: Indices) -> Tensor | None:
        """The same by parts: what is affine runs on these alone. None where they are not fewer."""
        from xai.concepts.spanned import Spanned

        images, which = np.unique(rows, return_inverse=True)
        few = 2 * len(images) * (len(self.W) + 1) < len(rows)
        m = self.masks(block, rows) if few else None
        return None if m is None else Spanned(self.parts(images), m, which)

    def masks(self, block: Tensor, rows: Indices) -> Tensor | None:
        """By what number each row's own coefficients were scaled, (B, r); None where by several."""
        import torch

        at = torch.as_tensor(rows, device=block.device)
        own, given = (
            torch.movedim(b, self.axis, 1).reshape(len(rows), len(self.W), -1)
            for b in (self.u[at], block)
        )
        most = own.abs().argmax(-1, keepdim=True)
        top = own.gather(-1, most)
        m = torch.where(top != 0, given.gather(-1, most) / top, 0)
        off = (given - m * own).abs() > 4 * torch.finfo(top.dtype).eps * top.abs()
        return None if off.any() else m[..., 0]

    def parts(self, images: Indices) -> Tensor:
        """What activations are sums of: for each image the concepts' shares and E; a row of 0."""
        import torch

        at = torch.as_tensor(images, device=self.u.device)
        u, E = torch.movedim(self.u[at], self.axis, 1), self.E[at].unsqueeze(1)
        shares = u.unsqueeze(-1) * self.W.reshape(len(self.W), *[1] * (u.ndim - 2), -1)
        shares = torch.movedim(shares, -1, self.axis + 1)
        sets = torch.cat([shares, E], 1).flatten(0, 1)
        stack = torch.cat([sets, torch.zeros_like(sets[:1])])
        last = stack.ndim == 4 and not self.E.is_contiguous()
        return stack.contiguous(memory_format=torch.channels_last) if last else stack

    def without_remainder(self, rest: Model, a: Tensor, size: int) -> tuple[Floats, bool, bool]:
        """Outputs of u W alone; and the first tells whether the network takes rows as parts.

        And whether it is affine to its end, so that no activations of rows are ever made.
        """
        import torch

        from xai.concepts.spanned import Spanned

        outs, first, affine = [], np.zeros(1, np.intp), False

        def watched(block: Any, rows: Indices) -> Any:
            nonlocal affine
            out = rest.call(block, rows)
            affine = isinstance(out, Spanned) and out.root.made is None
            return out

        if a.dtype.itemsize >= 4:  # sums of parts round too much in half precision
            with suppress(RuntimeError, TypeError, ValueError):  # code that wants a tensor's memory
                stack = self.parts(first)
                stack[-2] = 0  # E
                one = Spanned(stack, torch.ones_like(self.W[None, :, 0]), first)
                outs.append(replace(rest, call=watched)(one, first))
        spans = bool(outs)
        for start in range(len(outs), len(a), size):
            rows = np.arange(start, min(start + size, len(a)))
            outs.append(rest(a[rows] - self.E[rows], rows))
        return np.concatenate(outs), spans, affine


def _times(u: Tensor, W: Tensor, axis: int, like: Tensor) -> Tensor:
    """Activations u W of coefficients whose concepts lie along an axis, in memory as others are."""
    import torch

    if axis == 1 and u.ndim > 2 and like.is_contiguous():
        return torch.matmul(W.T, u.flatten(2)).reshape(len(u), -1, *u.shape[2:])
    return torch.movedim(torch.movedim(u, axis, -1) @ W, -1, axis)
