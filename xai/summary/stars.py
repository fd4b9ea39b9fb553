"""Stars: a coalition drawn at random, with each player changed, and each two players.

Of any player its difference from the centre is a sample, of any two their second difference, on one
draw: ``1 + d`` values tell of all players, ``1 + d + d(d − 1)/2`` of all pairs. The others are of a
size as the index wants them for each player, and for each pair, at once, if the centre itself is
drawn by the same semivalue of one player more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb

import numpy as np

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices, Masses, mean_of_draws
from xai.summary.base import Attribution, Left, Looks, Plan, finish, spreads, stops, unit_cost
from xai.summary.closed import of_coins
from xai.summary.stretches import GOLDEN, draws_in_turn
from xai.summary.walks import blur

CONTROLLED = {2: (3, 6), 3: (4, 12, 20)}
"""From how many stars each control is regressed on, by how many there are."""
VARIES = 0.2
"""Least variance of a control among the stars, as a part of that among all."""
REVISITED = 16
"""Most draws whose second star is held against the first, for what of their spread is within."""


def star_cost(game: Game, order: int) -> int:
    """Model rows of a star, with each two players changed for order 2."""
    d = game.n_players
    return (1 + d + comb(d, 2) * (order == 2)) * unit_cost(game)


@dataclass(frozen=True)
class Stars:
    """Stars of all rows of a game, each on a draw of its own as far as there are so many.

    Parameters
    ----------
    count : number of stars, for each row
    masses : the index, by its semivalue
    order : 1 for values, 2 for interactions
    """

    game: Game
    count: int
    masses: Masses
    plan: Plan
    order: int

    def run(self, values: Floats | None = None) -> tuple[Floats, Floats]:
        """Values and errors (n, d, k), or I_ij (n, d(d-1)/2, k) for i < j in their order.

        With a tolerance a row stops where the largest error meets it, as a fraction of the range of
        its values: of these, or of those found.
        """
        game, d = self.game, self.game.n_players
        S, draws = self._coalitions(), self._draws()
        one, pairs = np.eye(d, dtype=bool), self.order == 2
        i, j = np.triu_indices(d if pairs else 0, 1)
        changed = np.concatenate([np.zeros((1, d), bool), one, one[i] | one[j]])
        width, of_size = len(i) if pairs else d, self._of_size(S)
        found, errors = np.empty((2, game.n_rows, width, game.n_outputs))
        game.progress.expect_more(game.n_rows * self.count * star_cost(game, self.order))
        checks = stops(self.count, self.plan.tolerance, first=16)
        for rows, step in game.blocks(max(len(changed), game.n_draws)):
            active, done = rows, 0
            sums, gaps = _Sums(game, self._distinct), self._gaps(rows)
            looks = Looks(len(rows), checks, self.plan.tolerance)
            for stop in looks:
                while done < stop:
                    part = slice(done, min(done + step, stop))
                    own = None if draws is None else np.repeat(draws[part], len(changed))
                    coalitions = (S[part, None] ^ changed).reshape(-1, d)
                    v = game.grid(active, coalitions, own)
                    v = v.reshape(len(active), -1, len(changed), v.shape[-1])
                    gains, joins = v[:, :, 1 : d + 1] - v[:, :, :1], ~S[part]
                    if pairs:
                        gains = v[:, :, d + 1 :] - v[:, :, :1] - gains[:, :, i] - gains[:, :, j]
                        joins = S[part][:, i] == S[part][:, j]
                    shape = (len(active), len(joins), 2, game.n_outputs)
                    controls = np.broadcast_to(of_size[part, :, None], shape)
                    if gaps is not None and draws is not None:
                        own_gaps = gaps[:, draws[part], None]
                        controls = np.concatenate(
                            [controls[:, :, :1], own_gaps, controls[:, :, 1:]], axis=2
                        )
                    sums.add(np.where(joins[..., None], gains, -gains), controls)
                    done = part.stop
                found[active], errors[active] = sums.estimate()
                left = looks.left((found if values is None else values)[active], errors[active])
                active, gaps = active[left], None if gaps is None else gaps[left]
                sums.keep(left)
        return found, errors

    def _coalitions(self) -> Coalitions:
        """The stars' centres; their sizes are spread evenly."""
        d, samples = self.game.n_players, np.arange(self.count)
        first = streams.uniforms(self.plan.seed, streams.SIZE, np.zeros(1, np.intp), 1)[0, 0]
        chance = np.cumsum(self.masses(d + 1))
        size = np.searchsorted(chance, (first + samples * GOLDEN) % 1, side="right")
        return streams.subsets(self.plan.seed, samples, np.minimum(size, d), d)

    def _of_size(self, S: Coalitions) -> Floats:
        """Controls (S, 2): a star's size and its square, uncorrelated and of variance 1."""
        d, found = self.game.n_players, list[Floats]()
        mass = self.masses(d + 1)
        for power in (1, 2):
            own = (np.arange(d + 1) / d) ** power
            own = own - mass @ own - sum((mass @ (own * other)) * other for other in found)
            scale = np.sqrt(mass @ own**2)
            found.append(own / scale if scale > 1e-9 else np.zeros(d + 1))
        return np.asarray(np.stack(found, axis=1)[S.sum(axis=1)])

    def _gaps(self, rows: Indices) -> Floats | None:
        """A control where it costs nothing: v(N) − v(∅) at each draw, (R, m, k), as it varies."""
        game = self.game
        if not spreads(game) or game.endless or not game.shares_empty:
            return None
        low, high = game.ends_by_draw(rows, np.arange(game.n_draws))
        gap = high - low - mean_of_draws(high - low)[:, None]
        scale = np.sqrt((gap**2).mean(axis=1, keepdims=True))
        varies = scale > blur(game, game.ends(rows))[:, None]
        return np.asarray(np.where(varies, gap / np.where(varies, scale, 1.0), 0.0))

    @property
    def _distinct(self) -> int:
        """How many draws have stars: nearly all that could, so that a few are met once more."""
        if not spreads(self.game) or self.game.endless:
            return self.count
        again = self.count // 8 if self.count > 3 else 0
        return min(self.game.n_draws, self.count - again)

    def _draws(self) -> Indices | None:
        """Each star's draw; None where values are means over all of them."""
        return draws_in_turn(self.game, np.arange(self.count) % self._distinct, self.plan.seed)


