"""LIME's neighbourhoods of a table's row: rows drawn around it, and what the fit regresses on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.inputs import Block, host_array, is_tensor
from xai.removal.base import Context, Draws, Indices, Regressors, Removal, as_floats, once
from xai.removal.noise import make_room
from xai.removal.sampled import endless, independent_rows


@dataclass(frozen=True, eq=False)
class Neighbourhood(Removal):
    """Rows drawn column by column from the background, as LIME's tabular explainer does.

    Parameters
    ----------
    data : (m, columns) rows like x, optional
    discretise : bool
        True: a number is "the same" as x's when both lie in the same quartile of the background
        (regressors 0 or 1). False: normal noise around x with the background's standard
        deviation; regressors are distances from x in standard deviations. Categories, and dates,
        are drawn by their frequencies and are the same when equal, in both: days as numbers have
        quartiles.
    n_draws : int
        Draws that an expectation uses; the fit takes as many as its budget allows.

    Raises
    ------
    TypeError
        x is sparse.
    ValueError
        The rows are no table.

    Notes
    -----
    Ribeiro, Singh & Guestrin (2016). Within a quartile values are the background's own, where
    the lime package draws from a normal distribution cut to the quartile.

    Examples
    --------
    >>> import numpy as np, xai
    >>> data = np.random.default_rng(0).normal(size=(200, 2))
    >>> f = lambda x: 3.0 * (x[:, 0] > 0.7)
    >>> xai.explain(f, data[:1] + 2, "lime", removal=Neighbourhood(data)).values.round(1) + 0.0
    array([[2.6, 0. ]])
    """

    data: Any = field(default=None, repr=False)
    discretise: bool = True
    n_draws: int = 128

    def bind(self, context: Context) -> Draws:
        """Endless draws; discretised ones are the same rows for every explained row."""
        context.dense("LIME's neighbourhood of a table")
        if len(context.inputs.shape) != 1:
            raise ValueError(
                "LIME's neighbourhood is for tables; of images and series remove with "
                "removal='baseline', or 'marginal' and data="
            )
        block = context.background(self.data, "LIME's neighbourhood")
        return (self._quartiles if self.discretise else self._normal)(context, block)

    def _quartiles(self, context: Context, block: Block) -> Draws:
        x, background = host_array(context.inputs.block), host_array(block)
        categorical = context.inputs.categorical
        numbers = ~categorical
        cuts = _quartile_cuts(background[:, numbers])
        codes = {  # the background may lack a category of x
            j: np.union1d(background[:, j], x[:, j]) for j in np.flatnonzero(categorical)
        }

        def bins(rows: NDArray[Any]) -> NDArray[np.intp]:
            places = np.empty(rows.shape[::-1], np.intp)
            places[numbers] = sum(~(rows[:, numbers] <= cut) * 1 for cut in cuts).T
            for j, known in codes.items():
                places[j] = np.searchsorted(known, rows[:, j], side="left")
            return places

        own, here = bins(x).T[..., None], np.ones(x.shape[1], bool)

        def generate(draws: Indices) -> Block:
            return independent_rows(block, context.seed, draws)

        drawn_bins = once(lambda draws: bins(host_array(generate(draws))))

        def regressors(rows: Indices, draws: Indices) -> Regressors:
            return drawn_bins(draws) == own[rows], here

        return replace(endless(generate, self.n_draws), regressors=regressors)

    def _normal(self, context: Context, block: Block) -> Draws:
        context.whole("Neighbourhood(discretise=False)")
        x, categorical = host_array(context.inputs.block), context.inputs.categorical
        scale = context.deviations(block, "Neighbourhood(discretise=False)")
        scale[scale == 0] = 1.0
        columns, mixed = x.shape[1], bool(categorical.any())

        @once
        def noise(draws: Indices) -> NDArray[np.float64]:
            u = streams.uniforms(context.seed, streams.COALITION, draws, 2 * columns)
            radius = np.sqrt(-2 * np.log1p(-u[:, :columns]))
            return np.asarray(radius * np.cos(2 * np.pi * u[:, columns:]))

        @once
        def drawn(draws: Indices) -> NDArray[Any]:
            return host_array(independent_rows(block, context.seed, draws))

        def source(rows: Indices, draws: Indices) -> tuple[Block, Indices]:
            distinct, place = np.unique(draws, return_inverse=True)
            made = x[rows] + (scale * noise(distinct))[place]
            if mixed:
                made = np.where(categorical, drawn(distinct)[place], made)
            if is_tensor(block):
                made = as_floats(block[:1]).new_tensor(made)
            elif block.dtype.kind == "f":
                made = made.astype(block.dtype)
            return made, np.arange(len(rows))

        def regressors(rows: Indices, draws: Indices) -> Regressors:
            moved = np.broadcast_to(noise(draws), (len(rows), len(draws), columns))
            if mixed:
                made, own = drawn(draws), x[rows, None]
                same = (made == own) | ((made != made) & (own != own))  # categories may be NaN
                moved = np.where(categorical, same, moved)
            return moved.swapaxes(1, 2), categorical

        if not categorical.all():
            make_room(context, np.where(categorical, 0.0, 0.5))  # codes stay what they are
        return Draws(source, self.n_draws, endless=True, regressors=regressors)


def _quartile_cuts(columns: NDArray[Any]) -> NDArray[np.float64]:
    """Quartiles (4, columns) of what is known, and infinity: beyond it is NaN, no large number."""
    if columns.dtype.kind != "f":  # NumPy interpolates in the columns' own dtype, which may wrap
        columns = columns.astype(np.float64)
    cuts = np.full((4, columns.shape[1]), np.inf)
    unknown = np.isnan(columns)
    whole = ~unknown.any(axis=0)
    quartiles = [0.25, 0.5, 0.75]
    cuts[:3, whole] = np.quantile(columns[:, whole], quartiles, axis=0)
    for j in np.flatnonzero(~whole & ~unknown.all(axis=0)):
        cuts[:3, j] = np.quantile(columns[~unknown[:, j], j], quartiles)
    return cuts
