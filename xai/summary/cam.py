"""Weights of a layer's channels, as class activation maps have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xai.game import Game, Indices
from xai.kernels.tensors import masks
from xai.model_game import ModelGame
from xai.summary.base import Attribution, Budget, Plan, Summary, finish, needs
from xai.summary.gradient import as_model_game, full_values
from xai.summary.moments import host

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ChannelGradient(Summary):
    """The mean of the behavior's gradient over each player's places, with nothing removed.

    Parameters
    ----------
    plus_plus : bool
        Weigh the places' positive gradients g by ``g²/(2g² + Σ A·g³)``, A the activations.

    Notes
    -----
    Grad-CAM (Selvaraju et al. 2017, Eq. 1); Grad-CAM++ (Chattopadhyay et al. 2018, Eq. 10, 19):
    the players are a layer's channels, and `Explanation.map` their activation maps' sum.

    Examples
    --------
    >>> ChannelGradient()
    ChannelGradient(plus_plus=False)
    """

    plus_plus: bool = False
    default_budget: ClassVar[Budget | str] = "1 + 3"
    always_differentiates: ClassVar[bool] = True

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """One forward-backward pass for each row."""
        model = as_model_game(game)
        needs("a channel's gradient", model.full_cost + 1, plan.budget)
        rows = np.arange(model.n_rows)
        model.progress.expect_more(len(rows))
        parts = []
        stream = model.gradients.stream(rows, np.ones((len(rows), 1)), rows * 0, "input")
        for where, _, g in stream:
            weights = _plus_plus(g, model, rows[where]) if self.plus_plus else g
            places = g[0, ..., 0].numel() / model.n_players
            scale = 1.0 if self.plus_plus else 1 / places
            parts.append(host(model.gradients.per_player(weights, rows[where])) * scale)
        full = full_values(model)
        base = np.full_like(full, np.nan)
        values = np.concatenate(parts)
        return finish(model, values, None, (base, full), tolerance=plan.tolerance)


def _plus_plus(g: Tensor, game: ModelGame, rows: Indices) -> Tensor:
    """Grad-CAM++'s weights of places, (B, *shape, k); 0 where a gradient is 0."""
    import torch

    at, gradients = game.explained[rows], game.gradients
    totals = gradients.per_player(game.inputs.block[at][..., None], rows)[..., 0]
    table = gradients.owners.table(totals, g.device)
    total = masks(gradients.owners, table, at, np.arange(len(at)))[..., None]
    below = 2 * g**2 + total * g**3
    alpha = torch.where(below == 0, 0, g**2 / below)
    return alpha * g.clamp(min=0)
