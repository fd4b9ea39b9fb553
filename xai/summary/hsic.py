"""Dependence between keeping a player and the value: the Hilbert-Schmidt independence criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Coalitions, Floats, Game
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    check_samples,
    enumerates,
    enumeration_cost,
    finish,
    grid_in_parts,
)
from xai.summary.nulls import without_nulls
from xai.summary.pairs import signs
from xai.summary.samples import sampled
from xai.summary.sobol import check_scrambles

QUANTILES = 2048
"""Most values whose distances are looked at to find their median."""


@dataclass(frozen=True)
class HSIC(Summary):
    """How much the value depends on whether a player is kept, each kept with chance 1/2.

    ``phi_i = 1/n² Σ_ab K_i(S_a, S_b) (HLH)_ab = 1/(2n²) Σ_ab s_ai s_bi L(v_a, v_b)``

    with ``s_ai = ±1`` where coalition a keeps i or not, ``K_i = 1 + s_ai s_bi / 2``,
    ``L = exp(−(v_a − v_b)² / 2w²)``, w the median distance between two values.

    Parameters
    ----------
    designs : int, optional
        Number of coalitions, an even one: they come in complementary pairs.
    scrambles : int
        Independent designs of two levels that these are divided into; the error is the jackknife's
        over them, at the w that was found. Of few it is too large for players that hardly matter,
        by √3 of four, which makes their intervals wide enough.

    Raises
    ------
    ValueError
        An odd number of designs.

    Notes
    -----
    Gretton et al. (2005); for images Novello, Fel & Vigouroux (2022). Where coalitions are sampled
    only those of different scrambles are compared, so that the estimate is unbiased given w: a
    player that does nothing gets 0 in expectation, not n times less than others, and may get less
    than 0. Enumerated, it gets 0, and so do players that equal their replacement at every draw,
    which are left out. A player that matters through pairs alone (XOR) is not seen. The cost of n
    values is n² kernels for each row and output.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: 3.0 * S[:, 0] + S[:, 1] + 0 * S[:, 2], n_players=3)
    >>> HSIC()(game).values.round(3)
    array([0.148, 0.009, 0.   ])
    """

    designs: int | None = None
    scrambles: int = 4
    default_budget: ClassVar[Budget | str] = Budget(rows=512, per_player=8, whole=True)
    always_averages: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse scrambles too few for an error, and an odd number of designs."""
        check_scrambles(self.scrambles, least=3)
        least = 2 * self.scrambles
        check_samples("HSIC", self.designs, least=least, name="designs")
        if self.designs is not None and self.designs % 2:
            raise ValueError(f"designs={self.designs!r}: HSIC needs an even number, for pairs")

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else sample pairs of coalitions."""
        return without_nulls(game, lambda part: self._estimate(part, plan), plan)

    def _estimate(self, game: Game, plan: Plan) -> Attribution:
        unit = game.value_cost
        if enumerates(game, plan.room(game, self.designs, unit)):
            return self._enumerate(game, plan)
        least = 2 * self.scrambles
        count = plan.count(
            "HSIC", game, samples=self.designs, unit=unit, least=least, name="designs"
        )

        def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
            cells = [[self._across(S, y, game) for y in row.T] for row in v]  # (R, k, 2, d)
            values, errors = np.moveaxis(np.array(cells), (2, 3), (0, 2))
            return values, errors

        S = two_levels(plan.seed, count // 2, game.n_players, self.scrambles)
        found = sampled(game, S, plan, estimate, paired=True, spread=False)
        return finish(game, *found, tolerance=plan.tolerance)

    def _enumerate(self, game: Game, plan: Plan) -> Attribution:
        S, k = all_coalitions(game.n_players), game.n_outputs
        game.progress.expect(game.n_rows * enumeration_cost(game))
        ends = game.ends(np.arange(game.n_rows))
        values = np.empty((game.n_rows, game.n_players, k))
        s = signs(S)
        for row in range(game.n_rows):
            v = grid_in_parts(game, np.array([row]), S, None)[0]
            for j, y in enumerate(v.T):
                values[row, :, j] = moment(s, y, s, y, median_distance(y, game.rounding)) / 2
        return finish(game, values, None, ends, tolerance=plan.tolerance)

    def _across(self, S: Coalitions, y: NDArray[np.float64], game: Game) -> tuple[Floats, Floats]:
        """Means (d,) over pairs of scrambles, and their jackknife error."""
        width, s, R = median_distance(y, game.rounding), signs(S), self.scrambles
        first, second = np.split(y, 2)
        table = np.zeros((R, R, S.shape[1]))
        own = [
            (np.concatenate([s[r::R], -s[r::R]]), np.concatenate([first[r::R], second[r::R]]))
            for r in range(R)
        ]
        for g in range(R):
            for h in range(g):
                table[g, h] = table[h, g] = moment(*own[g], *own[h], width) / 2
        whole, of_one = table.sum(axis=(0, 1)), table.sum(axis=1)
        without = (whole - 2 * of_one) / ((R - 1) * (R - 2))
        spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
        return whole / (R * (R - 1)), np.sqrt((R - 1) / R * spread)


def moment(
    s: Floats, y: NDArray[np.float64], t: Floats, z: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Mean over all pairs of s_ai L(y_a, z_b) t_bi, for each player: (d,)."""
    total = np.zeros(s.shape[1])
    for part in streams.parts(len(s), len(t)):
        kernel = np.exp(-((y[part, None] - z) ** 2) / (2 * width**2))
        total += (s[part] * (kernel @ t)).sum(axis=0)
    return total / (len(s) * len(t))


def median_distance(y: NDArray[np.float64], rounding: float = 0.0) -> float:
    """The median distance between two of the values; of different ones, where most are equal.

    Those that differ by no more than `rounding` times the largest |y| are equal.
    """
    y = np.sort(y)
    if len(y) > QUANTILES:
        y = y[np.linspace(0, len(y) - 1, QUANTILES).round().astype(int)]
    distance = np.abs(y[:, None] - y)[np.triu_indices(len(y), 1)]
    distance[distance <= rounding * np.abs(y[[0, -1]]).max()] = 0
    found = float(np.median(distance))
    if found == 0 and distance.any():
        found = float(np.median(distance[distance > 0]))
    return found or 1.0


def two_levels(seed: int, count: int, d: int, scrambles: int) -> Coalitions:
    """Coalitions (count, d), to be met by their complements: balanced, players uncorrelated.

    The n-th is run ⌊n/R⌋ of scramble n mod R. In each, player i is kept where the bits of the run
    that i's word picks are even in number, flipped at random. Words differ while there are enough
    of them: with the complements a fractional factorial in which single players are confounded
    neither with one another nor with pairs (Box & Hunter 1961).
    """
    S = np.empty((count, d), bool)
    for r in range(scrambles):
        own = S[r::scrambles]  # a view
        runs = np.arange(len(own), dtype=np.uint64)
        bits = max(0, len(own) - 1).bit_length()
        cycles = np.arange(-(-d // 2**bits)) * scrambles + r
        words = np.argsort(streams.bits(seed, streams.PERMUTATION, cycles, 2**bits), axis=1)
        words = words.ravel()[:d].astype(np.uint64)
        flips = streams.uniforms(seed, streams.FLIP, np.array([r]), d)[0] < 0.5
        for part in streams.parts(len(own), d):
            odd = np.bitwise_count(runs[part, None] & words) & 1
            own[part] = (odd == 1) ^ flips
    return S
