"""Masks learned by gradient ascent on the game: what the best subsets under a constraint share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.game import Floats, Game, Indices
from xai.model_game import ModelGame
from xai.summary.base import (
    Attribution,
    Plan,
    check_positive,
    check_samples,
    check_word,
    finish,
    needs,
)
from xai.summary.gradient import as_model_game

if TYPE_CHECKING:
    from torch import Tensor

    from xai.kernels.surfaces import Surface

Variant: TypeAlias = Literal["preserve", "delete", "dual"]
VARIANTS = ("preserve", "delete", "dual")
CHECK = 20
"""Iterations between two looks at whether a mask still changes; even, for mirrored inputs."""
TOLERANCE = 1e-3
"""A mask is at rest once it changes by no more than this between two looks, on average."""


class Optimizer(Protocol):
    """A rule of descent with a state of its own."""

    def step(self, gradient: Tensor, left: Tensor) -> Tensor:
        """What to add to the parameters `left`, given their gradient."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned.

    Attributes
    ----------
    variant : Variant
        v(m) is to be large, v(1 − m) small, or both.
    count : masks for each row and output
    iterations, tolerance : most of them, and the mean change of a mask in 20 that ends it sooner
    mirror : whether every other input is mirrored
    start : the parameters' first value
    surface : (game, like) -> Surface
    optimizer : (parameters (B, p)) -> Optimizer
    penalty : (masks (B, d), parameters (B, *grid), which of the `count` (B,), the part of the
        iterations that is done) -> (B,), in units of the reward's scale
    fits : (masks (B, d), which of the `count`) -> (B,) bool
        Whether a mask is what was asked for, so that it may come to rest.
    """

    variant: Variant
    count: int
    iterations: int
    tolerance: float
    mirror: bool
    start: float
    surface: Callable[[ModelGame, Tensor], Surface]
    optimizer: Callable[[Tensor], Optimizer]
    penalty: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    fits: Callable[[Tensor, Tensor], Tensor]

    @property
    def sides(self) -> int:
        """Model rows of a mask in one iteration."""
        return 2 if self.variant == "dual" else 1


def check_learned(what: str, variant: str, iterations: int | None, **pixels: float | None) -> None:
    """Refuse an unknown variant, and iterations and numbers of pixels that are none."""
    check_word("variant", variant, VARIANTS)
    check_samples(what, iterations, least=1, name="iterations")
    for name, given in pixels.items():
        if given is not None:
            check_positive(name, given)


def planned(
    what: str, game: Game, plan: Plan, variant: str, masks: int, iterations: int | None, most: int
) -> tuple[ModelGame, int]:
    """The game, which has gradients, and how many iterations a budget allows: `most` by default."""
    model = as_model_game(game)
    _ = model.gradients  # says why there are none before anything is spent
    if not model.commutes and model.n_draws > 1:
        raise ValueError(
            f"{what} of a loss or a margin takes one baseline: its value is of the mean over "
            "draws; use removal=xai.removal.Baseline(...)"
        )
    each = masks * model.n_outputs * (2 if variant == "dual" else 1)
    ends = model.ends_cost + each * model.value_cost
    asked = what + f" with iterations={iterations}" * bool(iterations)
    needs(asked, ends + each * (iterations or 1), plan.budget)
    if iterations is not None or plan.budget is None:
        return model, iterations or most
    return model, int(min(most, (plan.budget - ends) // each))


def learned(model: ModelGame, task: Task) -> Attribution:
    """Learn the masks of all rows; values are each row's mean mask.

    `info` has "masks" (n, count, *players, k), the "area" of each, which is its mean, its "score",
    the value that it reaches (of what is kept; where it deletes, of the rest), and the
    "iterations" it took.
    """
    base, full = model.ends(np.arange(model.n_rows))
    each = task.count * model.n_outputs * task.sides
    model.progress.expect_more(model.n_rows * each * (task.iterations + model.value_cost))
    together = max(1, model.batch // each)
    groups = np.split(np.arange(model.n_rows), np.arange(together, model.n_rows, together))
    parts = [_learn(model, task, rows, np.abs(full - base)) for rows in groups]
    info: dict[str, NDArray[Any]] = {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }
    stopped = info.pop("stopped")
    masks = info["masks"]
    shape = model.pixels or (model.n_players,)
    info["masks"] = masks.reshape(*masks.shape[:2], *shape, model.n_outputs)
    met = np.asarray(stopped.all(axis=(1, 2)))
    values = masks.mean(axis=1)
    return finish(model, values, None, (base, full), tolerance=None, converged=met, info=info)


# ------------------------------------------------------------------------------------ the descent


def _learn(game: ModelGame, task: Task, rows: Indices, span: Floats) -> dict[str, NDArray[Any]]:
    """Masks (R, count, d, k) of some rows, and what is told of them, (R, count, k)."""
    import torch

    shape = (len(rows), task.count, game.n_outputs)
    row, kinds, outputs = np.indices(shape).reshape(3, -1)
    with torch.inference_mode(False), torch.enable_grad():
        batch = _Batch(game, task, rows[row], outputs, kinds)
        batch.run(span[rows[row], outputs])
        masks = batch.surface.masks(batch.parameters).detach().clamp(0, 1)
    told: dict[str, NDArray[Any]] = {
        **_scores(game, task, batch.rows, batch.outputs, masks),
        "area": masks.mean(1).cpu().numpy(), "iterations": batch.used, "stopped": batch.stopped,
    }  # fmt: skip
    flat = masks.cpu().numpy().reshape(*shape, -1)
    return {"masks": flat.swapaxes(2, 3)} | {key: v.reshape(shape) for key, v in told.items()}


class _Batch:
    """Masks that are learned together, each by itself: of explained rows, outputs and kinds."""

    def __init__(
        self, game: ModelGame, task: Task, rows: Indices, outputs: Indices, kinds: Indices
    ) -> None:
        import torch

        self.game, self.task = game, task
        self.rows, self.outputs, self.kinds = rows, outputs, kinds
        x = game.inputs.block
        like = torch.empty(0, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
        self.surface = task.surface(game, like)
        self.parameters = like.new_full((len(rows), int(np.prod(self.surface.grid))), task.start)
        self.used, self.stopped = np.zeros(len(rows), int), np.zeros(len(rows), bool)

    def run(self, span: Floats) -> None:
        """Descend until every mask is at rest, or the iterations are spent."""
        import torch

        task, p = self.task, self.parameters
        optimizer = task.optimizer(p)
        left = np.arange(len(p))  # masks that still change
        scale = before = None
        at, kind = self._sent(left)
        for step in range(task.iterations):
            own = p[at].requires_grad_()
            raw = self.surface.masks(own)  # not yet clamped
            # clamped without a dead zone: the gradient passes, so that no mask is stuck at 1
            masks = raw.detach().clamp(0, 1)
            gain = self._gain(left, masks, step)
            if scale is None:
                scale = self._scale(raw, own, gain, span)
            points = own.reshape(-1, *self.surface.grid)
            penalty = task.penalty(raw, points, kind, step / task.iterations)
            loss = penalty.sum() - (raw * (gain / scale[at, None])).sum()
            (gradient,) = torch.autograd.grad(loss, own)
            gradient = gradient / self.surface.shares(own.detach().mean(1))
            p[at] = (own.detach() + optimizer.step(gradient, at)).clamp(0, 1)
            self.used[left] += 1
            if step % CHECK:
                continue
            if before is not None:
                rests = (masks - before).abs().mean(1) <= task.tolerance
                goes_on = ~(rests & task.fits(masks, kind))
                moving = goes_on.cpu().numpy()
                self.stopped[left[~moving]] = True
                left, masks = left[moving], masks[goes_on]
                if len(left) == 0:
                    break
                at, kind = self._sent(left)
            before = masks

    def _sent(self, left: Indices) -> tuple[Tensor, Tensor]:
        """Masks' numbers and kinds where the parameters live: sent where they change."""
        import torch

        place = self.parameters.device
        at, kind = (torch.as_tensor(a, device=place) for a in (left, self.kinds[left]))
        return at, kind

    def _gain(self, left: Indices, masks: Tensor, step: int) -> Tensor:
        """Gradient (B, d) in the masks of v(m), of −v(1 − m), or of both."""
        import torch

        game, variant = self.game, self.task.variant
        shown = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}[variant]
        rows, outputs = (np.tile(a[left], len(shown)) for a in (self.rows, self.outputs))
        draws = np.full(len(rows), step if game.endless else step % game.n_draws)
        mirror = self.task.mirror and len(game.pixels or ()) > 1 and step % 2 == 1
        stream = game.gradients.stream(
            rows, torch.cat(shown), draws, "mask", outputs=outputs, mirror=mirror
        )
        gradients = torch.cat([g[..., 0] for _, _, g in stream]).to(masks.dtype)
        return gradients.reshape(len(shown), len(masks), -1).sum(0)

    def _scale(self, raw: Tensor, own: Tensor, gain: Tensor, span: Floats) -> Tensor:
        """The reward's unit (B,), so that a penalty weighs the same whatever the outputs' units.

        How far the value goes from ∅ to N, or what it would change at first, parameter by
        parameter, where that is more.
        """
        import torch

        (slope,) = torch.autograd.grad(raw, own, gain, retain_graph=True)
        far = torch.as_tensor(span, dtype=own.dtype, device=own.device)
        scale = torch.maximum(slope.abs().sum(1), far)
        return torch.where(scale > 0, scale, 1)


