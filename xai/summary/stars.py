"""Interactions from stars: a coalition drawn at random, with each one and each two players changed.

Of any two players its second difference is a sample, at one draw: ``1 + d + d(d − 1)/2`` values
tell of all pairs. The rest of the coalition is of a size as the index wants it for each pair at
once, if the coalition itself is drawn by the same semivalue of one player more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices, Masses
from xai.summary.base import Left, Looks, Plan, spreads, stops, unit_cost
from xai.summary.stretches import GOLDEN

REVISITED = 16
"""Most draws whose second star is held against the first, for what of their spread is within."""


def star_cost(game: Game) -> int:
    """Model rows of a star."""
    d = game.n_players
    return (1 + d + comb(d, 2)) * unit_cost(game)


@dataclass(frozen=True)
class Stars:
    """Stars of all rows of a game, each on a draw of its own as far as there are so many.

    Parameters
    ----------
    count : number of stars, for each row
    masses : the index, by its semivalue
    """

    game: Game
    count: int
    masses: Masses
    plan: Plan

    def run(self, values: Floats) -> tuple[Floats, Floats]:
        """I_ij and errors (n, d(d-1)/2, k) for i < j in their order.

        With a tolerance a row stops where the largest error meets it, as a fraction of the range of
        its `values` (n, d, k).
        """
        game, d = self.game, self.game.n_players
        found, errors = np.empty((2, game.n_rows, comb(d, 2), game.n_outputs))
        S, draws = self._coalitions(), self._draws()
        i, j = np.triu_indices(d, 1)
        one = np.eye(d, dtype=bool)
        changed = np.concatenate([np.zeros((1, d), bool), one, one[i] | one[j]])
        game.progress.expect_more(game.n_rows * self.count * star_cost(game))
        checks = stops(self.count, self.plan.tolerance, first=16)
        for rows, step in game.blocks(len(changed)):
            active, done = rows, 0
            sums = _Sums(game, self._trend(S), self._distinct)
            looks = Looks(len(rows), checks, self.plan.tolerance)
            for stop in looks:
                while done < stop:
                    part = slice(done, min(done + step, stop))
                    own = None if draws is None else np.repeat(draws[part], len(changed))
                    coalitions = (S[part, None] ^ changed).reshape(-1, d)
                    v = game.grid(active, coalitions, own)
                    v = v.reshape(len(active), -1, len(changed), v.shape[-1])
                    alone, both = v[:, :, 1 : d + 1], v[:, :, d + 1 :]
                    gains = both - alone[:, :, i] - alone[:, :, j] + v[:, :, :1]
                    sums.add(gains * np.where(S[part, i] == S[part, j], 1.0, -1.0)[..., None])
                    done = part.stop
                found[active], errors[active] = sums.estimate()
                left = looks.left(values[active], errors[active])
                active = active[left]
                sums.keep(left)
        return found, errors

    def _coalitions(self) -> Coalitions:
        """The stars' centres; their sizes are spread evenly."""
        d, samples = self.game.n_players, np.arange(self.count)
        first = streams.uniforms(self.plan.seed, streams.SIZE, np.zeros(1, np.intp), 1)[0, 0]
        chance = np.cumsum(self.masses(d + 1))
        size = np.searchsorted(chance, (first + samples * GOLDEN) % 1, side="right")
        return streams.subsets(self.plan.seed, samples, np.minimum(size, d), d)

    def _trend(self, S: Coalitions) -> NDArray[np.float64]:
        """The sizes (S, 2) and their squares, less their means, over the number of players."""
        d, mass = self.game.n_players, self.masses(self.game.n_players + 1)
        sizes = np.arange(d + 1) / d
        powers = np.stack([sizes, sizes**2], axis=1)
        return np.asarray((powers - mass @ powers)[S.sum(axis=1)])

    @property
    def _distinct(self) -> int:
        """How many draws have stars: nearly all that could, so that a few are met once more."""
        if not spreads(self.game) or self.game.endless:
            return self.count
        again = self.count // 8 if self.count > 3 else 0
        return min(self.game.n_draws, self.count - again)

    def _draws(self) -> Indices | None:
        """Each star's draw; None where values are means over all of them."""
        if not self.game.commutes:
            return None
        samples = np.arange(self.count)
        if not spreads(self.game) or self.game.endless:
            return samples if self.game.endless else np.zeros(self.count, np.intp)
        m = self.game.n_draws
        return streams.cycles(self.plan.seed, np.arange(m), m)[samples % self._distinct]


