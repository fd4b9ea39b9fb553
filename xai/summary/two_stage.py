"""Estimates from pairs of walks on several draws, and their errors: two-stage sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, mean_of_draws
from xai.summary.base import spreads

PAIRS = 6
"""As so many pairs counts what all players' noise says of one player's."""


def by_slot(values: Floats, slots: NDArray[np.intp], count: int) -> tuple[Floats, NDArray[np.intp]]:
    """Means (R, D, …) of values (R, P, …) over the pairs of each slot, and their numbers (R, D).

    Parameters
    ----------
    values : (R, P, …), or (1, P, …) that all rows share
    slots : (R, P) of 0..D-1; count : D
    """
    from xai.kernels.pairs import slot_means

    flat = np.ascontiguousarray(values).reshape(*values.shape[:2], -1)
    out = np.empty((len(slots), count, flat.shape[2]), values.dtype)
    counts = np.empty((len(slots), count), np.intp)
    slot_means(flat, slots, out, counts)
    return out.reshape(len(slots), count, *values.shape[2:]), counts


def within_draws(
    phi: Floats,
    means: Floats,
    counts: NDArray[np.intp],
    slots: NDArray[np.intp],
    ranks: NDArray[np.intp],
    spread: NDArray[np.float64],
    told: NDArray[np.bool_],
    *,
    trends: bool = True,
) -> tuple[Floats, Floats | None]:
    """What positions out of balance add to the mean over draws, and the noise left within draws.

    A player's contribution depends on its own position, and the more so the larger it is at a
    draw: trends over positions, and the same times the draw's own mean, are regressed out, since
    stratified positions have averaged them out; on one draw, what is left of them is taken off.

    Parameters
    ----------
    phi : (R, P, d, k), means : (R, D, d, k) by slot, counts : (R, D), slots : (R, P)
    ranks : (P, d)
    spread : (R, D), how large the spread of walks is taken to be, where it cannot be seen
    told : (R, D), at which draws it can be seen what it is at those visited once
    trends : whether positions are stratified

    Returns
    -------
    shift : (R, d, k), what is known to be too much in the mean over draws; 0 for several draws
    noise : (R, d, k), variance of that mean from within draws; None where it is unknown
    """
    from xai.kernels.pairs import slot_squares, trend_sums

    slot_count = counts.shape[1]
    shift = np.zeros_like(means[:, 0])
    spare = slots.shape[1] - slot_count
    if spare < 1:
        return shift, None
    trend = _positions(ranks.shape[1])[ranks]
    of_slot = np.asarray(by_slot(trend[None], slots, slot_count)[0], np.float64)
    scaled = means / _positive(np.sqrt((means**2).mean(axis=1))[:, None])
    slope = np.zeros((*shift.shape, 4))
    used = 2 if slot_count == 1 else 4
    least = 6 * used if slot_count == 1 else max(12 * used, 2 * slot_count)
    if trends and spare >= least:
        products, moment = np.zeros((*shift.shape, 3, 3)), np.zeros((*shift.shape, 4))
        trend_sums(phi, means, scaled, trend, of_slot, slots, products, moment)
        gram = _gram(products)[..., :used, :used]
        ridge = 1e-9 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] + 1e-300
        solved = np.linalg.solve(gram + ridge * np.eye(used), moment[..., :used, None])
        slope[..., :used] = solved[..., 0]
        if slot_count == 1:
            shift = np.einsum("rdj,rdkj->rdk", of_slot[:, 0], slope[..., :2])
    else:
        used = 0
    squares = np.zeros_like(means)
    slot_squares(phi, means, scaled, trend, of_slot, slots, slope, squares)
    noise = _noise(squares, counts, spread, told) * spare / (spare - used)
    return shift, _pooled(noise, means, spare - used)


def _noise(
    squares: Floats,
    counts: NDArray[np.intp],
    spread: NDArray[np.float64],
    told: NDArray[np.bool_],
) -> Floats:
    """Variance (R, d, k) of the mean over draws, from each draw's own squares (R, D, d, k).

    At draws visited once, it is that of the draws `told` (R, D) of them, in proportion to the
    spread (R, D) squared.
    """
    free = np.maximum(counts - 1, 0)[:, :, None, None]
    visits, square = counts[:, :, None, None], spread[:, :, None, None] ** 2
    own = (squares / np.maximum(free, 1) / visits).sum(axis=1)
    alike = told[:, :, None, None]
    unit = (squares * alike).sum(axis=1) / _positive((free * square * alike).sum(axis=1))
    return np.asarray((own + unit * (square * (free == 0)).sum(axis=1)) / counts.shape[1] ** 2)


def _gram(products: Floats) -> Floats:
    """Σ z zᵀ (…, 4, 4) from sums of (t_0², t_0 t_1, t_1²) × (1, f, f²), (…, 3, 3)."""
    blocks = products[..., [[0, 1], [1, 2]], :]
    top = np.concatenate([blocks[..., 0], blocks[..., 1]], axis=-1)
    return np.concatenate([top, np.concatenate([blocks[..., 1], blocks[..., 2]], axis=-1)], axis=-2)


def _pooled(noise: Floats, means: Floats, spare: int) -> Floats:
    """Variance within draws; from few pairs also by what a player's spread over draws suggests.

    By chance a few pairs may agree for one player. The share of the spread that lies within draws
    is estimated over all players, and counts as `PAIRS` further ones.
    """
    if means.shape[1] < 3 or spare >= 64:
        return noise
    spread = means.var(axis=1, ddof=1)
    ratio = noise.sum(axis=1) / _positive(spread.sum(axis=1))
    return np.asarray((spare * noise + PAIRS * ratio[:, None] * spread) / (spare + PAIRS))


def _positive(scale: Floats) -> Floats:
    """Scales to divide by: 1 where they are 0."""
    return np.where(scale > 0, scale, 1.0)


def _positions(d: int) -> NDArray[np.float64]:
    """Two trends (d, 2) over a walk's positions, by distance from its middle, with mean 0."""
    distance = np.abs(2 * np.arange(d) - (d - 1)) / max(d - 1, 1)
    trend = np.stack([distance, distance**2], axis=1)
    return np.asarray(trend - trend.mean(axis=0))


