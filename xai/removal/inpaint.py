"""Replace removed pixels by what the kept ones around them let expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai.inputs import Block, is_number, is_tensor
from xai.places import channels_back, channels_first
from xai.removal.base import Context, Draws, Indices, Removal, as_floats, back, joined, where
from xai.removal.noise import normals, spans

CHUNK_BYTES = 2**20
"""Bytes of images filled at once on the host: they and what is left of each pass fit its cache."""
DEVICE_CHUNK_BYTES = 2**26
"""The same on an accelerator."""


@dataclass(frozen=True)
class Inpaint(Removal):
    """Fill removed pixels in smoothly from the kept ones around them.

    Each removed pixel becomes the weighted mean of its eight neighbours, 1/6 of each direct and
    1/12 of each diagonal one, which are pixels kept or filled in; if nothing is kept, the image's
    mean colour. Of series a straight line between the kept steps. For hard coalitions only.

    Parameters
    ----------
    noise : float
        Standard deviation of normal noise on what is filled in, in each image's max − min: a
        model may tell a smooth filling from a picture.

    Raises
    ------
    ValueError
        The rows are no images or series, or `noise` is negative or not finite.

    Notes
    -----
    ROAD (Rong et al. 2022), who take a noise of 0.01; they solve a sparse system for each mask.
    Here multigrid solves it for many masks together, in a fixed number of passes. They leave errors
    (root mean square) of less than 1 % of the image's range; where pixels are kept here and there,
    and fewer than a tenth of them, of 1 to 3 %.

    Examples
    --------
    >>> Inpaint(noise=0.01)
    Inpaint(noise=0.01)
    """

    noise: float = 0.0
    of_places: ClassVar[bool] = True

    def bind(self, context: Context) -> Draws:
        """One draw, made from each coalition's own mask."""
        x, axis, sides = context.inputs.block, context.channel_axis, context.needs_sides(self)
        if len(sides) > 2:
            raise ValueError(
                f"{self} fills images and series in, no volumes of {sides}: pass "
                "removal=xai.removal.Blur(), or xai.removal.Baseline('mean')"
            )
        assert axis is not None
        if not is_number(self.noise) or not 0 <= self.noise < np.inf:
            raise ValueError(f"{self}: noise must be a finite number, and not negative")
        noise = None
        if self.noise:  # in units of an image's range
            noise = self.noise * normals(as_floats(x[:1]), context.seed, np.zeros(1, np.intp))
        filler = _Filler(x, axis, noise)

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            raise AssertionError("what is filled in depends on the mask")

        return Draws(source, 1, key=lambda rows, draws: rows, inputs=filler.inputs, soft=False)


@dataclass(frozen=True, eq=False)
class _Filler:
    """Composition by filling in: x's images, where their channels are, and noise."""

    x: Block
    channel_axis: int
    noise: Block | None

    def inputs(self, rows: Indices, masks: Any, draws: Indices) -> Block:
        """Model inputs (B, *shape) of rows and hard masks, some at a time."""
        host = not is_tensor(self.x) or self.x.device.type == "cpu"
        size = 8 * int(np.prod(self.x.shape[1:]))
        step = max(1, (CHUNK_BYTES if host else DEVICE_CHUNK_BYTES) // size)
        chunks = [slice(a, a + step) for a in range(0, len(rows), step)]
        return joined([self._filled(rows[chunk], masks[chunk], host) for chunk in chunks])

    def _filled(self, rows: Indices, masks: Any, host: bool) -> Block:
        from xai.kernels.harmonic import between, filled

        own = as_floats(self.x[rows])
        images, kept = (channels_first(block, self.channel_axis) for block in (own, masks))
        if is_tensor(own) and host:  # compiled for the host, in the tensors' own memory
            images, kept = images.numpy(), kept.numpy()
        whole = (*kept.shape[:2], *images.shape[2:])
        kept = np.broadcast_to(kept, whole) if host else kept.expand(whole)
        out = (between if images.ndim == 3 else filled)(images, kept)
        out = channels_back(out, self.channel_axis)
        if is_tensor(own) and host:
            out = own.new_tensor(np.ascontiguousarray(out))
        if self.noise is not None:
            out = out + spans(own) * self.noise
        return back(where(masks, own, out), self.x)
