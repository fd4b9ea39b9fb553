"""The parts of a network up to a layer, run once for an image and answered from memory after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xai.inputs import is_tensor

if TYPE_CHECKING:
    from torch.nn import Module


_alone = threading.RLock()
"""A module's `forward` is one for all threads: they take turns with it."""


def copied(module: Module) -> Module:
    """A copy of a module, with nothing in it of a replay in another thread.

    It has gradients, also where it is copied in torch's inference mode.
    """
    import torch

    with _alone, torch.inference_mode(False):
        while True:
            try:
                return deepcopy(module)
            except RuntimeError as error:  # hooks of another thread's came or went meanwhile
                if "during iteration" not in str(error):
                    raise


@dataclass(eq=False)
class Replay:
    """What a layer and the modules before it gave for the latest image, for calls after the first.

    Only modules that do not hold the layer are answered for; what lies between them runs again.
    Nothing is changed beyond the `with`: a module's `forward` is its own again. In other threads it
    is meanwhile, too.

    Parameters
    ----------
    module, layer : the network, and its layer
    """

    module: Module
    layer: Module
    image: int = -1
    kept: dict[Module, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        parts = *_before(self.module, self.layer, set()), self.layer
        # a script's `forward` cannot be replaced
        self.parts = [part for part in parts if not isinstance(part, torch.jit.ScriptModule)]

    @contextmanager
    def of(self, image: int) -> Iterator[Callable[[], None]]:
        """Answer for an image; call what is yielded once the layer's last output is there."""
        with _alone:
            known = image == self.image
            if not known:
                self.image, self.kept = -1, {part: [] for part in self.parts}
            state = _Pass(self.kept, known)
            own = [part.__dict__.get("forward") for part in self.parts]
            try:
                for part in self.parts:
                    part.__dict__["forward"] = state.answer(part, part.forward)
                yield state.reached
                self.image = image
            finally:
                for part, forward in zip(self.parts, own, strict=True):
                    if forward is None:
                        del part.__dict__["forward"]
                    else:
                        part.__dict__["forward"] = forward


@dataclass(eq=False)
class _Pass:
    """One pass through the network: recorded, or answered as recorded."""

    kept: dict[Module, list[Any]]
    known: bool
    behind: bool = False
    calls: dict[Module, int] = field(default_factory=dict)
    thread: int = field(default_factory=threading.get_ident)

    def reached(self) -> None:
        """The layer has given its last output: what runs now is the rest."""
        self.behind = True

    def answer(self, part: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if self.behind or threading.get_ident() != self.thread:
                return forward(*given, **named)
            if not self.known:
                out = forward(*given, **named)
                self.kept[part].append(_copy(out))
                return out
            place = self.calls.get(part, 0)
            self.calls[part] = place + 1
            return _copy(self.kept[part][place])

        return call


def _before(module: Module, layer: Module, seen: set[Module]) -> Iterator[Module]:
    """The largest modules of which none holds the layer, each once: those in `seen` were met."""
    import torch

    for child in module.children():
        if child in seen or child is layer:
            continue
        seen.add(child)
        holder = isinstance(child, torch.nn.ModuleList | torch.nn.ModuleDict)
        if holder or any(part is layer for part in child.modules()):
            yield from _before(child, layer, seen)
        else:
            yield child


def _copy(out: Any) -> Any:
    """Copies of tensors: a later layer may write on what it is given."""
    if is_tensor(out):
        return out.detach().clone()
    if isinstance(out, dict):
        parts = copy(out)  # of its own kind, whose entries may be attributes, too
        for key, part in out.items():
            parts[key] = _copy(part)
        return parts
    if type(out) in (tuple, list):
        return type(out)(map(_copy, out))
    return out
