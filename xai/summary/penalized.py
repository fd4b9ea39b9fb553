"""The smallest smooth mask that keeps, or holds, the behavior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xai.game import Game
from xai.model_game import ModelGame
from xai.summary.base import Attribution, Budget, Plan, Summary, check_number
from xai.summary.learned import TOLERANCE, Adam, Task, Variant, check_learned, learned, planned

if TYPE_CHECKING:
    from torch import Tensor

    from xai.kernels.surfaces import Surface

WHAT = "a penalized subset"
ITERATIONS = 300
RATE, BETA = 0.1, 3
"""Adam's rate, and the power of the differences between neighbours."""


@dataclass(frozen=True)
class PenalizedSubset(Summary):
    """The mask that trades the behavior for its own size and roughness.

    It minimises ``v(1 − m)`` (delete: m is what is taken away), ``−v(m)`` (preserve) or their sum
    (dual), plus ``size · mean(m) + smoothness · mean |∇m|³``, where v is in units of its change
    from ∅ to N.

    Parameters
    ----------
    variant : {"delete", "preserve", "dual"}
    size, smoothness : float
        Weights of the mask's mean, and of its roughness: that of the coarse grid on which a mask
        of pixels is learned, from which it is interpolated. Other players have no neighbours.
    iterations : int, optional
        At most so many, 300 where None; a mask that no longer changes stops sooner. Each costs a
        forward and a backward pass (dual: two).
    step : float, optional
        Pixels between the grid's points; 8 at a shorter side of 224 where None, and in proportion.
    mirror : bool
        Whether every other input is mirrored, left to right; only where players are pixels, and
        not of series, whose time has one direction.

    Raises
    ------
    ValueError
        A negative or infinite weight.

    Notes
    -----
    Fong & Vedaldi (2017): Adam at a rate of 0.1, from masks of ½. Their λ₁ = 1e-4 and
    λ₂ = 1e-2 for sums over 28 × 28 cells are 0.08 and 8 for means.

    A mask is at rest once it changes, on average, by no more than `tolerance` in 20 iterations;
    0.001 where none is given.

    ``info`` has the mask's "area" (its mean), the "score" v reaches (delete: what is left without
    it; dual has that as "score_without"), and the "iterations" it took.

    Examples
    --------
    >>> PenalizedSubset(variant="preserve").size
    0.08
    """

    variant: Variant = "delete"
    size: float = 0.08
    smoothness: float = 8.0
    iterations: int | None = None
    step: float | None = None
    mirror: bool = False
    default_budget: ClassVar[Budget | str] = "iterations + m + 2"
    always_differentiates: ClassVar[bool] = True
    always_softens: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse weights that are negative or infinite, unknown variants, and no numbers."""
        for name in ("size", "smoothness"):
            weight = getattr(self, name)
            check_number(name, weight)
            if not 0 <= weight < np.inf:
                raise ValueError(f"{name}={weight!r}: expected a finite number, 0 or more")
        check_learned(WHAT, self.variant, self.iterations, step=self.step)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Learn the masks of as many rows as fit a batch together."""
        model, iterations = planned(WHAT, game, plan, self.variant, 1, self.iterations, ITERATIONS)

        def penalty(masks: Tensor, p: Tensor, kind: Tensor, done: float) -> Tensor:
            small = self.size * masks.mean(1)
            return small if model.pixels is None else small + self.smoothness * roughness(p)

        task = Task(
            variant=self.variant,
            count=1,
            iterations=iterations,
            tolerance=plan.tolerance or TOLERANCE,
            mirror=self.mirror,
            start=0.5,
            surface=self._surface,
            optimizer=lambda p: Adam.of(p, RATE),
            penalty=penalty,
            fits=lambda masks, kind: kind >= 0,
        )
        result = learned(model, task)
        info = {key: array[:, 0] for key, array in result.info.items() if key != "masks"}
        return replace(result, info=info)

    def _surface(self, game: ModelGame, like: Tensor) -> Surface:
        from xai.kernels.surfaces import Interpolated, Plain

        if game.pixels is None:
            return Plain((game.n_players,))
        default = max(1.0, 8 * min(game.pixels) / 224)
        step = default if self.step is None else float(self.step)
        return Interpolated.of(game.pixels, step, like)


def roughness(p: Tensor) -> Tensor:
    """Mean power of the differences between neighbours on a grid: (B, *grid) -> (B,)."""
    total = p.new_zeros(len(p))
    for axis in range(1, p.ndim):
        total = total + (p.diff(dim=axis).abs() ** BETA).flatten(1).sum(1)
    return total / p[0].numel()