def by_single_stars(game: Game, plan: Plan, count: int) -> Attribution:
    """Banzhaf values by stars."""
    found, errors = Stars(game, count, of_coins, plan, 1).run()
    ends = game.ends(np.arange(game.n_rows))
    return finish(game, found, errors, ends, tolerance=plan.tolerance, ran="stars")


@dataclass
class _Sums:
    """Running sums over the stars of some rows, (R, q, k): of differences from the first.

    Attributes
    ----------
    distinct : the star so many later is on the same draw
    known : (R, F, k) sums of controls, whose means over all stars are 0; gram : of their products
        (a star's size, the gap at its draw, the size's square: each from some number of stars on)
    moments : (R, F, q, k), sums of their products with gains
    again, again_moments, again_gram : the same sums of squares and products, of the differences
        between the first stars and those on the same draw
    """

    game: Game
    distinct: int
    count: int = 0
    compared: int = 0
    firsts: list[tuple[Floats, Floats]] = field(default_factory=list)

    def add(self, gains: Floats, controls: Floats) -> None:
        """Take in some stars, (R, S, q, k), with controls (R, S, F, k)."""
        if self.count == 0:
            self.shift, known = gains[:, 0].copy(), np.zeros_like(controls[:, 0])
            self.total, self.squares, self.again = np.zeros((3, *self.shift.shape))
            self.known, gram = known, _products(known, known)
            self.gram, self.again_gram = gram, gram
            self.moments = self.again_moments = _products(known, np.zeros_like(self.shift))
        gains = gains - self.shift[:, None]
        self.total = self.total + gains.sum(axis=1)
        self.squares = self.squares + (gains**2).sum(axis=1)
        self.known = self.known + controls.sum(axis=1)
        self.gram = self.gram + np.einsum("rsfk,rsgk->rfgk", controls, controls)
        self.moments = self.moments + np.einsum("rsfk,rsqk->rfqk", controls, gains)
        for at, star in enumerate(range(self.count, self.count + gains.shape[1])):
            own = gains[:, at].copy(), controls[:, at].copy()
            if star < min(REVISITED, self.distinct):
                self.firsts.append(own)
            if self.distinct <= star < self.distinct + len(self.firsts):
                step, moved = (
                    a - b for a, b in zip(own, self.firsts[star - self.distinct], strict=True)
                )
                self.again = self.again + step**2
                self.again_moments = self.again_moments + _products(moved, step)
                self.again_gram = self.again_gram + _products(moved, moved)
                self.compared += 1
        self.count += gains.shape[1]

    def keep(self, rows: Left) -> None:
        """Go on with some of the rows."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[rows])
        self.firsts = [(gains[rows], controls[rows]) for gains, controls in self.firsts]

    def estimate(self) -> tuple[Floats, Floats]:
        """Means and standard errors.

        What hangs on controls is regressed out. How much of the spread is within draws is one share
        for all players, or all pairs.
        """
        n, m, mean = self.count, self.game.n_draws, self.total / self.count
        if n < 2:
            return mean + self.shift, np.full_like(mean, np.nan)
        off = self.known / n
        moments = self.moments - n * _products(off, mean)
        gram = np.moveaxis(self.gram - n * _products(off, off), -1, 1)
        used = sum(n >= least for least in CONTROLLED[gram.shape[-1]])
        inverse, rank = _inverse(gram / n, used)
        slope = np.einsum("rkfg,rgqk->rfqk", inverse / n, moments)
        left = self.squares - n * mean**2 - (slope * moments).sum(axis=1)
        spread = np.maximum(left, 0) / (n - 1 - rank)[:, None]
        mean = mean + self.shift - np.einsum("rfk,rfqk->rqk", off, slope)
        of_slope = spread * np.einsum("rfk,rkfg,rgk->rk", off, inverse / n, off)[:, None]
        if not self.compared:
            return mean, np.sqrt(spread / n + of_slope)
        again = self.again - 2 * (slope * self.again_moments).sum(axis=1)
        again = again + np.einsum("rfqk,rgqk,rfgk->rqk", slope, slope, self.again_gram)
        # both of what the regression left: of its own degrees of freedom neither has any
        whole = np.maximum(left, 0).mean(axis=1) / (n - 1)
        inside = again.mean(axis=1) / (2 * self.compared)
        share = np.ones_like(whole)
        np.divide(inside, whole, out=share, where=whole > 0)
        share = np.clip(share, 0, 1)[:, None]
        visits = np.bincount(np.arange(n) % self.distinct)
        between = float((visits**2).sum()) / n**2 - (0 if self.game.sampled_draws else 1 / m)
        return mean, np.sqrt(spread * (share / n + (1 - share) * max(between, 0)) + of_slope)


def _products(a: Floats, b: Floats) -> Floats:
    """(R, F, k), (R, q, k) -> (R, F, q, k)."""
    return np.asarray(a[:, :, None] * b[:, None])


def _inverse(products: Floats, used: int) -> tuple[Floats, Floats]:
    """Inverses (R, k, F, F) for the first controls, and ranks (R, k).

    Only where stars differ about as they do among all: slopes of less would be slopes of chance.
    """
    out, rank = np.zeros_like(products), np.zeros(products.shape[:2])
    if used:
        roots, axes = np.linalg.eigh(products[..., :used, :used])
        told = roots > VARIES
        rank = told.sum(axis=-1)
        parts = np.where(told, 1 / np.where(told, roots, 1.0), 0.0)
        out[..., :used, :used] = np.einsum("...fi,...i,...gi->...fg", axes, parts, axes)
    return out, rank
