"""Networks as captum's rules take them: what its hooks and its types miss is written around."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

CURVES = (
    "ReLU6", "Hardtanh", "GELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "SELU", "CELU",
    "LogSigmoid", "Softsign", "Tanhshrink",
)  # fmt: skip
"""torch's activations, number by number, for which captum's DeepLIFT has no rule."""
KIN = (
    "Conv1d", "Conv3d", "BatchNorm1d", "BatchNorm3d", "AvgPool1d", "AvgPool3d",
    "AdaptiveAvgPool1d", "AdaptiveAvgPool3d", "Dropout1d", "Dropout2d", "Dropout3d",
    "Upsample", "PixelShuffle",
    *(f"{kind}{n}d" for n in (1, 2, 3)
      for kind in ("ConvTranspose", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")),
)  # fmt: skip
"""Layers of signals and volumes, whose kin of images alone captum's LRP knows; linear ones."""

BENDS = "ReLU6", "LeakyReLU", "PReLU", "RReLU"
"""ReLU's own kin, which captum's LRP does not know: lines from 0, through which relevance goes."""


def for_deeplift(network: Module) -> None:
    """Rewrite a network so that captum's DeepLIFT is complete through all that it knows."""
    _name_curves(network)
    _centre_softmax(network)
    _part_windows(network)
    _own_inputs(network)


def lrp_rules(network: Module) -> dict[Module, Any]:
    """LRP's rules for layers that captum has none for, and those that layers were given."""
    import torch
    from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule

    kinds = torch.nn.Flatten, torch.nn.Identity, *(getattr(torch.nn, name) for name in KIN)
    bends = tuple(getattr(torch.nn, name) for name in BENDS)
    rules: dict[Module, Any] = {}
    for part in network.modules():
        empty = isinstance(part, torch.nn.Sequential) and not len(part)
        if isinstance(part, kinds) or empty:
            rules[part] = EpsilonRule()
        if isinstance(part, bends):
            rules[part] = IdentityRule()
        if hasattr(part, "rule"):
            rules[part] = part.rule
    return rules


def without_lrp_rule(network: Module, rules: Mapping[Module, Any]) -> list[tuple[str, Module]]:
    """Layers that LRP knows no rule for, by name."""
    from captum.attr._core import lrp

    known = (*lrp.SUPPORTED_LAYERS_WITH_RULES, *lrp.SUPPORTED_NON_LINEAR_LAYERS)
    leaves = ((n, part) for n, part in network.named_modules() if not list(part.children()))
    return [(n, part) for n, part in leaves if part not in rules and type(part) not in known]


@contextmanager
def for_lrp(network: Module) -> Iterator[None]:
    """Let relevance meet once what several layers read, and branches share that of their sum.

    captum's hooks are on the tensors that layers are given. One that several read, or that Identity
    hands on, had relevance and gradients mixed: so each layer reads a copy. captum's rule for
    additions is for modules, a plain one hands each branch the whole: so additions are met as they
    run. What a layer adds inside itself is its own rule's.
    """
    import torch
    from captum.attr._utils.lrp_rules import EpsilonRule
    from torch.overrides import TorchFunctionMode

    sums = torch.add, torch.Tensor.add, torch.Tensor.add_  # += is the last
    running = 0

    class Shared(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            branches = len(args) == 2 and all(getattr(a, "requires_grad", False) for a in args)
            if running or not branches or func not in sums or kwargs:
                return func(*args, **(kwargs or {}))
            own = tuple(branch.clone() for branch in args)
            rule = EpsilonRule()
            rule.relevance_input, rule.relevance_output = defaultdict(list), {}
            total = rule.forward_hook(None, own, torch.add(*own))
            return args[0].copy_(total) if func is torch.Tensor.add_ else total

    def enter(_: Module, given: Any) -> Any:
        nonlocal running
        running += 1
        return tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in given)

    def leave(*_: Any) -> None:
        nonlocal running
        running -= 1

    layers = [part for part in network.modules() if not list(part.children())]
    handles = [part.register_forward_pre_hook(enter) for part in layers]
    handles += [part.register_forward_hook(leave, always_call=True) for part in layers]
    try:
        with Shared():
            yield
    finally:
        for handle in handles:
            handle.remove()


def set_apart(network: Module, reused: Mapping[str, int]) -> None:
    """Give each place in a network a layer of its own: captum hooks a layer once for each.

    One that runs several times in a pass is replaced by as many copies, one for each.
    """
    import torch

    class Turns(torch.nn.Module):
        def __init__(self, count: int, layer: Module) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(copy.deepcopy(layer) for _ in range(count))
            self.turn = 0

        def forward(self, *given: Any, **named: Any) -> Any:
            part = self.parts[self.turn % len(self.parts)]
            self.turn += 1
            return part(*given, **named)

    turning = {network.get_submodule(name): partial(Turns, count) for name, count in reused.items()}
    _visit(network, turning, set())
    turns = [part for part in network.modules() if isinstance(part, Turns)]

    def rewind(*_: Any) -> None:  # a place may not see all the runs of a layer of several
        for part in turns:
            part.turn = 0

    network.register_forward_pre_hook(rewind)


