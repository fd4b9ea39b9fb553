"""Semivalues by stretches of walks: only the part of an order where the weight lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.known import Known, keys_along
from xai.summary.base import (
    Attribution,
    Ends,
    Left,
    Looks,
    finish,
    new_end_cost,
    spreads,
    stops,
    unit_cost,
)
from xai.summary.two_stage import between_draws
from xai.summary.walks import blur

GOLDEN = (5**0.5 - 1) / 2
EVEN = 0.2
"""Share of the visits spread evenly over all sizes that count: a guard against rare large gains."""
ROUNDING = 1e-12
"""A variance is none below this share of its mean square."""
POINTS = 8
"""Points of walks, known ones and those passed over, for one that is evaluated."""


@dataclass(frozen=True)
class Stretches:
    """Walks and their reverses that stop only at the positions where the weight lies.

    Parameters
    ----------
    mass : (d,)
        The share of each size of S in a semivalue, ``C(d − 1, s) p_s``; sums to 1.

    Notes
    -----
    Walk j visits the positions s whose height g_s / max g exceeds u_j, for g the mass (a fifth of
    it spread evenly) and u_j evenly spread over [0, 1): neighbouring positions share coalitions,
    and where the mass is that of Shapley's value, all are visited. The first walk visits all that
    count. A player's value is the mean of its gains, each weighted by the mass of its position
    over how many walks visited that; the known mean of v(N) − v(∅) over all draws is regressed
    out. Two pairs of walks in a row share their draw. What several walks meet is evaluated once.
    """

    game: Game
    mass: NDArray[np.float64]
    pairs: int
    seed: int
    tolerance: float | None

    @property
    def size(self) -> int:
        """Pairs of walks on one draw."""
        several = spreads(self.game) and not self.game.endless and self.pairs > 1
        return 2 if several else 1

    def run(self) -> Attribution:
        """Walk, block of rows by block of rows."""
        game = self.game
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        values, errors = np.empty((2, n, d, k))
        cost = int(costs_up_to(game, self.mass, self.pairs, self.seed)[-1])
        game.progress.expect(n * cost + game.base_cost)
        unit = self.size * 2 * max(1, d - 1)
        # few rows and all their walks, where these fit: what two walks share is evaluated once
        at_once = max(cost // game.sample_cost, unit * (self.pairs // self.size) // POINTS)
        base, full = game.ends(np.arange(n))
        for rows, _ in game.blocks(at_once):
            ends = base[rows], full[rows]
            step = max(1, POINTS * game.room // (unit * len(rows)))
            values[rows], errors[rows] = self._block(rows, ends, step * self.size)
        return finish(game, values, errors, (base, full), tolerance=self.tolerance, ran="walks")

    def _block(self, rows: Indices, ends: Ends, step: int) -> tuple[Floats, Floats]:
        """Estimates and errors (R, d, k) of some rows; rows that meet the tolerance stop."""
        base, full = ends
        values, errors = np.empty((2, len(rows), self.game.n_players, base.shape[1]))
        weight = self._weights()
        active, moments, done = np.arange(len(rows)), None, 0
        known = Known(len(rows), base.shape[1])
        checks = stops(self.pairs // self.size, self.tolerance, first=8)
        looks = Looks(len(rows), checks, self.tolerance)
        for stop in looks:
            while done < stop * self.size:
                pairs = np.arange(done, min(done + step, stop * self.size))
                ends = base[active], full[active]
                found = self._walk(rows[active], ends, pairs, weight, known)
                moments = _Moments.of(found) if moments is None else moments
                moments.add(found)
                done = int(pairs[-1]) + 1
            assert moments is not None
            values[active], errors[active] = moments.estimate(
                self.game, self.size, blur(self.game, (base[active], full[active]))
            )
            left = looks.left(values[active], errors[active])
            active, moments = active[left], moments.keep(left)
            known.values = known.values[left]
        return values, errors

    def _weights(self) -> NDArray[np.float64]:
        """Weight (d,) of a gain at each position: its mass over its number of visits."""
        visits = np.zeros(len(self.mass))
        for part in streams.parts(self.pairs, len(self.mass)):
            pairs = np.arange(part.start, part.stop)
            visits += visited(self.mass, pairs, self.seed).sum(axis=0)
        return self.pairs * self.mass / np.maximum(visits, 1)

    def _walk(
        self, rows: Indices, ends: Ends, pairs: Indices, weight: NDArray[np.float64], known: Known
    ) -> _Gains:
        """Gains along some pairs of stretches."""
        game, d = self.game, self.game.n_players
        ranks = streams.ranks(self.seed, streams.PERMUTATION, pairs, d)
        at = visited(self.mass, pairs, self.seed)
        stop = _points(at)
        pair, s = np.nonzero(stop[:, 1:d])
        s, draws = s + 1, draws_of(game, pairs, self.seed)
        low, high = ends_at(game, rows, ends, draws, len(pairs))
        v = np.zeros((2, len(rows), len(pairs), d + 1, low.shape[-1]))
        v[:, :, :, 0], v[:, :, :, d] = low, high
        if len(pair):

            def evaluate(chosen: Indices) -> Floats:
                reverse, one = np.divmod(chosen, len(pair))
                place, size = ranks[pair[one]], s[one, None]
                S = np.where(reverse[:, None], place >= d - size, place < size)
                return game.grid(rows, S, None if draws is None else draws[pair[one]])

            inner = known.look(_keys(ranks, pair, s, draws, self.seed), evaluate)
            v[0][:, pair, s], v[1][:, pair, s] = np.split(inner, 2, axis=1)
        gains = np.zeros((len(rows), len(pairs), d, low.shape[-1]))
        total = np.zeros((len(pairs), d))
        # a gain between two points of which one was passed over has no weight
        pair, s = np.nonzero(at)
        order = np.argsort(ranks, axis=1)
        for walk, joins in zip(v, (order, order[:, ::-1]), strict=True):
            player = joins[pair, s]
            gains[:, pair, player] += (walk[:, pair, s + 1] - walk[:, pair, s]) * weight[s, None]
            total[pair, player] += weight[s]
        t = np.zeros_like(low)
        if spreads(game) and not game.endless and game.shares_empty:
            t = high - low - (ends[1] - ends[0])[:, None]
        group = (len(pairs) // self.size, self.size)
        return _Gains(
            gains.reshape(len(rows), *group, d, -1),
            total.reshape(*group, d),
            t.reshape(len(rows), *group, -1)[:, :, 0],
        )


def draws_of(game: Game, pairs: Indices, seed: int) -> Indices | None:
    """The draw of each pair of walks, of which two share one; None for means over all of them."""
    return draws_in_turn(game, pairs if game.endless else pairs // 2, seed)


def visited(mass: NDArray[np.float64], pairs: Indices, seed: int) -> Coalitions:
    """Positions (P, d) at which the walks of each pair look."""
    counts = mass > 0
    g = (1 - EVEN) * mass + EVEN * counts / counts.sum()
    first = streams.uniforms(seed, streams.SIZE, np.zeros(1, np.intp), 1)[0, 0]
    u = np.where(pairs == 0, 0.0, (first + pairs * GOLDEN) % 1)
    return np.asarray((g / g.max() > u[:, None]) & counts)


def _points(at: Coalitions) -> Coalitions:
    """Numbers of players (P, d+1) at which a walk must be evaluated."""
    stop = np.zeros((len(at), at.shape[1] + 1), bool)
    stop[:, :-1] |= at
    stop[:, 1:] |= at
    return stop


def _keys(
    ranks: Indices, pair: Indices, s: Indices, draws: Indices | None, seed: int
) -> NDArray[np.uint64]:
    """A number for the coalition and the draw of each point, (2 C,): the walks', the reverses'.

    That of the coalition, and a random number of its draw.

    Parameters
    ----------
    ranks : (P, d); pair, s : (C,), of which walk, and how many players; draws : (P,)
    """
    d = ranks.shape[1]
    sums = keys_along(np.argsort(ranks, axis=1), seed)
    walk, reverse = sums[pair, s], sums[pair, d] - sums[pair, d - s]
    if draws is None:
        return np.concatenate([walk, reverse])
    own = streams.bits(seed, streams.DRAW, draws[pair], 1)[:, 0]
    return np.concatenate([walk + own, reverse + own])


def costs_up_to(game: Game, mass: NDArray[np.float64], pairs: int, seed: int) -> NDArray[np.intp]:
    """Model rows of the first 1, 2, … pairs of stretches, (pairs,); equal inputs cost once."""
    d = game.n_players
    keys, owners = [], []
    for part in streams.parts(pairs, d):
        some = np.arange(part.start, part.stop)
        pair, s = np.nonzero(_points(visited(mass, some, seed))[:, 1:d])
        ranks = streams.ranks(seed, streams.PERMUTATION, some, d)
        keys.append(_keys(ranks, pair, s + 1, draws_of(game, some, seed), seed))
        owners.append(np.tile(some[pair], 2))
    owner = np.concatenate(owners)
    # in the order of the pairs: the first that has an input pays for it
    order = np.argsort(owner, kind="stable")
    first = np.unique(np.concatenate(keys)[order], return_index=True)[1]
    new = np.bincount(owner[order][first], minlength=pairs)
    return np.cumsum(unit_cost(game) * new + new_end_cost(game))


def affordable(game: Game, mass: NDArray[np.float64], rows: int, seed: int) -> int:
    """How many pairs of stretches, which differ in length, fit so many model rows: at least 1.

    Fewer than four for a row: pairs that meet nothing new still take the host's time.
    """
    pairs = max(1, rows // max(1, int(costs_up_to(game, mass, 1, seed)[0])))  # none is longer
    while (costs := costs_up_to(game, mass, pairs, seed))[-1] <= rows and pairs < 2 * rows:
        pairs *= 2
    return max(1, int(np.searchsorted(costs, rows, side="right")))


class _Gains(NamedTuple):
    """What groups of pairs say.

    gains : (R, G, size, d, k), weighted; weight : (G, size, d); t : (R, G, k), v(N) − v(∅) at the
    group's draw over its mean
    """

    gains: Floats
    weight: Floats
    t: Floats


@dataclass
class _Moments:
    """Running sums over groups of z = (weighted gains, weights, t · weights).

    Attributes
    ----------
    shift : (R, d, k), taken off every gain
    z, between, inside : (R, d, k, 3) and twice (R, d, k, 3, 3)
        Sums of z, of its square, and of the square of half the difference inside a group.
    tz : (R, d, k, 3), sum of t · z; t, t2 : (R, k); seen : (d,), groups that met a player
    """

    groups: int
    seen: Floats
    shift: Floats
    z: Floats
    between: Floats
    inside: Floats
    tz: Floats
    t: Floats
    t2: Floats

    @classmethod
    def of(cls, found: _Gains) -> _Moments:
        """No groups yet; the shift is what the first says."""
        r, _, _, d, k = found.gains.shape
        weight = found.weight[0].sum(axis=0)[:, None]
        first = found.gains[:, 0].sum(axis=1)
        shift = np.where(weight > 0, first, 0.0) / np.where(weight > 0, weight, 1.0)
        vectors, squares, t = np.zeros((r, d, k, 3)), np.zeros((r, d, k, 3, 3)), np.zeros((r, k))
        return cls(0, np.zeros(d), shift, vectors, squares, squares, vectors, t, t)

    def add(self, found: _Gains) -> None:
        """Add groups."""
        gains = found.gains - self.shift[:, None, None] * found.weight[None, ..., None]
        t = found.t if found.t.any() else None
        mean, weight = gains.mean(axis=2), found.weight.mean(axis=1)
        self.groups += len(weight)
        self.seen = self.seen + (weight > 0).sum(axis=0)
        self.z = self.z + _sums(mean, weight, t)
        self.between = self.between + _squares(mean, weight, t)
        if gains.shape[2] > 1:
            first, second = found.weight[:, 0], found.weight[:, 1]
            half = (gains[:, :, 0] - gains[:, :, 1]) / 2
            self.inside = self.inside + _squares(half, (first - second) / 2, t)
        if t is not None:
            self.tz = self.tz + _sums(mean * t[:, :, None], weight, t, t)
            self.t, self.t2 = self.t + t.sum(axis=1), self.t2 + (t**2).sum(axis=1)

    def keep(self, rows: Left) -> _Moments:
        """The sums of some of the rows."""
        of_all = ("groups", "seen")
        return replace(self, **{n: v[rows] for n, v in vars(self).items() if n not in of_all})

    def estimate(self, game: Game, size: int, fine: Floats) -> tuple[Floats, Floats]:
        """Values and standard errors (R, d, k); NaN for a player no walk has met.

        A spread of t below `fine` (R, k) is rounding.
        """
        total = np.where(self.z[..., 1] > 0, self.z[..., 1], np.nan)
        y, x = self.z[..., 0] / total, self.z[..., 2] / total
        square = self.tz[..., 2] / total
        # else a slope of rounding over rounding
        varies = (square - x**2 > ROUNDING * square) & (square > fine[:, None] ** 2)
        variance = np.where(varies, square - x**2, 0.0)
        # the walks that meet a player may by chance have draws of nearly one t, and any slope
        usual = np.maximum(variance, (self.t2 / self.groups)[:, None])
        prior = 8 / np.maximum(self.seen, 1)[:, None] * usual
        scale = np.where(varies, variance + prior, 1.0)
        slope = np.where(varies, self.tz[..., 0] / total - x * y, 0.0) / scale
        value = y - slope * x
        u = np.stack([np.ones_like(value), -value, -slope], axis=-1)
        between, inside = (
            np.maximum(np.einsum("rdki,rdkij,rdkj->rdk", u, m, u), 0)
            for m in (self.between, self.inside)
        )
        error = self._error(game, size, between, inside, variance / scale) * self.groups / total
        if game.sampled_draws and self.groups > 1:
            spread = (self.t2 - self.t**2 / self.groups) / (self.groups - 1) / game.n_draws
            error = np.sqrt(error**2 + slope**2 * np.maximum(spread, 0)[:, None])
        return value + self.shift, error

    def _error(
        self, game: Game, size: int, between: Floats, inside: Floats, fitted: Floats
    ) -> Floats:
        """Of a group's mean: two-stage sampling, draws first, walks within them."""
        count = self.groups
        spare = self.seen[:, None] - 1 - fitted
        # a player is met by some groups only; each that meets it is one observation
        residual = between / count * self.seen[:, None] / np.where(spare > 0, spare, np.nan)
        if size == 1:
            return np.sqrt(residual / count)
        inside = inside / count
        between = between_draws(game, count) * np.maximum(residual - inside, 0)
        error = np.sqrt(inside / count + between)
        return np.where(spare > 0, error, np.nan)


