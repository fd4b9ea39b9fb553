"""A game's gradients, in the masks of its players or in the model's inputs; torch only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.batches import in_turn
from xai.behavior import arrays
from xai.composition import Composer, soft
from xai.finite import NotFiniteError
from xai.inputs import is_tensor
from xai.kernels import tensors
from xai.model import Model, check_width

if TYPE_CHECKING:
    from torch import Tensor

    from xai.model_game import ModelGame

Indices = NDArray[np.intp]
Wrt: TypeAlias = Literal["mask", "input"]


@dataclass(eq=False)
class Gradients:
    """Values and gradients of a game of a torch module.

    Where masks mix x and its replacement r, the input is r + m·(x − r): the derivative in a mask
    is the inputs' gradient times (x − r), summed over the player. So one backward pass to the
    input serves both, whatever the number of players. Other removals are differentiated through.

    Parameters
    ----------
    game : ModelGame
    """

    game: ModelGame

    def __post_init__(self) -> None:
        if self.game.model.forward is None:
            self.game.model.tensor(self.game.inputs.block, np.zeros(0, np.intp))  # says why not
        if not is_tensor(self.game.inputs.block):
            raise TypeError("gradients need x as an array or a tensor of numbers, not a table")

    @cached_property
    def owners(self) -> tensors.Owners:
        """The player of each element, where x lives."""
        partition, x = self.game.partition, self.game.inputs.block
        return tensors.Owners.of(partition.owner, x.device, identity=partition.is_identity)

    @cached_property
    def mixes(self) -> bool:
        """Whether masks mix x and a replacement, element by element."""
        partition = self.game.partition
        plain = partition.overlap is None and partition.atlas is None
        return self.game.draws.inputs is None and plain

    @property
    def width_axis(self) -> int:
        """Of a batch of images, or volumes."""
        pixels, owner = self.game.pixels, self.game.partition.owner
        assert pixels is not None
        return -2 if owner.shape[1:-1] == pixels != owner.shape[2:] else -1

    def stream(
        self,
        rows: Indices,
        masks: Any,
        draws: Indices,
        wrt: Wrt,
        *,
        outputs: Indices | None = None,
        mirror: bool = False,
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Batches of (place in the stream, values (b, k), gradients (b, d, k) or in inputs).

        Parameters
        ----------
        rows, draws : (B,) int
        masks : (B, d) floats in [0, 1], or (B, 1) where all players share one
        wrt : "mask", or "input": (b, *shape, k)
        outputs : (B,) int, optional
            The one output of each that is asked for; k is 1 then, for one backward pass.
        mirror : bool
            Whether images are mirrored, left to right, before the model sees them.

        Raises
        ------
        ValueError
            NaN or inf in values or gradients; the message names the explained rows.
        """
        import torch

        game, x = self.game, self.game.inputs.block
        at = game.explained[np.asarray(rows)]
        through = wrt == "mask" and not self.mixes
        batches = [slice(s, s + game.batch) for s in range(0, len(at), game.batch)]

        def make(batch: slice) -> tuple[Tensor, Tensor]:
            part = masks[batch]
            if not through:
                return part, self.inputs(at[batch], part, draws[batch])
            with torch.inference_mode(False), torch.enable_grad():
                part = _leaf(torch.as_tensor(self._wide(part), dtype=x.dtype, device=x.device))
                return part, self.inputs(at[batch], part, draws[batch])

        # a graph is made in the thread that walks it back
        blocks = in_turn(make, batches) if through else game.ahead(make, batches)
        for batch, (part, block) in zip(batches, blocks, strict=True):
            leaf, block = (part, block) if through else (_leaf(block),) * 2
            values = self._values(block, at[batch], mirror)
            if outputs is not None:
                values = arrays.take(values, outputs[batch, None])
            gradient = self._back(values, leaf)
            if wrt == "mask" and self.mixes:
                lost = self._lost(at[batch], draws[batch])
                gradient = self._in_masks(gradient, at[batch], lost)
            game.count(len(block))
            _refuse(gradient, at[batch])
            yield batch, values.detach(), gradient

    def value(self, rows: Indices, masks: Tensor) -> Tensor:
        """Means over draws (B, k) with gradients in `masks` (B, d): all in one call."""
        game, m = self.game, self.game.n_draws
        at = np.repeat(game.explained[np.asarray(rows)], m)
        draws = np.tile(np.arange(m), len(masks))
        block = self.inputs(at, masks.repeat_interleave(m, 0), draws)
        values = game.values.output(at, self.outputs(block, at))
        game.count(len(block))
        out: Tensor = game.values.reduced(at[::m], values.reshape(len(masks), m, -1).mean(1))
        return out

    def per_player(self, gradient: Tensor, rows: Indices) -> Tensor:
        """Gradients in the inputs (B, *shape, k), summed over each player: (B, d, k)."""
        import torch

        if self.game.partition.overlap is not None:
            raise ValueError(
                "a gradient in the inputs is summed over each player's elements, and players that "
                "overlap share theirs: use Patches, or wrt='mask'"
            )
        own = torch.as_tensor(self.game.explained[np.asarray(rows)], device=gradient.device)
        d = self.game.n_players
        return torch.stack([self.owners.sums(g, own, d) for g in gradient.unbind(-1)], dim=-1)

    def in_mean_masks(self, gradient: Tensor, rows: Indices) -> Tensor:
        """Gradients in the inputs (B, *shape, k) as the means over all draws of those in masks.

        Of rows with everything kept, whose inputs are the same at each draw: (B, d, k).
        """
        at, m = self.game.explained[np.asarray(rows)], self.game.n_draws
        lost = self._lost(at, np.zeros_like(at))
        for draw in range(1, m):
            lost = lost + self._lost(at, np.full_like(at, draw))
        return self._in_masks(gradient, at, lost / m)

    # -- parts ---------------------------------------------------------------------------------

    def outputs(self, block: Tensor, at: Indices, model: Model | None = None) -> Tensor:
        """Outputs (B, K) of inputs made of rows of `game.inputs`; by the game's model, or another.

        Raises
        ------
        ValueError
            They are not as many as those of x.
        """
        out: Tensor = (model or self.game.model).tensor(block, at)
        check_width(out.shape[1], self.game.full_outputs.shape[1])
        return out

    def inputs(self, at: Indices, masks: Any, draws: Indices) -> Tensor:
        """Model inputs of rows of `game.inputs`, soft masks and draws, (B,) each."""
        game = self.game
        table = self._wide(masks)
        if game.partition.overlap is not None:
            table = game.partition.overlap.pieces(table)
        if game.partition.atlas is not None:
            table = game.partition.atlas(at, table)
        made: Tensor = self._soft(table)(at, np.arange(len(at)), draws)
        return made

    @cached_property
    def _soft(self) -> Composer:
        game = self.game
        return soft(game.inputs, game.partition.apart, game.draws)

    def _wide(self, masks: Any) -> Any:
        """One column for all players stays one only where the composition understands it."""
        if masks.shape[1] == 1 and not (self.mixes and self.owners.all_owned):
            d = self.game.n_players
            return masks.expand(-1, d) if is_tensor(masks) else np.repeat(masks, d, axis=1)
        return masks

    def _values(self, block: Tensor, at: Indices, mirror: bool) -> Tensor:
        import torch

        game = self.game
        with torch.inference_mode(False), torch.enable_grad():
            # a copy: a module whose first layer works in place may not write on a leaf
            own = block.flip(self.width_axis) if mirror else block.clone()
            values: Tensor = game.values.at_one_draw(at, self.outputs(own, at))
            return values

    def _back(self, values: Tensor, leaf: Tensor) -> Tensor:
        """Gradients (b, …, k) of the values' sums over the batch, output by output."""
        import torch

        k = values.shape[1]
        refuse_detached(values, leaf, inside=self.game.model.by_row)
        with torch.inference_mode(False), torch.enable_grad():
            sums = values.sum(0)
            parts = [
                torch.autograd.grad(sums[j], leaf, retain_graph=j < k - 1)[0] for j in range(k)
            ]
        return torch.stack(parts, dim=-1) if k > 1 else parts[0].unsqueeze(-1)

    def _in_masks(self, gradient: Tensor, at: Indices, lost: Tensor) -> Tensor:
        import torch

        own = torch.as_tensor(at, device=gradient.device)
        parts = [self.owners.sums(g * lost, own, self.game.n_players) for g in gradient.unbind(-1)]
        return torch.stack(parts, dim=-1)

    def _lost(self, at: Indices, draws: Indices) -> Tensor:
        """What removing everything takes from rows of `game.inputs`, (B, *shape)."""
        replacement, places = self.game.draws.source(at, draws)
        return tensors.difference(self.game.inputs.block, replacement, at, places)