def attached(network: Module) -> None:
    """Give layers that read what does not depend on x, as positions, an input with gradients.

    captum's hooks are on what layers are given, and torch lets none be on what has no gradients.
    """
    import torch

    def enter(_: Module, given: Any) -> Any:
        x: Any = given[0] if given else None
        bare = isinstance(x, torch.Tensor) and x.is_floating_point() and not x.requires_grad
        return (
            (x.clone().requires_grad_(), *given[1:]) if bare and torch.is_grad_enabled() else None
        )

    for part in network.modules():
        if not list(part.children()):
            part.register_forward_pre_hook(enter)


def _visit(
    holder: Module, turning: Mapping[Module, Callable[[Module], Module]], seen: set[Module]
) -> None:
    """Replace what a module holds, place by place: by what is made of it, or by a copy if seen."""
    for name, part in list(holder._modules.items()):
        if part is None:
            continue
        if part in turning:
            own = turning[part](part)
        else:
            own = copy.deepcopy(part) if part in seen else part
            seen.add(own)
            _visit(own, turning, seen)
        holder._modules[name] = own


def _name_curves(network: Module) -> None:
    """Let captum, which goes by a module's type, take each activation for one that it knows."""
    import torch

    curves = tuple(getattr(torch.nn, name) for name in CURVES)
    for part in network.modules():
        if isinstance(part, curves):
            part.__dict__["forward"] = part.forward  # its own, whatever it is called
            part.__class__ = torch.nn.Tanh


def _centre_softmax(network: Module) -> None:
    """Let each row's multipliers of a softmax have a mean of 0: captum's have it over the batch."""
    import torch

    class Centred(torch.nn.Module):
        def __init__(self, softmax: Module) -> None:
            super().__init__()
            self.softmax = softmax

        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1).reshape(-1, *[1] * (x.ndim - 1))
            return cast("Tensor", self.softmax(x - (mean - mean.detach())))

    for holder in list(network.modules()):
        for name, part in list(holder._modules.items()):
            if isinstance(part, torch.nn.Softmax):
                setattr(holder, name, Centred(part))


def _part_windows(network: Module) -> None:
    """Lay windows of max pooling that overlap side by side: captum counts what two share once."""
    import torch
    from torch.nn.functional import pad

    class Parted(torch.nn.Module):
        def __init__(self, axes: list[tuple[int, int, int, int]], ceil: bool) -> None:
            super().__init__()
            self.axes, self.ceil = axes, ceil
            self.largest = torch.nn.MaxPool1d(int(np.prod([size for size, *_ in axes])))

        def forward(self, x: Tensor) -> Tensor:
            around: list[int] = []
            for axis, (size, stride, padding, dilation) in enumerate(self.axes, 2):
                span = dilation * (size - 1) + 1
                more = -(x.shape[axis] + 2 * padding - span) % stride if self.ceil else 0
                # a window that starts behind the last number is none
                around = [padding, padding + more * (padding + more < span), *around]
            x = pad(x, around, value=torch.finfo(x.dtype).min)
            for axis, (size, stride, _, dilation) in enumerate(self.axes, 2):
                x = x.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
            x = x.flatten(2 + len(self.axes))
            return cast("Tensor", self.largest(x.flatten(1, -2))).view(x.shape[:-1])

    pools: dict[type, int] = {getattr(torch.nn, f"MaxPool{n}d"): n for n in (1, 2, 3)}
    for holder in list(network.modules()):
        for name, part in list(holder._modules.items()):
            if part is None or type(part) not in pools or part.return_indices:
                continue
            given = (part.kernel_size, part.stride, part.padding, part.dilation)
            axes = list(zip(*(_each(number, pools[type(part)]) for number in given), strict=True))
            if any(stride < dilation * (size - 1) + 1 for size, stride, _, dilation in axes):
                setattr(holder, name, Parted(axes, bool(part.ceil_mode)))


def _each(number: Any, axes: int) -> tuple[int, ...]:
    """A number for each axis, where one may stand for all."""
    return tuple(number) if isinstance(number, tuple | list) else (number,) * axes


def _own_inputs(network: Module) -> None:
    """Give each activation an input of its own, which no other has given.

    Where one follows another, captum would hand the first the plain gradient of the second.
    """
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    for part in network.modules():
        if type(part) in SUPPORTED_NON_LINEAR:
            part.register_forward_pre_hook(lambda _, given: (given[0].clone(), *given[1:]))
