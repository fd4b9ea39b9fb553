"""Total Sobol indices: what share of the game's variance a player has a part in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Floats, Game, Indices
from xai.inputs import is_whole
from xai.summary.base import (
    Attribution,
    Budget,
    Looks,
    Plan,
    Summary,
    finish,
    grid_in_parts,
    stops,
)

MOST_PLAYERS = 10_600
"""Half of the dimensions that SciPy's Sobol' sequence has."""


@dataclass(frozen=True)
class Sobol(Summary):
    """Total Sobol indices of the game over soft masks m, uniform in [0, 1]^d.

    ``ST_i = E[Var(v(m) | m_∖i)] / Var(v(m)) ≈ Σ_n (v(A_n) − v(C_n^i))² / (2 N V)``

    Parameters
    ----------
    designs : int, optional
        Number N of designs, over all scrambles together. Each costs d + 1 values: of a mask A_n,
        and of the masks C_n^i, which have i's part from a second mask B_n.
    scrambles : int
        Independent scramblings of the sequence; the error is the jackknife's over them. Of four,
        ±1.96 errors hold the truth some 86 times in a hundred (Student's t), of 16 some 93 times.

    Raises
    ------
    ValueError
        More players than the sequence has dimensions.

    Notes
    -----
    Jansen (1999); for images Fel et al. (2021). V is the variance of all that was evaluated, the
    v(C_n^i) too, which have the law of the v(A_n): of these alone it is often a tiny part of the
    truth where few masks matter, and shares are in the hundreds. A and B are one scrambled Sobol'
    sequence in 2d dimensions, columns permuted: unscrambled, or with fewer points than the bases
    of a Halton sequence, later players get less for no reason but their place.

    Shares sum to 1 for additive games, to more where players interact. Players that do nothing
    get 0; so do all where v is constant. Where a removal has several draws, v is the mean over
    all of them: the variance of a mean is not a mean of variances.

    A share of variance has no sign. ``info["slope"]`` (n, d) has one, from the same values: the
    mean change of v for a change of the player's mask, its Shapley value in additive games.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda m: 3.0 * m[:, 0] + m[:, 1], n_players=2)
    >>> Sobol(designs=4096)(game).values.round(2)
    array([0.9, 0.1])
    """

    designs: int | None = None
    scrambles: int = 4
    default_budget: ClassVar[Budget | str] = Budget(rows=64, per_player=64, whole=True)
    always_softens: ClassVar[bool] = True
    always_averages: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse scrambles too few for an error."""
        check_scrambles(self.scrambles, least=2)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Evaluate designs, each with d neighbours; rows that meet the tolerance stop."""
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        if d > MOST_PLAYERS:
            raise ValueError(f"Sobol: {d} players; at most {MOST_PLAYERS}: group them (players=)")
        unit = (d + 1) * game.value_cost
        count = plan.count(
            "Sobol", game, samples=self.designs, unit=unit, least=self.scrambles,
            name="designs", enumerates=False,
        )  # fmt: skip
        game.progress.expect(n * count * unit)
        A, B = joint_designs(plan.seed, count, d, self.scrambles)
        values, errors, slope = np.empty((3, n, d, k))
        ends, R = game.ends(np.arange(n)), self.scrambles
        checks = stops(count, plan.tolerance, first=2 * R, step=R)
        for rows, step in game.blocks(8 * (d + 1)):  # floats take 8 bytes each
            active, done = rows, 0
            y = np.empty((len(rows), 0, d + 1, k))
            looks = Looks(len(rows), checks, plan.tolerance)
            for stop in looks:
                parts = [slice(a, min(a + step, stop)) for a in range(done, stop, step)]
                new = [_evaluated(game, active, A[part], B[part]) for part in parts]
                y, done = np.concatenate([y, *new], axis=1), stop
                values[active], errors[active] = jansen(y, R)
                slope[active] = slopes(y, A[:stop], B[:stop])
                left = looks.left(values[active], errors[active])
                active, y = active[left], y[left]
        info = {"slope": slope}
        return finish(game, values, errors, ends, tolerance=plan.tolerance, info=info)


def check_scrambles(scrambles: Any, *, least: int) -> None:
    """Refuse fewer scrambles than an error needs."""
    if not is_whole(scrambles) or scrambles < least:
        raise ValueError(f"scrambles={scrambles!r}: expected an integer of at least {least}")


def joint_designs(
    seed: int, count: int, d: int, scrambles: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Masks A and B (count, d): the n-th is a point of scramble n mod `scrambles`."""
    from scipy.stats import qmc

    points = np.empty((count, 2 * d))
    for r in range(scrambles):
        own = points[r::scrambles]  # a view
        words = streams.bits(seed, streams.SCRAMBLE, np.array([r]), 4)[0]
        order = streams.ranks(seed, streams.PERMUTATION, np.array([r]), 2 * d)[0]
        sequence = qmc.Sobol(2 * d, scramble=True, seed=np.random.default_rng(words))
        whole = sequence.random_base2(int(np.ceil(np.log2(max(1, len(own))))))
        own[:] = whole[: len(own), order]
    return points[:, :d], points[:, d:]


def _evaluated(game: Game, rows: Indices, A: Floats, B: Floats) -> Floats:
    """Values (R, N, d + 1, k) of the masks A and of the C^i beside them."""
    count, d = A.shape
    masks = np.repeat(A[:, None], d + 1, axis=1)
    i = np.arange(d)
    masks[:, i + 1, i] = B
    flat = grid_in_parts(game, rows, masks.reshape(-1, d), None)
    return flat.reshape(len(rows), count, d + 1, -1)


def slopes(y: Floats, A: Floats, B: Floats) -> Floats:
    """Mean slopes (R, d, k), ``Σ_n (v(A_n) − v(C_n^i)) (A_ni − B_ni) / Σ_n (A_ni − B_ni)²``."""
    step = A - B
    rise = np.einsum("rndk,nd->rdk", y[:, :, :1] - y[:, :, 1:], step)
    return np.asarray(rise / np.maximum((step**2).sum(axis=0), 1e-300)[:, None])


def jansen(y: Floats, scrambles: int) -> tuple[Floats, Floats]:
    """Total indices (R, d, k) from values (R, N, d + 1, k), and their errors.

    The jackknife's, which leaves one scramble out at a time: where few designs hold most of the
    variance, shares linearised around their means would hardly see them.
    """
    own = np.arange(y.shape[1]) % scrambles
    without = np.stack([shares(y[:, own != r]) for r in range(scrambles)])
    return shares(y), np.sqrt((scrambles - 1) * without.var(axis=0))


def shares(y: Floats) -> Floats:
    """Total indices (R, d, k) from values (R, N, d + 1, k); NaN of one design."""
    count, axes = y.shape[1], (1, 2)
    if count < 2:
        return np.full((len(y), y.shape[2] - 1, y.shape[3]), np.nan)
    # what a design's values share makes them one observation of the mean
    variance = y.var(axis=axes) * (count / (count - 1))
    # what differs by rounding alone does not vary
    varies = variance > (64 * np.finfo(np.float64).eps * np.abs(y).max(axis=axes)) ** 2
    squares = ((y[:, :, :1] - y[:, :, 1:]) ** 2).mean(axis=1) / 2
    return np.asarray(squares / np.where(varies, variance, np.inf)[:, None])
