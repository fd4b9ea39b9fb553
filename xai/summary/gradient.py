"""Derivatives of the game: at a point, over noise, at random on the path to everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from xai import streams
from xai.game import BLOCK_BYTES, Floats, Game, Indices
from xai.gradients import Wrt
from xai.model_game import ModelGame
from xai.summary.base import (
    Attribution,
    Budget,
    Looks,
    Plan,
    Summary,
    check_samples,
    check_word,
    finish,
    needs,
    stops,
    unknown_error,
)
from xai.summary.moments import Moments, Replicates, replicate_of

Place: TypeAlias = Literal["removed", "kept", "path"]
PLACES = ("removed", "kept", "path")
MOMENTS = ("mean", "square", "variance")
SAMPLES = 64
"""Samples where neither a count nor a budget is given."""


@dataclass(frozen=True)
class Gradient(Summary):
    """The mean derivative of the behavior over a neighbourhood that the removal makes.

    Parameters
    ----------
    at : {"removed", "kept", "path"}
        Where it is taken: with every player removed, which is the neighbourhood of a noisy
        removal (and x itself where the noise is 0); with every player kept; or at uniform masks
        α·1 between, each with a draw of its own (expected gradients).
    wrt : {"input", "mask"}
        The derivative in the inputs, summed over each player's elements, or in its mask, which
        is the same times what removing it takes away.
    moment : {"mean", "square", "variance"}
        What of the sampled derivatives is reported: SmoothGrad, SquareGrad, VarGrad.
    samples : int, optional
        Samples for each row; where the draws are fewer, each is used once and nothing is sampled.

    Raises
    ------
    ValueError
        An unknown `at`, `wrt` or `moment`, or samples on a path that are odd or asked for
        another moment than the mean.

    Notes
    -----
    The minimiser of the gradient-matching loss E‖∇f − φ‖² of Han, Srinivas & Lakkaraju (2022,
    Eq. 3), so `LinearFit(loss="gradient")` is this summary. Samples on the path come in pairs
    (α, 1 − α) of one draw, in eight replicates whose spread is the error; in each of them α and
    the draws are spread evenly. There is no empty state: base values are NaN, but on the path.

    SmoothGrad (Smilkov et al. 2017), SquareGrad (Hooker et al. 2019), VarGrad (Adebayo et al.
    2018), expected gradients (Erion et al. 2021, Eq. 2).

    Examples
    --------
    >>> Gradient(moment="square")
    Gradient(at='removed', wrt='input', moment='square', samples=None)
    """

    at: Place = "removed"
    wrt: Literal["input", "mask"] = "input"
    moment: Literal["mean", "square", "variance"] = "mean"
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = f"{SAMPLES} + 1"
    always_differentiates: ClassVar[bool] = True

    @property
    def softens(self) -> bool:
        """On the path between."""
        return self.at == "path"

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Sample, in batches, and keep running moments where the model lives."""
        model = as_model_game(game)
        count, exact = self._count(model, plan)
        path = self.at == "path"
        base = model.ends(np.arange(model.n_rows))[0] if path else None
        model.progress.expect_more(model.n_rows * count)
        tolerance = None if exact else plan.tolerance
        checks = stops(count, tolerance, first=16)
        full = full_values(model)
        shape = model.n_rows, model.n_players, model.n_outputs
        values, errors = np.empty(shape), np.empty(shape)
        for rows in row_blocks(model, 4):
            moments = self._moments(len(rows), model, exact=exact)
            active, done = np.arange(len(rows)), 0
            looks = Looks(len(rows), checks, tolerance)
            for stop in looks:
                at = np.repeat(active, stop - done)
                sample = np.tile(np.arange(done, stop), len(active))
                for where, g in self._derivatives(model, rows[at], sample, plan.seed, exact):
                    moments.add(at[where], g, sample[where])
                done = stop
                both = moments.result()
                values[rows], errors[rows] = both
                active = active[looks.left(both[0][active], both[1][active])]
        base = np.full_like(full, np.nan) if base is None else base
        found: Floats | None = errors
        if exact:  # all draws that there are, unless these have no end and what they take counts
            found = unknown_error(model, values) if self.wrt == "mask" else None
        return finish(model, values, found, (base, full), tolerance=plan.tolerance)

    def check(self) -> None:
        """Refuse unknown places and moments, and numbers of samples that do not suit them."""
        check_word("at", self.at, PLACES)
        check_word("wrt", self.wrt, ("input", "mask"))
        check_word("moment", self.moment, MOMENTS)
        check_samples("a gradient", self.samples, least=2 if self.moment == "variance" else 1)
        if self.at == "path" and self.samples is not None and self.samples % 2:
            raise ValueError(
                f"samples={self.samples}: samples on a path come in pairs, so their number is even"
            )
        if self.at == "path" and self.moment != "mean":
            raise ValueError(f"moment={self.moment!r}: on a path only the mean is defined")

    def _moments(self, rows: int, game: ModelGame, *, exact: bool) -> Moments:
        if self.at == "path":
            return Replicates(rows)
        if exact and self.moment == "mean":
            return Moments(rows, powers=1)
        draws = np.inf if game.endless else game.n_draws
        if self.at == "kept":
            draws = self._at_kept(game)
        return Moments(rows, powers=4, moment=self.moment, draws=draws)

    def _count(self, game: ModelGame, plan: Plan) -> tuple[int, bool]:
        """How many samples, and whether they are all there is."""
        if self.at == "kept":
            count = self._at_kept(game)
            needs("a gradient", game.full_cost + count, plan.budget)
            return count, True
        ends = game.ends_cost if self.at == "path" else game.full_cost
        all_draws = game.n_draws if self.at == "removed" and not game.endless else None
        least = 2 if self.at == "path" or self.moment == "variance" else 1
        room = plan.budget
        if self.samples is not None:
            asked = self.samples if all_draws is None else min(self.samples, all_draws)
            needs(f"a gradient with samples={self.samples}", ends + asked, room)
            room = ends + self.samples
        elif room is None:
            rule = plan.default
            room = ends + (rule.rows if isinstance(rule, Budget) else SAMPLES)
        if all_draws is not None and all_draws <= room - ends:
            return all_draws, True
        needs("a gradient", ends + min(least, all_draws or least), room)
        count = room - ends
        return count - count % 2 if self.at == "path" else count, False

    def _at_kept(self, game: ModelGame) -> int:
        """Samples with everything kept: one, but where draws have other derivatives there."""
        return 1 if self.wrt == "input" or self._averages(game) else game.n_draws

    def _averages(self, game: ModelGame) -> bool:
        """Whether one derivative serves all draws, which differ in what they take away alone."""
        kept = self.at == "kept" and self.wrt == "mask" and self.moment == "mean"
        return kept and game.n_draws > 1 and game.gradients.mixes

    def _derivatives(
        self, game: ModelGame, rows: Indices, sample: Indices, seed: int, exact: bool
    ) -> Any:
        """(places in the stream, derivatives (b, d, k)) of samples (B,)."""
        draws, masks = sample, np.zeros((len(sample), 1))
        if self.at == "kept":
            masks = np.ones((len(sample), 1))
        elif self.at == "path":
            replicate, index = replicate_of(sample)
            shift = streams.uniforms(seed, streams.JITTER, replicate, 1)[:, 0]
            masks = np.abs((sample % 2) - (_radical_inverse(index) + shift) % 1)[:, None]
            draws = index + replicate * (game.n_draws << 32)  # cycles of its own
        if not exact and not game.endless:
            draws = streams.cycles(seed, draws, game.n_draws)
        gradients = game.gradients
        of_players = gradients.per_player if self.wrt == "input" else None
        if self._averages(game):
            of_players = gradients.in_mean_masks
        wrt: Wrt = "mask" if of_players is None else "input"
        for where, _, g in gradients.stream(rows, masks, draws, wrt):
            yield where, g if of_players is None else of_players(g, rows[where])