def refuse_detached(values: Tensor, source: Tensor, *, inside: bool = False) -> None:
    """Refuse values without gradients in `source`, the module's input; `inside`: in a layer."""
    if not _leads_back(values, source):
        what, choose = ("the layer", "another layer, or ") if inside else ("its input", "")
        raise ValueError(
            f"the module's output does not depend on {what} by torch operations (is it detached, "
            f"or computed under no_grad, or by quantized layers?): choose {choose}a method that "
            "removes features"
        )


def _leads_back(values: Tensor, source: Tensor) -> bool:
    """Whether gradients of values come to a tensor; operations without any end the way."""
    left: list[Any] = [values.grad_fn]
    seen = {None}
    while left:
        node = left.pop()
        if node in seen or "NotImplemented" in node.name():  # as quantized layers' are
            continue
        if node is source.grad_fn or getattr(node, "variable", None) is source:
            return True
        seen.add(node)
        left += [after for after, _ in node.next_functions]
    return False


def _leaf(block: Tensor) -> Tensor:
    import torch

    with torch.inference_mode(False):
        own = block.clone() if block.is_inference() else block.detach()
        return own.requires_grad_()


def _refuse(gradient: Tensor, at: Indices) -> None:
    import torch

    if torch.isfinite(gradient.sum()):
        return
    lines = torch.isfinite(gradient).flatten(1).all(1).logical_not().cpu().numpy()
    if lines.any():
        raise NotFiniteError("the gradient is NaN or inf while explaining", at[lines])
