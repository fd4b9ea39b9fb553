"""Codes that an embedding reads: what lies between two of them is what it makes of both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xai import layers
from xai.inputs import Block, Inputs
from xai.layers import INSIDE, Cut, Finder, Probe, find_layer
from xai.model import Model
from xai.progress import Progress
from xai.removal.base import Context, Draws, Indices, Removal
from xai.torch_model import check_layers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(eq=False)
class Reader(Finder):
    """Finds, while the network runs, the first embedding that reads x as it is.

    Attributes
    ----------
    codes : the explained rows; the network runs on the first of them
    """

    codes: Tensor

    @contextmanager
    def watching(self, module: Module) -> Iterator[None]:
        """Watch all embeddings, and keep a copy of what that one gives."""
        import torch

        check_layers(module, INSIDE)
        own = threading.get_ident()

        def note(layer: Module, given: Any, out: Any) -> None:
            if threading.get_ident() != own or not given:
                return
            if not self.name and torch.equal(given[0], self.codes[: len(given[0])]):
                self.name, self.output = find_layer(module, layer)[0], out.detach().clone()
            self.calls += bool(self.name) and layer is module.get_submodule(self.name)

        with ExitStack() as hooks:
            for part in module.modules():
                if isinstance(part, torch.nn.Embedding):
                    hooks.enter_context(part.register_forward_hook(note))
            yield

    def found(self, model: Model) -> tuple[Probe, Tensor]:
        """The embedding, and its output.

        Raises
        ------
        TypeError
            None is given x itself.
        """
        if not self.name:
            raise TypeError(
                "x holds codes, which have neither gradients nor halves, and no embedding of the "
                "network is given x as it is: explain a layer's output, with "
                "players=xai.players.Units('name of that layer'), or choose a method that removes "
                "features as a whole, such as 'shapley'"
            )
        return super().found(model)


def cut(model: Model, inputs: Inputs, batch_size: int | None, bar: Progress) -> Cut:
    """The network in two behind the embedding that reads x."""
    return layers.cut(model, inputs, Reader(inputs.block), batch_size, bar, goes_on=True)


def bind(removal: Removal, context: Context, pieces: Cut) -> Draws:
    """A removal's draws of codes, as those of what the embedding makes of them.

    A code that takes another's place takes it there; noise is added there.

    Parameters
    ----------
    context : of the codes
    pieces : the network in two, behind the embedding

    Raises
    ------
    ValueError
        The removal puts no codes in place of x's.
    """
    if removal.moves:
        return removal.bind(replace(context, inputs=pieces.inputs, channel_axis=pieces.axis))
    draws = removal.bind(context)
    if draws.inputs is not None:
        raise ValueError(
            f"{removal!r} makes rows of its own, and a part of a code is a mixture of two: choose "
            "another removal, such as Baseline(0) or Marginal()"
        )
    embed = find_layer(pieces.model.module, pieces.name)[1]
    latest: list[tuple[Block, Tensor]] = []

    def source(rows: Indices, places: Indices) -> tuple[Block, Indices]:
        import torch

        codes, index = draws.source(rows, places)
        known = next(iter(latest), None)  # at once: other threads make batches, too
        if known is None or known[0] is not codes:
            _refuse_unknown(codes, embed, removal)
            with torch.no_grad():
                known = codes, embed(codes)
            latest[:] = [known]
        return known[1], index

    return replace(draws, source=source)


def _refuse_unknown(codes: Tensor, embed: Any, removal: Removal) -> None:
    """Refuse replacements that an embedding cannot read."""
    count, whole = embed.num_embeddings, not codes.is_floating_point()
    if not whole or int(codes.min()) < 0 or int(codes.max()) >= count:
        given = f"{codes.min()} to {codes.max()}" if whole else str(codes.dtype)
        raise ValueError(
            f"{removal!r} gave {given} in place of codes, and the network's embedding reads whole "
            f"numbers from 0 to {count - 1}"
        )