# ---------------------------------------------------------------------------------------------


def as_model_game(game: Game) -> ModelGame:
    """The game, where it is of a model: set functions and data sets have no gradients here."""
    if not isinstance(game, ModelGame):
        raise TypeError("gradients need the game of a torch module, row by row")
    if game.partition.atlas is not None:
        raise ValueError(
            f"{game.partition.description} keep of each pixel the largest of their maps, which has "
            "no gradient here: use xai.players.Channels, or a summary that takes none"
        )
    return game


def full_values(game: ModelGame) -> Floats:
    """Values (n, k) with everything kept, which cost nothing."""
    whole = np.ones((1, game.n_players), bool)
    return game.grid(np.arange(game.n_rows), whole, None)[:, 0]


def row_blocks(game: ModelGame, arrays: int, rows: Indices | None = None) -> list[Indices]:
    """Rows in blocks whose `arrays` of (R, d, k) running sums take little memory."""
    rows = np.arange(game.n_rows) if rows is None else rows
    step = max(1, BLOCK_BYTES // (8 * arrays * game.n_players * game.n_outputs))
    return [rows[a : a + step] for a in range(0, len(rows), step)]


def _radical_inverse(index: Indices) -> Floats:
    """Van der Corput's sequence: every beginning of it covers [0, 1) evenly."""
    out, digit, rest = np.zeros(len(index)), 0.5, index.copy()
    while rest.any():
        out += digit * (rest & 1)
        rest, digit = rest >> 1, digit / 2
    return out
