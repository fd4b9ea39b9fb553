"""Antithetic permutation walks, stratified within every draw: Shapley values when draws spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Floats, Game, Indices
from xai.summary.base import Attribution, Plan, finish, stops, within

CHUNK = 2**22
"""Most contributions (pairs × players × outputs) of one row that are held at once."""

Orders = Callable[[int, int, int], "NDArray[np.intp]"]
"""(seed, pairs, slots) -> the position of each player in each walk, (pairs, d)."""


def spreads(game: Game) -> bool:
    """Whether each walk has a draw of its own, out of several."""
    return game.commutes and (game.endless or game.n_draws > 1)


def pair_cost(game: Game) -> int:
    """Model rows of a walk and its reverse; their ends are known, unless a draw is new."""
    unit = game.sample_cost if game.commutes else game.value_cost
    new_end = game.sample_cost if game.endless or not game.shares_empty else 0
    return max(1, 2 * (game.n_players - 1) * unit + (new_end if spreads(game) else 0))


@dataclass
class Walks:
    """Antithetic pairs of permutation walks on all rows of a game.

    A pair is a walk and its reverse on one draw (Mitchell et al. 2022): exact for games of order
    two. Draws are visited evenly, and a player's distances from the walk's middle are stratified
    within each draw and over all of them (sliced Latin hypercubes, Qian 2012), the halves it
    stands in balanced between players (Hadamard signs). Each draw visited counts the same; where
    not all of them are, the known mean of v(N) − v(∅) is regressed out, which makes values
    efficient to float precision and leaves dummies at 0.

    Attributes
    ----------
    pairs : number of pairs, for each row
    orders : how the players are ordered; None: every order equally likely
    """

    game: Game
    pairs: int
    plan: Plan
    orders: Orders | None = None

    def run(self) -> Attribution:
        """Walk, block of rows by block of rows, chunk of pairs by chunk of pairs."""
        game = self.game
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        values, variances = np.zeros((n, d, k)), np.zeros((n, d, k))
        bases, fulls = np.empty((n, k)), np.empty((n, k))
        if game.progress is not None:
            game.progress.expect(n * self.pairs * pair_cost(game) + game.base_cost)
        chunks = self._chunks()
        per_row = max(1, CHUNK // (chunks[0].count * d * k))
        for start in range(0, n, per_row):
            rows = np.arange(start, min(start + per_row, n))
            ends = game.ends(rows)
            bases[rows], fulls[rows] = ends
            for chunk in chunks:
                share = chunk.count / self.pairs
                phi, error = self._chunk(rows, ends, chunk)
                values[rows] += share * phi
                variances[rows] += (share * error) ** 2
        errors = np.sqrt(variances)
        return finish(
            game, values, errors, base=bases, full=fulls, tolerance=self.plan.tolerance, ran="walks"
        )

    def _chunks(self) -> list[Design]:
        """Parts of the pairs, each a design of its own; nearly always there is one."""
        game, d = self.game, self.game.n_players
        most = max(2, CHUNK // (d * game.n_outputs))
        parts = np.array_split(np.arange(self.pairs), -(-self.pairs // most))
        draws = 1 if not spreads(game) else None if game.endless else game.n_draws
        return [
            Design.make(self.plan.seed, int(part[0]), len(part), d, draws, self.orders)
            for part in parts
        ]

    def _chunk(
        self, rows: Indices, ends: tuple[Floats, Floats], design: Design
    ) -> tuple[Floats, Floats]:
        """Estimates and errors (R, d, k) of some rows; rows that meet the tolerance stop."""
        base, full = ends
        total, tolerance = full - base, self.plan.tolerance
        values = np.empty((len(rows), self.game.n_players, total.shape[1]))
        errors = np.empty_like(values)
        phi = np.empty((len(rows), design.count, *values.shape[1:]))
        t = np.empty((len(rows), design.count, values.shape[2]))
        active, done = np.arange(len(rows)), 0
        for stop in stops(design.count, tolerance, first=8):
            step = max(1, self.game.room // (2 * max(1, self.game.n_players - 1) * len(active)))
            while done < stop:
                part = slice(done, min(done + step, stop))
                phi[active, part], t[active, part] = self._walk(
                    rows[active], (base[active], full[active]), design, part
                )
                done = part.stop
            values[active], errors[active] = self._estimate(
                phi[active, :done], t[active, :done], design, total[active]
            )
            if tolerance is not None:
                active = active[~within(values[active], errors[active], tolerance)]
                if len(active) == 0:
                    break
        return values, errors

    def _walk(
        self, rows: Indices, ends: tuple[Floats, Floats], design: Design, part: slice
    ) -> tuple[Floats, Floats]:
        """Contributions (R, P, d, k) of some pairs, and their v(N) − v(∅), (R, P, k)."""
        game, d = self.game, self.game.n_players
        ranks = design.ranks[part]
        forward = ranks[:, None, :] < np.arange(1, d)[None, :, None]
        coalitions = np.concatenate([forward, ~forward], axis=1).reshape(-1, d)
        own = self._draws(design, part) if game.commutes else None
        draws = None if own is None else np.repeat(own, 2 * (d - 1))
        shape = (len(rows), len(ranks), 2, d - 1, game.n_outputs)
        inner = game.grid(rows, coalitions, draws).reshape(shape) if d > 1 else np.empty(shape)
        low, high = self._ends(rows, ends, own, len(ranks))
        return contributions(inner, low, high, ranks), high - low

    def _draws(self, design: Design, part: slice) -> Indices:
        """The draw of each pair; slots take the background's rows in random order."""
        game, slots = self.game, design.slots[part]
        if not spreads(game):
            return np.zeros(len(slots), np.intp)
        if game.endless:
            return design.first + slots
        return streams.cycles(self.plan.seed, slots, game.n_draws)

    def _ends(
        self, rows: Indices, ends: tuple[Floats, Floats], own: Indices | None, count: int
    ) -> tuple[Floats, Floats]:
        """Values of nothing and of everything at each pair's draw, (R, P, k) each."""
        if own is not None and spreads(self.game):
            none, every = (np.full((count, self.game.n_players), kept) for kept in (False, True))
            return self.game.grid(rows, none, own), self.game.grid(rows, every, own)
        base, full = (np.repeat(end[:, None], count, axis=1) for end in ends)
        return base, full

    # -- estimates ----------------------------------------------------------------------------

    def _estimate(
        self, phi: Floats, t: Floats, design: Design, total: Floats
    ) -> tuple[Floats, Floats]:
        """Values and standard errors (R, d, k) from contributions (R, P, d, k)."""
        slots = design.slots[: phi.shape[1]]
        by_slot = _Slots.of(slots)
        means = by_slot.mean(phi)
        shift, noise = _within(phi, means, by_slot, design.ranks[: len(slots)])
        if noise is not None:  # of one pair; now of the mean over draws
            noise = noise * (1 / by_slot.counts).sum() / len(by_slot.counts) ** 2
        if self.orders is not None:  # positions are not uniform: their trends have other means
            shift = np.zeros_like(shift)
        return _combine(self.game, means, by_slot.mean(t), shift, noise, total)


