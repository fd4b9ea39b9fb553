"""Walks in rounds of orders in which every two players are neighbours once.

What a walk says of the players is their Shapley value; with one coalition more for each two
neighbours, on the same draw, it tells of their interaction, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xai import streams
from xai.game import Floats, Game, Indices
from xai.summary.base import Ends, Left, Looks, spreads, stops
from xai.summary.two_stage import between_draws, on_gap, shares_of_gap
from xai.summary.walks import blur, pair_cost


@dataclass(frozen=True)
class Walks:
    """Antithetic walks of all rows of a game, in rounds; two rounds in a row share their draws.

    Parameters
    ----------
    count : walks, each with its reverse; a multiple of `each`
    ranks : samples (P,) -> the position of each player (P, d)
    each : walks in a round; rounds are independent, the walks of one need not be

    Notes
    -----
    The error within draws is told from the spread between them by the rounds that share draws.
    The known mean of v(N) − v(∅) over all draws is a control variate: the gap between it and that
    of the draws used is regressed out (at first in proportion to the variances), which makes
    values efficient, and leaves dummies at 0. How far the walks of a round balance each other is
    one ratio for all players.
    """

    game: Game
    count: int
    seed: int
    tolerance: float | None
    ranks: Callable[[Indices], Indices]
    each: int = 1

    @property
    def size(self) -> int:
        """Walks on one draw."""
        shares = spreads(self.game) and not self.game.endless and self.count >= 2 * self.each
        return 2 if shares else 1

    @property
    def paired(self) -> int:
        """Walks in full groups: all, but for a last round that has no partner."""
        return self.count - self.count % (self.size * self.each)

    def run(self) -> tuple[tuple[Floats, Floats, Ends], tuple[Floats, Floats]]:
        """Values and errors (n, d, k) and the game's ends; interactions and errors (n, d, d, k)."""
        game = self.game
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        values, errors = np.empty((2, n, d, k))
        game.progress.expect(n * self.count * pair_cost(game, d - 1) + game.base_cost)
        base, full = game.ends(np.arange(n))
        near = _Neighbours(game, self.seed, self.each)
        for rows, step in game.blocks(self.size * max(1, 4 * (d - 1))):
            ends = base[rows], full[rows]
            values[rows], errors[rows] = self._block(rows, ends, step * self.size, near)
        return (values, errors, (base, full)), near.estimate()

    def _block(
        self, rows: Indices, ends: Ends, step: int, near: _Neighbours
    ) -> tuple[Floats, Floats]:
        """Estimates and errors (R, d, k) of some rows; rows that meet the tolerance stop."""
        base, full = ends
        values, errors = np.empty((2, len(rows), self.game.n_players, base.shape[1]))
        active, moments, done = np.arange(len(rows)), None, 0
        looks = Looks(len(rows), self._stops(), self.tolerance)
        for stop in looks:
            while done < stop:
                walks = np.arange(done, min(done + step, stop))
                phi, t = self._walk(rows[active], (base[active], full[active]), walks, near)
                groups = phi.reshape(len(active), -1, self.size, *phi.shape[2:])
                if moments is None:
                    moments = Moments.empty(groups[:, 0].mean(axis=1), t[:, 0])
                moments.add(groups, t[:, :: self.size], self.each)
                done = int(walks[-1]) + 1
            assert moments is not None
            ends = base[active], full[active]
            values[active], errors[active], slope = moments.estimate(
                ends, self.game, self.size, self.each
            )
            left = looks.left(values[active], errors[active])
            active, moments, slope = active[left], moments.keep(left), slope[left]
        if done < self.count and len(active):
            total = full[active] - base[active]
            walks = np.arange(done, self.count)
            phi, t = self._walk(rows[active], (base[active], full[active]), walks, near)
            rest = phi.mean(axis=1) + slope * (total - t.mean(axis=1))[:, None]
            share = done / self.count
            values[active] = share * values[active] + (1 - share) * rest
            errors[active] *= np.sqrt(share)
        return values, errors

    def _stops(self) -> list[int]:
        """Numbers of walks after which the tolerance is checked."""
        unit = self.each * self.size
        checks = stops(self.paired // unit, self.tolerance, first=-(-8 // self.each))
        return [unit * stop for stop in checks]

    def _samples(self, walks: Indices) -> Indices:
        """The walks' samples: those of two rounds in turn, as they share their draws."""
        if self.size == 1:
            return walks
        both, inside = np.divmod(walks, 2 * self.each)
        place, which = np.divmod(inside, 2)
        return np.where(walks < self.paired, (2 * both + which) * self.each + place, walks)

    def _draws(self, walks: Indices) -> Indices | None:
        """The walks' draws; None where values are means over all of them."""
        groups = np.where(walks < self.paired, walks // self.size, walks - self.paired // 2)
        return draws_in_turn(self.game, groups, self.seed)

    def _walk(
        self, rows: Indices, ends: Ends, walks: Indices, near: _Neighbours
    ) -> tuple[Floats, Floats]:
        """Contributions along walks and their reverses (R, P, d, k), and v(N) − v(∅) (R, P, k)."""
        game, d = self.game, self.game.n_players
        samples, draws = self._samples(walks), self._draws(walks)
        ranks = self.ranks(samples)
        low, high = ends_at(game, rows, ends, draws, len(walks))
        place, s = ranks[:, None], np.arange(d - 1)[:, None]
        # the first s + 1 players, and the first s with the one after the next
        some = np.concatenate([place <= s, (place < s) | (place == s + 1)], axis=1)
        both = np.stack([some, ~some], axis=1)
        values = np.empty((len(rows), *both.shape[:3], low.shape[-1]))
        if both.size:
            own = None if draws is None else np.repeat(draws, both.shape[1] * both.shape[2])
            values = game.grid(rows, both.reshape(-1, d), own).reshape(values.shape)
        one, other = values[:, :, 0], values[:, :, 1]
        none, every = low[:, :, None], high[:, :, None]
        forward = np.concatenate([none, one[:, :, : d - 1], every], axis=2)
        backward = np.concatenate([every, other[:, :, : d - 1], none], axis=2)
        near.add(rows, samples, ranks, forward, backward, one[:, :, d - 1 :], other[:, :, d - 1 :])
        steps = (np.diff(forward, axis=2) - np.diff(backward, axis=2)) / 2
        return np.take_along_axis(steps, ranks[None, :, :, None], axis=2), high - low


def neighbour_ranks(seed: int, samples: Indices, d: int) -> Indices:
    """Positions (P, d) of the players in orders of which each ⌈d/2⌉ in a row are one round.

    In a round every two players are neighbours once: row j of Williams's square is
    j, j + 1, j − 1, j + 2, j − 2, …, modulo an even number of labels. With an odd d, one label is
    nobody's; those whom only it parts are no neighbours (`_Neighbours` leaves them out).
    """
    ranks = _labelled(seed, samples, d)
    own, nobody = ranks[:, :d], ranks[:, d:]
    return own - (own > nobody) if d % 2 else own


def _labelled(seed: int, samples: Indices, d: int) -> Indices:
    """Positions (P, d + d % 2), nobody's included."""
    even = d + d % 2
    rounds, row = np.divmod(samples, even // 2)
    labels = streams.ranks(seed, streams.PERMUTATION, rounds, even)
    offset = (labels - row[:, None]) % even  # 0, 1, −1, 2, −2, … stand at 0, 1, 2, 3, 4, …
    return np.where(
        offset == 0, 0, np.where(offset <= even // 2, 2 * offset - 1, 2 * (even - offset))
    )


class _Neighbours:
    """Second differences of neighbours along walks, summed over rounds for each pair."""

    def __init__(self, game: Game, seed: int, orders: int) -> None:
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        self.seed, self.orders = seed, orders
        self.total, self.squares = np.zeros((n, d, d, k)), np.zeros((n, d, d, k))
        self.walks = np.zeros(n, np.intp)

    def add(
        self,
        rows: Indices,
        samples: Indices,
        ranks: Indices,
        forward: Floats,
        backward: Floats,
        more: Floats,
        rest: Floats,
    ) -> None:
        """Take in the neighbours of some walks.

        Parameters
        ----------
        forward, backward : (R, P, d+1, k), the first 0..d players, and all but these
        more, rest : (R, P, d-1, k), the first 0..d-2 with the one after the next, and all but these
        """
        d = ranks.shape[1]
        gains = (forward[:, :, 2:] - more) - (forward[:, :, 1:-1] - forward[:, :, :-2])
        again = (backward[:, :, :-2] - rest) - (backward[:, :, 1:-1] - backward[:, :, 2:])
        mean = (gains + again) / 2
        # after which place nobody's label stands: those whom it parts are no neighbours
        parted = _labelled(self.seed, samples, d)[:, d] - 1 if d % 2 else np.full(len(samples), -1)
        for p, players in enumerate(np.argsort(ranks, axis=1)):
            near = np.arange(d - 1) != parted[p]
            i, j = players[:-1][near], players[1:][near]
            sample = mean[:, p, near]
            at = rows[:, None]
            self.total[at, i, j] += sample
            self.squares[at, i, j] += sample**2
        self.walks[rows] += len(ranks)

    def estimate(self) -> tuple[Floats, Floats]:
        """I_ij and its standard error, (n, d, d, k) each, 0 at (i, i)."""
        count = (self.walks // self.orders)[:, None, None, None]
        total, squares = (a + a.swapaxes(1, 2) for a in (self.total, self.squares))
        mean = total / count
        spread = np.maximum(squares - count * mean**2, 0)
        error = np.full_like(mean, np.nan)
        np.divide(spread, count * (count - 1), out=error, where=count > 1)
        return mean, np.sqrt(error)


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


@dataclass
class Moments:
    """Running sums over groups of walks: of phi, and of t = v(N) − v(∅) at the group's draw.

    Attributes
    ----------
    inside : sum over groups of the squares of half the difference between their two walks
    part, rounds : the sum over a round so far of that half-difference (of phi, where groups are
        of one walk), and the sum over rounds of its square
    """

    groups: int
    shift: Floats
    t_shift: Floats
    phi: Floats
    phi2: Floats
    phi_t: Floats
    t: Floats
    t2: Floats
    inside: Floats
    part: Floats
    rounds: Floats

    @classmethod
    def empty(cls, shift: Floats, t_shift: Floats) -> Moments:
        """No groups yet; sums are of differences from the shifts, which keeps them precise."""
        zero, zero_t = np.zeros_like(shift), np.zeros_like(t_shift)
        return cls(0, shift, t_shift, zero, zero, zero, zero_t, zero_t, zero, zero, zero)

    def add(self, walks: Floats, t: Floats, each: int) -> None:
        """Add groups of one or two walks: (R, G, size, d, k), t (R, G, k)."""
        phi, t = walks.mean(axis=2) - self.shift[:, None], t - self.t_shift[:, None]
        half = (walks[:, :, 0] - walks[:, :, -1]) / 2
        self.phi = self.phi + phi.sum(axis=1)
        self.phi2 = self.phi2 + (phi**2).sum(axis=1)
        self.phi_t = self.phi_t + np.einsum("rgdk,rgk->rdk", phi, t)
        self.t = self.t + t.sum(axis=1)
        self.t2 = self.t2 + (t**2).sum(axis=1)
        self.inside = self.inside + (half**2).sum(axis=1)
        signal = phi if walks.shape[2] == 1 else half
        for g in range(phi.shape[1] if each > 1 else 0):
            self.part = self.part + signal[:, g]
            if (self.groups + g + 1) % each == 0:
                self.rounds = self.rounds + self.part**2
                self.part = np.zeros_like(self.part)
        self.groups += phi.shape[1]

    def keep(self, rows: Left) -> Moments:
        """The sums of some of the rows."""
        return replace(self, **{n: v[rows] for n, v in vars(self).items() if n != "groups"})

    def estimate(
        self, ends: Ends, game: Game, size: int, each: int
    ) -> tuple[Floats, Floats, Floats]:
        """Values, which sum to what is between the ends, their errors, and slopes: (R, d, k)."""
        count = self.groups
        mean, t_mean = self.phi / count, self.t / count
        var, cov, var_t = (np.zeros_like(a) for a in (mean, mean, t_mean))
        if count > 1:
            var = np.maximum(self.phi2 - count * mean**2, 0) / (count - 1)
            cov = (self.phi_t - count * mean * t_mean[:, None]) / (count - 1)
            var_t = np.maximum(self.t2 - count * t_mean**2, 0) / (count - 1)
        varies = var_t > blur(game, ends) ** 2  # else a slope of rounding
        var_t, cov = np.where(varies, var_t, 0.0), np.where(varies[:, None], cov, 0.0)
        phi, var_t = mean + self.shift, var_t[:, None]
        gap = (ends[1] - ends[0] - (t_mean + self.t_shift))[:, None]
        c, residual, _, of_slope = on_gap(var, cov, var_t, gap, shares_of_gap(var, phi), count)
        variance = self._variance(game, size, residual, c, var_t, self._balance(var, size, each))
        return phi + c * gap, np.sqrt(variance + of_slope), c

    def _balance(self, var: Floats, size: int, each: int) -> Floats:
        """Variance of a round's sum over that of as many independent walks, (R, 1, k)."""
        rounds = self.groups // each
        found, alone = self.rounds, self.inside
        if size == 1:
            centre = rounds * (each * self.phi / self.groups) ** 2
            found = np.maximum(self.rounds - centre, 0) / max(rounds - 1, 1)
            alone = each * var
        found, alone = (a.sum(axis=1, keepdims=True) for a in (found, alone))
        if each == 1:
            return np.ones_like(alone)
        varies = alone > 0
        ratio = found / np.where(varies, alone, 1.0) if size == 2 or rounds > 1 else np.nan
        return np.where(varies, ratio, 1.0)

    def _variance(
        self, game: Game, size: int, residual: Floats, c: Floats, var_t: Floats, balance: Floats
    ) -> Floats:
        """Variance of the estimates: two-stage sampling, draws first, walks within them."""
        count, share = self.groups, between_draws(game, self.groups)
        sampled = c**2 * var_t / game.n_draws if game.sampled_draws else 0.0
        if count < 2 and (size == 1 or share > 0):
            return np.full_like(residual, np.nan)
        if size == 1:
            return balance * residual / count + sampled
        inside = self.inside / count  # variance of a group's mean around its draw's own value
        between = np.maximum(residual - inside, 0)
        return balance * inside / count + share * between + sampled