@dataclass
class _Sums:
    """Running sums over the stars of some rows, (R, pairs, k): of differences from the first.

    Attributes
    ----------
    trend : (S, 2), each star's size and its square, less their means over all coalitions
    distinct : the star so many later is on the same draw
    moments, again_moments : sums of products with `trend`
    again : of squares of the differences between the first stars and those on the same draw
    """

    game: Game
    trend: NDArray[np.float64]
    distinct: int
    count: int = 0
    shift: Floats = field(default_factory=lambda: np.zeros(0))
    total: Floats = field(default_factory=lambda: np.zeros(0))
    squares: Floats = field(default_factory=lambda: np.zeros(0))
    moments: list[Floats] = field(default_factory=list)
    again: Floats = field(default_factory=lambda: np.zeros(0))
    again_moments: list[Floats] = field(default_factory=list)
    firsts: list[Floats] = field(default_factory=list)

    def add(self, gains: Floats) -> None:
        """Take in some stars, (R, S, pairs, k)."""
        if self.count == 0:
            self.shift = gains[:, 0].copy()
            self.total, self.squares, self.again = np.zeros((3, *self.shift.shape))
            self.moments, self.again_moments = ([self.total, self.total] for _ in range(2))
        gains = gains - self.shift[:, None]
        self.total = self.total + gains.sum(axis=1)
        self.squares = self.squares + (gains**2).sum(axis=1)
        for star in np.moveaxis(gains, 1, 0):
            n, first = self.count, self.count - self.distinct
            self.moments = [m + f * star for m, f in zip(self.moments, self.trend[n], strict=True)]
            if n < min(REVISITED, self.distinct):
                self.firsts.append(star.copy())
            if 0 <= first < len(self.firsts):
                step, moved = star - self.firsts[first], self.trend[n] - self.trend[first]
                self.again = self.again + step**2
                self.again_moments = [
                    m + f * step for m, f in zip(self.again_moments, moved, strict=True)
                ]
            self.count += 1

    def keep(self, rows: Left) -> None:
        """Go on with some of the rows."""
        for name in ("shift", "total", "squares", "again"):
            setattr(self, name, getattr(self, name)[rows])
        for name in ("moments", "again_moments", "firsts"):
            setattr(self, name, [each[rows] for each in getattr(self, name)])

    def estimate(self) -> tuple[Floats, Floats]:
        """Means and standard errors.

        What hangs on a star's size is regressed out, since its mean over all coalitions is known.
        How much of the spread is within draws is one share for all pairs of players.
        """
        n, m, mean = self.count, self.game.n_draws, self.total / self.count
        if n < 2:
            return mean + self.shift, np.full_like(mean, np.nan)
        used = 0 if n < 3 else 1 if n < 6 else 2
        trend = self.trend[:n, :used]
        off = trend.mean(axis=0)
        moments = np.array([self.moments[f] - n * off[f] * mean for f in range(used)])
        inverse = np.linalg.pinv((trend - off).T @ (trend - off))
        slope = np.einsum("fg,g...->f...", inverse, moments) if used else moments
        left = self.squares - n * mean**2 - (slope * moments).sum(axis=0)
        spread = np.maximum(left, 0) / (n - 1 - used)
        mean = mean + self.shift - np.einsum("f,f...->...", off, slope)
        compared = min(max(n - self.distinct, 0), len(self.firsts))
        if not compared:
            return mean, np.sqrt(spread / n)
        moved = trend[self.distinct : self.distinct + compared] - trend[:compared]
        again = self.again - 2 * sum(slope[f] * self.again_moments[f] for f in range(used))
        again = again + np.einsum("f...,g...,fg->...", slope, slope, moved.T @ moved)
        # both of what the regression left: of its own degrees of freedom neither has any
        whole = (spread * (n - 1 - used) / (n - 1)).mean(axis=1)
        inside = again.mean(axis=1) / (2 * compared)
        share = np.ones_like(whole)
        np.divide(inside, whole, out=share, where=whole > 0)
        share = np.clip(share, 0, 1)[:, None]
        visits = np.bincount(np.arange(n) % self.distinct)
        between = float((visits**2).sum()) / n**2 - (0 if self.game.sampled_draws else 1 / m)
        return mean, np.sqrt(spread * (share / n + (1 - share) * max(between, 0)))
