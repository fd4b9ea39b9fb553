"""Replace removed pixels by a blurred image, or blur them the more the less they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Block, is_number, is_tensor, is_whole, on_host
from xai.places import along, channels_back, channels_first
from xai.removal.base import (
    Context,
    Draws,
    Indices,
    Removal,
    as_floats,
    back,
    joined,
    placed,
    where,
)

SIGMA = 20 / 224
"""Width of the blur where none is given, in shorter sides of the image (Fong et al. 2019)."""
CHUNK_BYTES = 2**24
"""Most bytes of images blurred at once."""
LONG = 2**11
"""The longest line whose blurs are matrices: eight of 16 MB each in single precision."""
PYRAMID_BYTES = 2**28
"""Most bytes of blurred images that a pyramid keeps; one row's are kept whatever they take."""


@dataclass(frozen=True)
class Blur(Removal):
    """Replace removed pixels by those of the image, blurred.

    Parameters
    ----------
    sigma : float, optional
        Standard deviation of the Gaussian in pixels (a series' steps); 20 at a shorter side of 224
        where None, and in proportion.

    Notes
    -----
    Fong & Vedaldi (2017). Edges reflect, as `scipy.ndimage.gaussian_filter`'s do. The blurred
    images take as much memory as x.

    Examples
    --------
    >>> Blur(5)
    Blur(sigma=5)
    """

    sigma: float | None = None
    of_places: ClassVar[bool] = True

    def bind(self, context: Context) -> Draws:
        """One draw: each row's own blurred image."""
        block = Blurs.of(context, [_width(context, self)]).all()

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            return block, rows

        return Draws(source, 1, key=lambda rows, draws: rows)


@dataclass(frozen=True)
class BlurPyramid(Removal):
    """Blur each pixel the more, the less of it is kept.

    A mask's 1 is the image itself, its 0 the strongest blur; between them lie `levels` blurs in
    equal steps, ``sigma_l = sigma (1 − l / (levels − 1))``, and values between two levels are
    interpolated. Hard coalitions are as with ``Blur(sigma)``.

    Parameters
    ----------
    sigma : float, optional
        Of the strongest blur, as `Blur`'s.
    levels : int
        At least 2, the image itself among them.

    Raises
    ------
    ValueError
        `levels` is not an integer of at least 2.

    Notes
    -----
    Fong, Patrick & Vedaldi (2019), extremal perturbations. Tensors are differentiable in soft
    masks. A row's pyramid, `levels` times as large as its image, is computed once and kept while
    all that are kept take no more than `PYRAMID_BYTES` (256 MB).

    Examples
    --------
    >>> BlurPyramid(levels=4)
    BlurPyramid(sigma=None, levels=4)
    """

    sigma: float | None = None
    levels: int = 8
    of_places: ClassVar[bool] = True

    def bind(self, context: Context) -> Draws:
        """One draw: the image where it is kept, its blurs elsewhere."""
        if not is_whole(self.levels) or self.levels < 2:
            raise ValueError(f"levels must be an integer of at least 2, not {self.levels!r}")
        steps = 1 - np.arange(self.levels) / (self.levels - 1)
        pyramid = Pyramid(Blurs.of(context, _width(context, self) * steps))
        strongest = Blur(self.sigma).bind(context)
        x = context.inputs.block

        def inputs(rows: Indices, masks: Any, draws: Indices) -> Block:
            if _is_hard(masks):
                other, places = strongest.source(rows, draws)
                return where(masks, x[rows], other[places])
            return pyramid.inputs(rows, masks)

        return Draws(strongest.source, 1, key=strongest.key, inputs=inputs)


def _width(context: Context, removal: Blur | BlurPyramid) -> float:
    """Sigma in pixels, for what has places alone."""
    sigma, sides = removal.sigma, context.needs_sides(removal)
    if sigma is None:
        return SIGMA * min(sides)
    if not is_number(sigma):
        raise TypeError(f"{removal!r}: sigma must be a number of pixels")
    if not 0 <= sigma < np.inf:
        raise ValueError(f"{removal!r}: sigma must be finite, and not negative")
    return float(sigma)


def _is_hard(masks: Any) -> bool:
    return bool(str(masks.dtype).endswith("bool"))


# -------------------------------------------------------------------------------- blurred images