@dataclass(frozen=True)
class Design:
    """Pairs of walks: the players' positions, and the slot (of a draw) that each pair uses.

    Attributes
    ----------
    first : place of the first pair among those of all chunks
    ranks : (P, d) position of each player in each walk
    slots : (P,)
    """

    first: int
    ranks: NDArray[np.intp]
    slots: NDArray[np.intp]

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.slots)

    @classmethod
    def make(
        cls, seed: int, first: int, pairs: int, d: int, draws: int | None, orders: Orders | None
    ) -> Design:
        """Spend `pairs` pairs on `draws` draws (None: endless ones, each used once).

        Below two pairs for each draw, some pairs (one in eight, or what is left over) are second
        ones on their draw: the noise within draws is then known, at little cost to their number.
        """
        slots = pairs if draws is None else draws
        if draws is not None and pairs < 2 * draws:
            again = max(pairs - draws, pairs // 8, min(pairs // 2, 4), min(pairs // 3, 16))
            slots = max(1, pairs - again)
        key = int(streams.bits(seed, streams.PERMUTATION, np.array([first]), 1)[0, 0])
        ranks = orders(key, pairs, slots) if orders else stratified_ranks(key, pairs, slots, d)
        return cls(first, ranks, np.arange(pairs) % slots)


def stratified_ranks(seed: int, pairs: int, slots: int, d: int) -> NDArray[np.intp]:
    """Positions (pairs, d) of d players in random walks, each order equally likely.

    Pair p uses slot p mod `slots`. A player's key is (1 ± w)/2, and keys give the order. The w of
    one player fill strata evenly within each slot, and over slots; the signs of one power of two
    of pairs are orthogonal between players.
    """
    cycles = -(-pairs // slots)
    shape = (cycles, slots, d)
    every = np.arange(cycles * slots)
    coarse = streams.uniforms(seed, streams.PERMUTATION, every, d).reshape(shape).argsort(axis=0)
    fine = streams.uniforms(seed, streams.STRATUM, every, d).reshape(shape).argsort(axis=1)
    # in each slot the c-th stratum of w falls into one cycle; there its place among slots is fine
    place = np.take_along_axis(fine, coarse, axis=0).reshape(-1, d)[:pairs]
    jitter = streams.uniforms(seed, streams.JITTER, every[:pairs], d)
    w = (coarse.reshape(-1, d)[:pairs] + (place + jitter) / slots) / cycles
    keys = np.where(_signs(seed, pairs, d), 1 + w, 1 - w)
    return np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1)


def _signs(seed: int, pairs: int, d: int) -> NDArray[np.bool_]:
    """Halves (pairs, d): rows of Hadamard matrices whose columns are random, and flipped."""
    size = 1 << d.bit_length()
    block, row = np.divmod(np.arange(pairs), size)
    blocks = np.arange(int(block[-1]) + 1)
    random = streams.bits(seed, streams.SIGN, blocks, size)
    columns = np.argsort(random[:, 1:], axis=1)[:, :d] + 1
    flips = streams.bits(seed, streams.FLIP, blocks, d) >> np.uint64(63)
    parity = np.bitwise_count(row[:, None] & columns[block]) & 1
    return np.asarray((parity ^ flips[block].astype(np.uint8)) == 1)


@dataclass(frozen=True)
class _Slots:
    """Pairs grouped by the draw that they use."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    place: NDArray[np.intp]

    @classmethod
    def of(cls, slots: NDArray[np.intp]) -> _Slots:
        counts = np.bincount(slots)
        order = np.argsort(slots, kind="stable")
        return cls(order, np.cumsum(counts) - counts, counts, slots)

    def mean(self, values: Floats) -> Floats:
        """Means (R, D, …) of (R, P, …) over the pairs of each draw, exact where all are equal."""
        first = values[:, self.order[self.starts]]
        shifted = values - first[:, self.place]
        sums = np.add.reduceat(shifted[:, self.order], self.starts, axis=1)
        counts = self.counts.reshape((1, -1) + (1,) * (values.ndim - 2))
        return np.asarray(first + sums / counts)


def _within(
    phi: Floats, means: Floats, by_slot: _Slots, ranks: NDArray[np.intp]
) -> tuple[Floats, Floats | None]:
    """What positions out of balance add to the mean over draws, and the noise left within draws.

    A player's contribution depends on its own position, and the more so the larger it is at a
    draw: trends over positions, and the same times the draw's own mean, are regressed out. Their
    means over all orders are known to be 0.

    Returns
    -------
    shift : (R, d, k)
    shift : (R, d, k), what is known to be too much in their mean
    noise : (R, d, k) variance of one pair around its draw's own value; None where it is unknown
    """
    nothing = np.zeros_like(means[:, 0])
    spare = len(by_slot.place) - len(by_slot.counts)
    if spare < 1:
        return nothing, None
    residual = phi - means[:, by_slot.place]
    squares = np.einsum("rpdk,rpdk->rdk", residual, residual)
    used = 2 if len(by_slot.counts) == 1 else 4
    if spare < 12 * used:
        return nothing, _pooled(squares / spare, means, spare)
    trend = _positions(ranks.shape[1])[ranks]  # (P, d, 2)
    of_draw = by_slot.mean(trend[None])[0]
    scaled = means / _positive(np.sqrt((means**2).mean(axis=1))[:, None])
    factors = [np.ones_like(scaled[:1]), scaled][: used // 2]
    gram, moment = _moments(
        trend - of_draw[by_slot.place], [f[:, by_slot.place] for f in factors], residual
    )
    ridge = 1e-9 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] + 1e-300
    slope = np.linalg.solve(gram + ridge * np.eye(used), moment[..., None])[..., 0]
    explained = np.einsum("rdkj,rdkj->rdk", slope, moment)
    imbalance = [np.einsum("gdj,rgdk->rdkj", of_draw, f) / len(of_draw) for f in factors]
    shape = (*slope.shape[:-1], 2)
    whole = np.concatenate([np.broadcast_to(part, shape) for part in imbalance], axis=-1)
    shift = np.einsum("rdkj,rdkj->rdk", slope, whole)
    noise = np.maximum(squares - explained, 0) / (spare - used)
    return shift, _pooled(noise, means, spare - used)


def _pooled(noise: Floats, means: Floats, spare: int, weight: int = 6) -> Floats:
    """Variance within draws; from few pairs also by what a player's spread over draws suggests.

    By chance a few pairs may agree for one player. The share of the spread that lies within draws
    is estimated over all players, and counts as `weight` further pairs.
    """
    if means.shape[1] < 3 or spare >= 64:
        return noise
    spread = means.var(axis=1, ddof=1)
    ratio = noise.sum(axis=1) / _positive(spread.sum(axis=1))
    return np.asarray((spare * noise + weight * ratio[:, None] * spread) / (spare + weight))


def _moments(trend: Floats, factors: list[Floats], residual: Floats) -> tuple[Floats, Floats]:
    """Σ z zᵀ (R, d, k, q, q) and Σ z y (R, d, k, q) of z = trends (P, d, 2) × factors."""
    products = np.einsum("pdi,pdj->pdij", trend, trend)
    gram = [
        [np.einsum("pdij,rpdk->rdkij", products, f * g, optimize=True) for g in factors]
        for f in factors
    ]
    shape = (*residual.shape[:1], *residual.shape[2:], 2, 2)
    whole = np.block([[np.broadcast_to(g, shape) for g in row] for row in gram])
    moment = [np.einsum("pdj,rpdk->rdkj", trend, residual * f, optimize=True) for f in factors]
    return whole, np.concatenate(moment, axis=-1)


def _positive(scale: Floats) -> Floats:
    """Scales to divide by: 1 where they are 0."""
    return np.where(scale > 0, scale, 1.0)


def _positions(d: int) -> Floats:
    """Two trends (d, 2) over a walk's positions, by distance from its middle, with mean 0."""
    distance = np.abs(2 * np.arange(d) - (d - 1)) / max(d - 1, 1)
    trend = np.stack([distance, distance**2], axis=1)
    return np.asarray(trend - trend.mean(axis=0))


def _combine(
    game: Game,
    means: Floats,
    t: Floats,
    shift: Floats,
    noise: Floats | None,
    total: Floats,
) -> tuple[Floats, Floats]:
    """Mean over draws with v(N) − v(∅) regressed out, and its error: two-stage sampling.

    Parameters
    ----------
    means : (R, D, d, k), t : (R, D, k) of each draw; total : (R, k), the mean of t over all draws
    shift : (R, d, k), what is known to be too much in their mean
    noise : (R, d, k) variance of the mean of `means` that comes from within draws; None: unknown
    """
    count, several = means.shape[1], spreads(game)
    phi, t_mean = _mean(means), _mean(t)
    spare = max(count - 1, 1)
    centred, t_centred = means - phi[:, None], t - t_mean[:, None]
    var = np.einsum("rgdk,rgdk->rdk", centred, centred) / spare
    cov = np.einsum("rgdk,rgk->rdk", centred, t_centred) / spare
    var_t = np.einsum("rgk,rgk->rk", t_centred, t_centred) / spare
    gap = total - t_mean
    share = _share(var if count > 1 else np.zeros_like(var), phi)
    prior = (8 / count) * np.maximum(var_t, gap**2)[:, None]
    scale = var_t[:, None] + prior
    safe = _positive(scale)
    c = np.where(scale > 0, cov + prior * share, share) / safe
    values = phi + c * gap[:, None] - shift
    if noise is not None:  # what the shifts add up to falls on those that walks leave uncertain
        values = values + _share(noise, phi) * (total - values.sum(axis=1))[:, None]
    unknown = np.full_like(values, np.nan)
    if not several:  # one draw (or means over all draws): only the noise of walks
        return values, unknown if noise is None else np.sqrt(noise)
    whole = not game.sampled_draws and count == game.n_draws
    if count < 2 or (noise is None and whole):
        return values, unknown
    residual = np.maximum(var - 2 * c * cov + c**2 * var_t[:, None], 0)
    # what the fitted slope costs: a share of a degree of freedom, and its own error at the gap
    fitted = np.where(scale > 0, var_t[:, None], 0.0) / safe
    residual = residual * (count - 1) / np.maximum(count - 1 - fitted, 1e-12)
    slope = residual * (fitted * gap[:, None] ** 2 / safe) / spare
    if game.sampled_draws:
        extra = c**2 * var_t[:, None] / game.n_draws if not game.endless else 0.0
        return values, np.sqrt(residual / count + slope + extra)
    left = 1 / count - 1 / game.n_draws  # draws are taken without replacement
    if noise is None:
        return values, np.sqrt(residual / count + slope)
    between = np.maximum(residual - noise * count, 0)
    return values, np.sqrt(noise + left * between + slope * (left > 0))


def _mean(values: Floats) -> Floats:
    """Mean over axis 1, exact where all values are equal."""
    first = values[:, :1]
    return np.asarray(first[:, 0] + (values - first).mean(axis=1))


def _share(var: Floats, phi: Floats) -> Floats:
    """How to spread a gap before its slope is known: by variance, else by size, else evenly."""
    share = np.full_like(phi, 1 / phi.shape[1])
    for size in (phi**2, var):
        total = size.sum(axis=1, keepdims=True)
        share = np.where(total > 0, size / _positive(total), share)
    return share


def contributions(inner: Floats, low: Floats, high: Floats, ranks: NDArray[np.intp]) -> Floats:
    """Each player's mean contribution over a walk and its reverse, (R, P, d, k).

    Parameters
    ----------
    inner : (R, P, 2, d-1, k)
        Values of the first s = 1..d-1 players, and of all but them.
    low, high : (R, P, k), values of nothing and of everything; ranks : (P, d)
    """
    forward = np.concatenate([low[:, :, None], inner[:, :, 0], high[:, :, None]], axis=2)
    backward = np.concatenate([high[:, :, None], inner[:, :, 1], low[:, :, None]], axis=2)
    steps = np.diff(forward, axis=2) - np.diff(backward, axis=2)
    return np.take_along_axis(steps, ranks[None, :, :, None], axis=2) / 2