def _scores(
    game: ModelGame, task: Task, rows: Indices, outputs: Indices, masks: Tensor
) -> dict[str, Floats]:
    """Values (B,) under each mask: of what it keeps, and of what it leaves where it deletes."""
    shown = masks.cpu().numpy()
    at = np.arange(len(rows))
    scores = {}
    if task.variant != "delete":
        scores["score"] = game.value(rows, shown)[at, outputs]
    if task.variant != "preserve":
        name = "score" if task.variant == "delete" else "score_without"
        scores[name] = game.value(rows, 1 - shown)[at, outputs]
    return scores


# ------------------------------------------------------------------------------------- optimizers


@dataclass(eq=False)
class Momentum:
    """Steps along a running mean of gradients: momentum 0.9, dampened by as much."""

    rate: float
    velocity: Tensor

    @classmethod
    def of(cls, parameters: Tensor, rate: float) -> Momentum:
        """At rest."""
        return cls(rate, parameters.new_zeros(parameters.shape))

    def step(self, gradient: Tensor, left: Tensor) -> Tensor:
        """Against the running mean."""
        self.velocity[left] = 0.9 * self.velocity[left] + 0.1 * gradient
        return -self.rate * self.velocity[left]


@dataclass(eq=False)
class Adam:
    """Kingma & Ba 2015, with their defaults but for the rate."""

    rate: float
    mean: Tensor
    square: Tensor
    steps: int = 0

    @classmethod
    def of(cls, parameters: Tensor, rate: float) -> Adam:
        """At rest."""
        return cls(
            rate, parameters.new_zeros(parameters.shape), parameters.new_zeros(parameters.shape)
        )

    def step(self, gradient: Tensor, left: Tensor) -> Tensor:
        """Against the mean gradient, in units of its root mean square."""
        self.steps += 1
        self.mean[left] = 0.9 * self.mean[left] + 0.1 * gradient
        self.square[left] = 0.999 * self.square[left] + 0.001 * gradient**2
        mean = self.mean[left] / (1 - 0.9**self.steps)
        square = self.square[left] / (1 - 0.999**self.steps)
        return -self.rate * mean / (square.sqrt() + 1e-8)