@dataclass(frozen=True, eq=False)
class Blurs:
    """Gaussian blurs of a block's images.

    Attributes
    ----------
    block : (n, *shape), with channels on `channel_axis`
    lines : (L, side, side), one for each axis of places
        Blurs of one line of pixels, as matrices: along an axis a blur with any treatment of edges
        is linear, and products are faster than wide convolutions. None where a line is so long
        that its matrix is not: it has as many numbers as the square of the line.
    sigmas : (L,)
        Their widths.
    """

    block: Block
    channel_axis: int
    lines: tuple[Block, ...] | None
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, context: Context, sigmas: Any) -> Blurs:
        """Blurs of some widths, where x lives."""
        x, axis = context.inputs.block, context.channel_axis
        assert axis is not None
        like, lines = as_floats(x[:1]), None
        if max(context.sides) <= LONG:
            lines = tuple(_matrices(side, sigmas, like) for side in context.sides)
        return cls(x, axis, lines, tuple(map(float, sigmas)))

    def all(self) -> Block:
        """All images under the first blur: (n, *shape)."""
        n = len(self.block)
        step = max(1, CHUNK_BYTES // (8 * int(np.prod(self.block.shape[1:]))))
        parts = (as_floats(self.block[a : a + step]) for a in range(0, n, step))
        return joined([back(self._apply(part, slice(0, 1)), self.block) for part in parts])

    def of_row(self, row: int) -> Block:
        """One image under every blur: (L, *shape)."""
        return self._apply(as_floats(self.block[row : row + 1]), slice(None))

    def _apply(self, images: Block, levels: slice) -> Block:
        """Blurs of images (of one, if these are several), with channels where x has them."""
        images = channels_first(images, self.channel_axis)
        if self.lines is None:
            return channels_back(_filtered(images, self.sigmas[levels]), self.channel_axis)
        lines = [line[levels] for line in self.lines]
        if not is_tensor(images):
            images = np.ascontiguousarray(images)  # else the product is no longer BLAS's
        blurred = channels_back(along(images, lines), self.channel_axis)
        return blurred if is_tensor(blurred) else np.ascontiguousarray(blurred)


def _filtered(images: Block, sigmas: Sequence[float]) -> Block:
    """The same without matrices, on the host."""
    from scipy.ndimage import gaussian_filter

    host = on_host(images)
    axes = tuple(range(2, host.ndim))
    made = [gaussian_filter(host, s, mode="reflect", axes=axes) if s else host for s in sigmas]
    blurred = np.concatenate(made)
    return images.new_tensor(blurred) if is_tensor(images) else blurred


def _matrices(side: int, sigmas: Any, like: Block) -> Block:
    """Gaussian blurs of a line of pixels with reflecting edges, (L, side, side)."""
    from scipy.ndimage import gaussian_filter1d

    line = np.eye(side)
    blurs = [gaussian_filter1d(line, s, axis=0, mode="reflect") if s > 0 else line for s in sigmas]
    return placed(np.stack(blurs), like)


@dataclass(eq=False)
class Pyramid:
    """Blurs of rows, level by level, kept while they take little memory.

    Attributes
    ----------
    kept : row -> (L, *shape)
        Ordered by last use. Replaced, never changed: workers of the model may share it.
    """

    blurs: Blurs
    kept: dict[int, Block] = field(default_factory=dict)

    def inputs(self, rows: Indices, masks: Any) -> Block:
        """Model inputs (B, *shape) under soft masks, which broadcast to them; row by row."""
        order = np.argsort(rows, kind="stable")
        mixed = bool((np.diff(rows) < 0).any())  # else each row's masks are a view: no copy
        rows, masks = rows[order], masks[order] if mixed else masks
        cuts = (np.flatnonzero(np.diff(rows)) + 1).tolist()
        runs = zip([0, *cuts], [*cuts, len(rows)], strict=True)
        parts = [self._blend(int(rows[a]), masks[a:b]) for a, b in runs]
        made = joined(parts) if len(parts) > 1 else parts[0]
        return made[np.argsort(order)] if mixed else made

    def _blend(self, row: int, masks: Any) -> Block:
        """One row's inputs: between the levels below and above each mask's place."""
        levels = self._levels(row)
        if not is_tensor(levels):
            made = _blended(levels, masks.astype(levels.dtype, copy=False), slopes=False)
            return back(made[0], self.blurs.block)
        import torch

        masks = masks.to(levels.dtype)
        if levels.device.type == "cpu" and levels.dtype in (torch.float32, torch.float64):
            on_host = (levels.numpy(), masks.detach().numpy())
            values, slope = map(torch.from_numpy, _blended(*on_host, slopes=masks.requires_grad))
            if masks.requires_grad:  # adds 0, and a gradient
                values = values.addcmul(slope, masks - masks.detach())
            return back(values, self.blurs.block)
        place = (len(levels) - 1) * masks
        below = place.detach().clip(0, len(levels) - 2).long()
        low, high = _pick(levels, below), _pick(levels, below + 1)
        return back(torch.lerp(low, high, place - below), self.blurs.block)

    def _levels(self, row: int) -> Block:
        """The row's pyramid, now the one last used."""
        found = self.kept.get(row)
        levels = self.blurs.of_row(row) if found is None else found
        if next(reversed(self.kept), None) != row:
            room = max(1, PYRAMID_BYTES // int(levels.nbytes))
            others = [(r, block) for r, block in self.kept.items() if r != row]
            self.kept = dict([*others[max(0, len(others) - room + 1) :], (row, levels)])
        return levels


def _blended(
    levels: NDArray[Any], masks: NDArray[Any], *, slopes: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Arrays (B, *shape) between levels (L, *shape), and their slopes (of no row, if not asked)."""
    from xai.kernels.compose import blend_levels

    shape = levels.shape[1:]
    shared = [a for a, size in enumerate(masks.shape[1:]) if size != shape[a]]
    if len(shared) == 1:  # the channels share a mask
        before, together = int(np.prod(shape[: shared[0]])), shape[shared[0]]
    else:
        before = together = 1
        masks = np.broadcast_to(masks, (len(masks), *shape))
    out = np.empty((len(masks), *shape), levels.dtype)
    slope = np.empty(out.shape if slopes else (0, *shape), levels.dtype)
    split = (before, together, int(np.prod(shape)) // (before * together))
    blend_levels(
        levels.reshape(-1, *split),
        np.ascontiguousarray(masks).reshape(-1, before, split[2]),
        out.reshape(-1, *split),
        slope.reshape(-1, *split),
    )
    return out, slope


def _pick(levels: Any, index: Any) -> Any:
    """Pixels of the levels (L, *shape) that an index (B, *places) names: (B, *shape)."""
    whole = index.expand(len(index), *levels.shape[1:])[:, None]
    return levels.expand(len(index), *levels.shape).gather(1, whole)[:, 0]
