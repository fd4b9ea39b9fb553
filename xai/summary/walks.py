"""Antithetic permutation walks, stratified within every draw: Shapley values when draws spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Floats, Game, Indices
from xai.summary.base import Attribution, Plan, finish, stops, within
from xai.summary.strata import Design, Orders
from xai.summary.two_stage import Population, by_slot, two_stage, within_draws

CHUNK = 2**22
"""Most contributions (pairs × players × outputs) of one row that are held at once."""


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
        count = phi.shape[1]
        slots, ranks = design.slots[:count], design.ranks[:count]
        means = by_slot(phi, slots)
        shift, noise = within_draws(phi, means, slots, ranks)
        if self.orders is not None:  # positions are not uniform: their trends have other means
            shift = np.zeros_like(shift)
        game = self.game
        draws = Population(game.n_draws, spreads(game), game.sampled_draws, game.endless)
        return two_stage(draws, means, by_slot(t, slots), shift, noise, total)


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
