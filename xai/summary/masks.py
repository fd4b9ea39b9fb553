"""Soft masks that are drawn over an image's pixels, and the mean value under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import BLOCK_BYTES, Floats, Game, Indices
from xai.inputs import is_whole
from xai.kernels.masks import add_moments, interpolated
from xai.summary.base import Attribution, Left, Looks, Plan, finish, shares_rows, stops

Normalise = Literal["sum", "expected"]


@dataclass(frozen=True)
class SmoothGrid:
    """Coin tosses on a coarse grid, interpolated over an image's pixels and shifted at random.

    ``M(i, j) = Σ_ab z_ab k(i/h + s − a) k(j/w + t − b)``: z_ab is 1 with chance p, else 0; cells
    are h × w pixels large; s, t are uniform in [0, 1), anew for each mask.

    Parameters
    ----------
    cells : int
        Cells along each side of the image.
    smooth : bool
        True: bilinear, ``k(u) = max(0, 1 − |u|)``; False: each pixel as its cell.

    Raises
    ------
    ValueError
        `cells` is no positive integer, or the players have no height and width.

    Notes
    -----
    RISE (Petsiuk, Das & Saenko 2018, §3.2). Every pixel's mask has mean p, and the same
    distribution wherever it lies. A mask depends on (seed, sample) alone: masks that shared a shift
    would print the grid on the map.

    Examples
    --------
    >>> masks = SmoothGrid(cells=2).draw(0, np.arange(3), (4, 6), p=0.5)
    >>> masks.shape, masks.dtype
    ((3, 24), dtype('float32'))
    """

    cells: int = 7
    smooth: bool = True

    def draw(
        self, seed: int, samples: NDArray[np.integer], shape: tuple[int, ...], p: float
    ) -> NDArray[np.float32]:
        """Masks (len(samples), height·width) in [0, 1] of images of `shape` (height, width).

        Of series and volumes likewise, with as many axes as they have.

        Raises
        ------
        ValueError
            Cells that are no positive integer.
        """
        self.check()
        nodes, axes = self.cells + 2, len(shape)  # a pixel reaches the next node, shifted by one
        kept = streams.uniforms(seed, streams.COALITION, samples, nodes**axes) < p
        shifts = streams.uniforms(seed, streams.SHIFT, samples, axes)
        lines = [
            np.arange(n) * (self.cells / n) + shifts[:, axis, None] for axis, n in enumerate(shape)
        ]
        z = kept.astype(np.float32).reshape(-1, *[nodes] * axes)
        return interpolated(z, lines, smooth=self.smooth)

    def check(self) -> None:
        """Refuse cells that are no positive integer."""
        if not is_whole(self.cells) or self.cells < 1:
            raise ValueError(f"SmoothGrid(cells={self.cells!r}): expected a positive integer")


def mean_under(
    game: Game,
    plan: Plan,
    count: int,
    draws: Indices | None,
    *,
    masks: SmoothGrid,
    p: float,
    normalise: Normalise,
) -> Attribution:
    """Mean value of `count` masks, each pixel's weighed by what it keeps of that pixel.

    Masks are made, evaluated and summed up in blocks, the same for every batch and for any rows.

    Parameters
    ----------
    draws : (count,) int, or None
        The removal's draw of each mask; None: values are means over all draws.
    """
    masks.check()
    shape = game.pixels
    if shape is None:
        raise ValueError(
            f"{masks} draws masks over the pixels of images, and these players are "
            f"{game.n_players} in number, without height and width: leave players= out, with "
            "images as x (of series and volumes with channel_axis=, 0 if they have no channels), "
            "or choose a method that draws coalitions, such as 'mean_when_included'"
        )
    n, d, k = game.n_rows, game.n_players, game.n_outputs
    values, errors = np.empty((2, n, d, k))
    block = max(1, BLOCK_BYTES // (4 * d))
    together = max(1, min(game.room // block, BLOCK_BYTES // (32 * d * k)))
    game.progress.expect(n * count * (1 if draws is not None else game.value_cost))
    checks = stops(count, plan.tolerance, first=64)
    ends = game.ends(np.arange(n))
    for start in range(0, n, together):
        active = np.arange(start, min(start + together, n))
        sums, done = _Sums(len(active), d, k), 0
        looks = Looks(len(active), checks, plan.tolerance)
        for stop in looks:
            while done < stop:
                part = np.arange(done, min(done + block, stop))
                made = masks.draw(plan.seed, part, shape, p)
                sums.add(made, game.grid(active, made, None if draws is None else draws[part]))
                done += len(part)
            values[active], errors[active] = sums.means(normalise, p)
            if shares_rows(game):
                errors[active] = np.nan
            left = looks.left(values[active], errors[active])
            active = active[left]
            sums.keep(left)
    return finish(game, values, errors, ends, tolerance=plan.tolerance)


class _Sums:
    """Sums over masks M (C, d) with values v (R, C, k), which are taken around the first one, c.

    Attributes
    ----------
    of_masks : (2, d)
        Σ M and Σ M².
    products : (R, k, 3, d)
        Σ (v − c) M, Σ (v − c) M², Σ (v − c)² M².
    """

    def __init__(self, r: int, d: int, k: int) -> None:
        self.count, self.centre = 0, np.empty((r, 0, k))
        self.of_masks, self.products = np.zeros((2, d)), np.zeros((r, k, 3, d))

    def add(self, masks: NDArray[np.float32], v: Floats) -> None:
        if self.count == 0:
            self.centre = v[:, :1].astype(np.float64)
        self.count += len(masks)
        around = np.moveaxis(v - self.centre, 1, 2).reshape(-1, len(masks))  # (R·k, C)
        flat = self.products.reshape(len(around), *self.products.shape[2:])
        add_moments(masks, np.ascontiguousarray(around), self.of_masks, flat)

    def keep(self, rows: Left) -> None:
        self.centre, self.products = self.centre[rows], self.products[rows]

    def means(self, normalise: Normalise, p: float) -> tuple[Floats, Floats]:
        """Means and their errors, (R, d, k) each."""
        made = self._over_sum() if normalise == "sum" else self._over_expected(p)
        values, variances = (np.moveaxis(a, 1, 2) for a in made)
        return values, np.sqrt(variances)

    def _over_sum(self) -> tuple[Floats, Floats]:
        """Σ v M / Σ M, a ratio: what is constant stays so."""
        c, count, (m, mm) = np.moveaxis(self.centre, 1, 2), self.count, self.of_masks
        vm, vmm, vvmm = np.moveaxis(self.products, 2, 0)
        total = np.where(m > 0, m, np.nan)  # a pixel that no mask kept: unknown
        mean = vm / total
        spread = np.maximum(vvmm - 2 * mean * vmm + mean**2 * mm, 0)
        more = count / (count - 1) if count > 1 else np.nan
        return c + mean, spread / total**2 * more

    def _over_expected(self, p: float) -> tuple[Floats, Floats]:
        """Σ v M / (N p), a mean of independent products."""
        c, count, (m, mm) = np.moveaxis(self.centre, 1, 2), self.count, self.of_masks
        vm, vmm, vvmm = np.moveaxis(self.products, 2, 0)
        mean = (vm + c * m) / count
        squares = (vvmm + 2 * c * vmm + c**2 * mm) / count
        spread = np.maximum(squares - mean**2, 0)
        return mean / p, spread / p**2 / (count - 1 if count > 1 else np.nan)