def two_stage(
    game: Game,
    means: Floats,
    t: Floats,
    shift: Floats,
    noise: Floats | None,
    total: Floats,
    blur: Floats,
) -> tuple[Floats, Floats]:
    """Mean over draws with v(N) − v(∅) regressed out, and its error: two-stage sampling.

    Parameters
    ----------
    means : (R, D, d, k), t : (R, D, k) of each draw; total : (R, k), the mean of t over all draws
    shift : (R, d, k), what is known to be too much in their mean
    noise : (R, d, k) variance of the mean of `means` that comes from within draws; None: unknown
    blur : (R, k), below which a spread of t is rounding, and takes no slope
    """
    count, size = means.shape[1], game.n_draws
    phi, t_mean = mean_of_draws(means), mean_of_draws(t)
    spare = max(count - 1, 1)
    centred, t_centred = means - phi[:, None], t - t_mean[:, None]
    var = np.einsum("rgdk,rgdk->rdk", centred, centred) / spare
    cov = np.einsum("rgdk,rgk->rdk", centred, t_centred) / spare
    var_t = np.einsum("rgk,rgk->rk", t_centred, t_centred) / spare
    varies = var_t > blur**2
    var_t, cov = np.where(varies, var_t, 0.0), np.where(varies[:, None], cov, 0.0)
    gap, var_t = (total - t_mean)[:, None], var_t[:, None]
    # by what players vary, and would if one more draw were unlike these, and they nothing there
    share = shares_of_gap(var + phi**2 / count, phi)
    c, residual, fitted, slope = on_gap(var, cov, var_t, gap, share, count)
    values = phi + c * gap - shift
    if noise is not None:  # what the shifts add up to falls on those that walks leave uncertain
        values = values + shares_of_gap(noise, phi) * (total - values.sum(axis=1))[:, None]
    unknown = np.full_like(values, np.nan)
    if not spreads(game):  # one draw (or means over all draws): only the noise of walks
        return values, unknown if noise is None else np.sqrt(noise)
    whole = not game.sampled_draws and count == size
    if count < 2 or (noise is None and whole):
        return values, unknown
    # as far as draws visited are too much alike to tell a slope, the gap may be anybody's
    slope += ((1 - fitted) ** 2 * gap) ** 2 * share * (1 - share)
    if game.sampled_draws:
        extra = c**2 * var_t / size  # the known mean is one of a sample, too
        return values, np.sqrt(residual / count + slope + extra)
    left = 1 / count - 1 / size  # draws are taken without replacement
    if noise is None:
        return values, np.sqrt(residual / count + slope)
    between = np.maximum(residual - noise * count, 0)
    return values, np.sqrt(noise + left * between + slope * (left > 0))


def on_gap(
    var: Floats, cov: Floats, var_t: Floats, gap: Floats, share: Floats, count: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Values regressed on t = v(N) − v(∅), of which a mean over all draws is known.

    Parameters
    ----------
    var, cov : (R, d, k), of values over draws, and with t; var_t : (R, 1, k)
    gap : (R, 1, k), by which the mean of t over the draws visited misses the known one
    share : (R, d, k), slopes that count as much as 8 draws
    count : number of draws

    Returns
    -------
    slope : (R, d, k)
    residual : variance that it leaves, for which it costs a share of a degree of freedom
    fitted : (R, 1, k), how far the slope comes from the draws, from 0 to 1
    error : variance of values at the gap, of the slope's own error
    """
    prior = (8 / count) * np.maximum(var_t, gap**2)
    scale = var_t + prior
    safe = _positive(scale)
    slope = np.where(scale > 0, cov + prior * share, share) / safe
    residual = np.maximum(var - 2 * slope * cov + slope**2 * var_t, 0)
    fitted = var_t / safe
    residual = residual * (count - 1) / np.maximum(count - 1 - fitted, 1e-12)
    return slope, residual, fitted, residual * (fitted * gap**2 / safe) / max(count - 1, 1)


def shares_of_gap(var: Floats, phi: Floats) -> Floats:
    """How to spread a gap before its slope is known: by variance, else by size, else evenly."""
    share = np.full_like(phi, 1 / phi.shape[1])
    for size in (phi**2, var):
        total = size.sum(axis=1, keepdims=True)
        share = np.where(total > 0, size / _positive(total), share)
    return share


def between_draws(game: Game, count: int) -> float:
    """What part of the variance between draws a mean over `count` of them has, taken in cycles."""
    m = game.n_draws
    cycles, rest = divmod(count, m)
    if game.sampled_draws:
        return (rest * (cycles + 1) ** 2 + (m - rest) * cycles**2) / count**2
    return rest * (1 - rest / m) / count**2