def _sums(g: Floats, w: Floats, t: Floats | None, times: Floats | None = None) -> Floats:
    """Sums over groups of (g, w, t w), of the last two times something: (R, d, k, 3).

    Parameters
    ----------
    g : (R, G, d, k); w : (G, d); t, times : (R, G, k); None: t is 0, times 1
    """
    out = np.zeros((*np.delete(g.shape, 1), 3))
    out[..., 0] = g.sum(axis=1)
    out[..., 1] = w.sum(axis=0)[:, None] if times is None else _along(w, times)
    if t is not None:
        out[..., 2] = _along(w, t if times is None else t * times)
    return out


def _squares(g: Floats, w: Floats, t: Floats | None) -> Floats:
    """Sums over groups of all products of two of (g, w, t w), as `_sums` has them: (…, 3, 3)."""
    out = np.zeros((*np.delete(g.shape, 1), 3, 3))
    out[..., 0, 0] = np.einsum("rgdk,rgdk->rdk", g, g)
    out[..., 0, 1] = out[..., 1, 0] = np.einsum("rgdk,gd->rdk", g, w)
    out[..., 1, 1] = (w**2).sum(axis=0)[:, None]
    if t is not None:
        out[..., 0, 2] = out[..., 2, 0] = np.einsum("rgdk,gd->rdk", g * t[:, :, None], w)
        out[..., 1, 2] = out[..., 2, 1] = _along(w**2, t)
        out[..., 2, 2] = _along(w**2, t**2)
    return out


def _along(w: Floats, t: Floats) -> Floats:
    """Sums over groups of w (G, d) times t (R, G, k): (R, d, k)."""
    return np.asarray(w.T @ t)


def draws_in_turn(game: Game, groups: Indices, seed: int) -> Indices | None:
    """The draw of each group of walks; None where values are means over all of them."""
    if not game.commutes:
        return None
    if not spreads(game):
        return np.zeros(len(groups), np.intp)
    return groups if game.endless else streams.cycles(seed, groups, game.n_draws)


def ends_at(game: Game, rows: Indices, ends: Ends, draws: Indices | None, count: int) -> Ends:
    """Values of nothing and of everything at each walk's draw, (R, P, k) each.

    Parameters
    ----------
    ends : (R, k) each, the same over all draws
    """
    if not spreads(game) or draws is None:
        base, full = (np.repeat(end[:, None], count, axis=1) for end in ends)
        return base, full
    distinct, place = np.unique(draws, return_inverse=True)
    low, high = game.ends_by_draw(rows, distinct)
    return low[:, place], high[:, place]
