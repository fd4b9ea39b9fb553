"""Antithetic permutation walks, stratified within every draw: Shapley values when draws spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Floats, Game, Indices
from xai.summary.base import (
    Attribution,
    Ends,
    Looks,
    Plan,
    finish,
    new_end_cost,
    spreads,
    stops,
    unit_cost,
)
from xai.summary.control import controlled
from xai.summary.strata import Orders, even_slots, promising_slots, stratified_ranks
from xai.summary.two_stage import by_slot, two_stage, within_draws

CHUNK = 2**22
"""Most numbers of 8 bytes that some rows' contributions (pairs × players × outputs) take."""


def blur(game: Game, ends: Ends) -> Floats:
    """How far rounding alone may move differences of values, (R, k), by their ends (R, k)."""
    return np.asarray(game.rounding * np.maximum(*map(np.abs, ends)))


def pair_cost(game: Game, extra: int = 0) -> int:
    """Model rows of a walk and its reverse; their ends are known, unless a draw is new.

    `extra` coalitions beside those of each are evaluated with it.
    """
    inner = 2 * (game.n_players - 1 + extra) * unit_cost(game)
    return max(1, inner + new_end_cost(game))


@dataclass
class Walks:
    """Antithetic pairs of permutation walks on all rows of a game.

    A pair is a walk and its reverse on one draw (Mitchell et al. 2022): exact for games of order
    two. Every row has the same walks: a player's distances from their middle are stratified, the
    halves it stands in balanced between players. Draws are visited the more often the more is at
    stake, and each counts the same; where not all of them are visited, the known mean of
    v(N) − v(∅) is regressed out. Values are efficient to float precision, and dummies get 0.

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
        game.progress.expect(n * self.pairs * pair_cost(game) + game.base_cost)
        most = max(2, CHUNK // (d * k))
        chunks = np.array_split(np.arange(self.pairs), -(-self.pairs // most))
        # contributions, the same controlled, their means by draw, and trends over positions by draw
        per_row = 2 * len(chunks[0]) * d * k + min(len(chunks[0]), game.n_draws) * d * (k + 4)
        together = max(1, CHUNK // per_row)
        base, full = game.ends(np.arange(n))
        for start in range(0, n, together):
            rows = np.arange(start, min(start + together, n))
            ends = base[rows], full[rows]
            for chunk in chunks:
                share = len(chunk) / self.pairs
                phi, error = self._chunk(rows, ends, int(chunk[0]), len(chunk))
                values[rows] += share * phi
                variances[rows] += (share * error) ** 2
        errors, tolerance = np.sqrt(variances), self.plan.tolerance
        return finish(game, values, errors, (base, full), tolerance=tolerance, ran="walks")

    def _chunk(self, rows: Indices, ends: Ends, first: int, count: int) -> tuple[Floats, Floats]:
        """Estimates and errors (R, d, k) of some rows; rows that meet the tolerance stop.

        A chunk of pairs is a design of its own. Nearly always there is one.
        """
        game, d, tolerance = self.game, self.game.n_players, self.plan.tolerance
        base, full = ends
        seed = int(streams.bits(self.plan.seed, streams.PERMUTATION, np.array([first]), 1)[0, 0])
        ranks = self.orders(seed, count) if self.orders else stratified_ranks(seed, count, d)
        slots, draws, spread, told = self._places(rows, ends, first, count)
        phi = np.empty((len(rows), count, d, game.n_outputs))
        t = np.empty((len(rows), count, game.n_outputs))
        values, errors = np.empty((2, len(rows), *phi.shape[2:]))
        active, done = np.arange(len(rows)), 0
        checks = stops(count, tolerance, first=24 if count >= 48 else 8)
        looks = Looks(len(rows), checks, tolerance)
        for stop in looks:
            step = max(1, game.room // (2 * max(1, d - 1) * len(active)))
            while done < stop:
                part = slice(done, min(done + step, stop))
                phi[active, part], t[active, part] = self._walk(
                    rows[active], (base[active], full[active]), ranks[part], draws[active, part]
                )
                done = part.stop
            values[active], errors[active] = self._estimate(
                phi[active, :done], t[active, :done], slots[active, :done], ranks[:done],
                spread[active], told[active], (base[active], full[active]),
            )  # fmt: skip
            active = active[looks.left(values[active], errors[active])]
        return values, errors

    def _places(
        self, rows: Indices, ends: Ends, first: int, count: int
    ) -> tuple[Indices, Indices, NDArray[np.float64], NDArray[np.bool_]]:
        """Slot and draw (R, P) of each pair; for each slot (R, D) the spread that is expected.

        And whether its walks tell of the spread at slots that are visited once.
        """
        game, m, shape = self.game, self.game.n_draws, (len(rows), count)
        even = self.plan.tolerance is not None or self.orders is not None or game.sampled_draws
        if not spreads(game):
            slots = draws = np.zeros(shape, np.intp)
        elif game.endless:
            slots = np.broadcast_to(np.arange(count), shape)
            draws = first + slots
        elif even or not game.shares_empty or count - m < max(m // 4, 8):
            slots = np.broadcast_to(even_slots(count, m), shape)
            draws = streams.cycles(self.plan.seed, np.arange(m), m)[(first + slots) % m]
        else:
            low, high = game.ends_by_draw(rows, np.arange(m))
            gap = high - low
            gap = np.where(np.abs(gap) > blur(game, ends)[:, None], gap, 0.0)
            seed = self.plan.seed + first
            slots, spread, told = promising_slots(count, np.sqrt((gap**2).sum(axis=2)), seed)
            return slots, slots, spread, told
        alike = np.ones((len(rows), int(slots.max()) + 1))
        return slots, draws, alike, alike > 0

    def _walk(
        self, rows: Indices, ends: Ends, ranks: NDArray[np.intp], draws: Indices
    ) -> tuple[Floats, Floats]:
        """Contributions (R, P, d, k) of some pairs, and their v(N) − v(∅), (R, P, k)."""
        from xai.kernels.pairs import walked

        game, d = self.game, self.game.n_players
        forward = ranks[:, None, :] < np.arange(1, d)[None, :, None]
        coalitions = np.concatenate([forward, ~forward], axis=1).reshape(-1, d)
        own = np.repeat(draws, 2 * (d - 1), axis=1) if game.commutes else None
        shape = (len(rows), len(ranks), 2, d - 1, game.n_outputs)
        inner = game.grid(rows, coalitions, own).reshape(shape) if d > 1 else np.empty(shape)
        if spreads(game):
            low, high = game.ends_by_draw(rows, draws)
        else:
            low, high = (np.repeat(end[:, None], len(ranks), axis=1) for end in ends)
        phi = np.empty((len(rows), *ranks.shape, game.n_outputs))
        walked(inner, low, high, ranks, phi)
        return phi, high - low

    # -- estimates ----------------------------------------------------------------------------

    def _estimate(
        self,
        phi: Floats,
        t: Floats,
        slots: Indices,
        ranks: NDArray[np.intp],
        spread: NDArray[np.float64],
        told: NDArray[np.bool_],
        ends: Ends,
    ) -> tuple[Floats, Floats]:
        """Values and standard errors (R, d, k) from contributions (R, P, d, k)."""
        game, count = self.game, int(slots.max()) + 1
        slots = np.ascontiguousarray(slots)
        stratified = self.orders is None
        if spreads(game) and stratified and self.plan.tolerance is None:
            phi = controlled(phi, t, slots, ranks)
        means, visits = by_slot(phi, slots, count)
        shift, noise = within_draws(
            phi, means, visits, slots, ranks, spread[:, :count], told[:, :count], trends=stratified
        )
        of_draws, total, fine = by_slot(t, slots, count)[0], ends[1] - ends[0], blur(game, ends)
        return two_stage(game, means, of_draws, shift, noise, total, fine)
