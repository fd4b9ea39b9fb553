"""The subset of a given size that keeps, or holds, the most of the behavior."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xai.game import Floats, Game
from xai.model_game import ModelGame
from xai.summary.base import Attribution, Budget, Plan, Summary
from xai.summary.learned import TOLERANCE, Momentum, Task, Variant, check_learned, learned, planned

if TYPE_CHECKING:
    from torch import Tensor

    from xai.kernels.surfaces import Surface

WHAT = "an extremal subset"
ITERATIONS = 400
RATE = 2e-3
PRESSURE, GROWTH, MEAN = 1.0, 300.0, 20.0
"""The area's weight λ at first, how many times as large it is at last, and of it the mean's."""
NEAR = 0.05
"""How close to the area asked, relatively, a mask must be to come to rest."""
EQUAL = 1e-6
"""Masks that differ by no more are equal: by rounding, chance would choose among them."""


@dataclass(frozen=True)
class ExtremalSubset(Summary):
    """Masks of given areas under which the behavior is largest.

    For each area a the mask m that maximises ``v(m)`` (preserve), ``−v(1 − m)`` (delete: m is what
    is taken away) or their sum (dual), less ``λ (mean((m − r)²) + μ (mean(m) − a)²)``, where r is 1
    on the a·d players with the largest masks and 0 on the others: m becomes binary, of area a.

    Parameters
    ----------
    area : float or sequence of floats in (0, 1)
        Shares of the players; of the pixels, where players are pixels.
    variant : {"preserve", "delete", "dual"}
    iterations : int, optional
        At most so many, 400 where None; a mask that no longer changes stops sooner. Each costs a
        forward and a backward pass for each area (dual: two).
    step, smoothing : float, optional
        Pixels between a smooth mask's grid points, and the width of their bumps; 7 and 21 at a
        shorter side of 224 where None, and in proportion. Only where players are pixels.
    mirror : bool
        Whether every other input is mirrored, left to right, before the model sees it (the mask
        is not), so that no mask fools the model; only where players are pixels, and not of series,
        whose time has one direction.

    Raises
    ------
    ValueError
        An area that is not between 0 and 1.

    Notes
    -----
    Fong, Patrick & Vedaldi (2019), with the area taken on the pixels themselves. Players of equal
    mask share what r gives them. λ goes from 1 to 300, in units of v: its change from ∅ to N, or
    what its first gradient promises, if that is more. (Theirs, from 300 to 4920 with logits in the
    tens, starts at some 6 of these: too firm to find the better masks.) μ, from 0 to 20, is ours:
    a smooth mask's edges add to its area. Contrastive rewards are behaviors, `Contrast`, `Margin`.

    A mask is at rest once its area is within 5 % of what was asked, and it changes, on average, by
    no more than `tolerance` in 20 iterations (0.001 where none is given). ``converged`` says
    whether all of a row's masks came to rest.

    Which players are among the a·d is yes or no: where two masks are nearly as good, the last
    digits of a network's outputs choose. In single precision these hang on how many rows go
    through it at once, so that another `batch_size`, or other rows beside, may make another mask,
    and stop sooner or later; in double precision it is the same.

    ``values`` is the mean mask over areas; ``info["masks"]`` (n, areas, *players) are the masks,
    ``info["area"]`` their means, ``info["score"]`` what v is under each (delete: without it; dual
    has both, the latter as ``"score_without"``).

    Examples
    --------
    >>> ExtremalSubset(area=0.1, variant="delete").area
    0.1
    """

    area: float | Sequence[float] = (0.025, 0.05, 0.1, 0.2)
    variant: Variant = "preserve"
    iterations: int | None = None
    step: float | None = None
    smoothing: float | None = None
    mirror: bool = True
    default_budget: ClassVar[Budget | str] = "(iterations + 1) · areas + m + 1"
    always_differentiates: ClassVar[bool] = True
    always_softens: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse areas that are no shares, unknown variants, and numbers that are none."""
        self._areas()
        check_learned(WHAT, self.variant, self.iterations, step=self.step, smoothing=self.smoothing)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Learn the masks of all areas, of as many rows as fit a batch, together."""
        areas = self._areas()
        model, iterations = planned(
            WHAT, game, plan, self.variant, len(areas), self.iterations, ITERATIONS
        )
        import torch

        counts = np.clip(np.round(areas * model.n_players), 1, model.n_players).astype(int)
        targets = torch.as_tensor(counts, device=model.inputs.block.device)

        def penalty(masks: Tensor, p: Tensor, kind: Tensor, done: float) -> Tensor:
            best = closest(masks.detach(), targets[kind])
            off = masks.mean(1) - best.mean(1)
            weight = float(PRESSURE * GROWTH**done)
            return weight * ((masks - best).square().mean(1) + MEAN * done**2 * off.square())

        def fits(masks: Tensor, kind: Tensor) -> Tensor:
            share = targets[kind] / model.n_players
            return (masks.mean(1) - share).abs() <= NEAR * share

        task = Task(
            variant=self.variant,
            count=len(areas),
            iterations=iterations,
            tolerance=plan.tolerance or TOLERANCE,
            mirror=self.mirror,
            start=1.0,
            surface=self._surface,
            optimizer=lambda p: Momentum.of(p, RATE),
            penalty=penalty,
            fits=fits,
        )
        return learned(model, task)

    def _areas(self) -> Floats:
        areas = np.empty(0)
        with suppress(TypeError, ValueError):  # no numbers
            areas = np.atleast_1d(np.asarray(self.area, float))
        if areas.ndim != 1 or len(areas) == 0 or not ((areas > 0) & (areas < 1)).all():
            raise ValueError(f"area={self.area!r}: expected shares of the players between 0 and 1")
        return areas

    def _surface(self, game: ModelGame, like: Tensor) -> Surface:
        from xai.kernels.surfaces import MaxConvolution, Plain

        if game.pixels is None:
            return Plain((game.n_players,))
        side = min(game.pixels) / 224
        step = max(1.0, 7 * side) if self.step is None else float(self.step)
        width = max(1.0, 21 * side) if self.smoothing is None else float(self.smoothing)
        return MaxConvolution.of(game.pixels, step, width, like)


def closest(masks: Tensor, counts: Tensor) -> Tensor:
    """The nearest masks (B, d) with so many (B,) ones and else zeros; equal players share."""
    edge = _edges(masks, masks.shape[1] - counts)
    above, level = (masks > edge + EQUAL).to(masks), ((masks - edge).abs() <= EQUAL).to(masks)
    share = (counts[:, None] - above.sum(1, keepdim=True)) / level.sum(1, keepdim=True)
    return above + level * share


def _edges(masks: Tensor, ranks: Tensor) -> Tensor:
    """The value (B, 1) of each mask that so many (B,) of its own come before."""
    if masks.device.type == "cpu":  # NumPy selects ten times as fast
        pairs = zip(masks.numpy(), ranks.tolist(), strict=True)
        return masks.new_tensor([[float(np.partition(m, rank)[rank])] for m, rank in pairs])
    return masks.sort(1).values.gather(1, ranks[:, None])
