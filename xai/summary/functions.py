"""What a network calls as a function, so that captum's hooks, which are on layers, never see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Made: TypeAlias = "Callable[..., Module]"
"""What makes a layer of a call: of the function, and of what it was given beside its tensor."""

CURVES = (
    "celu", "elu", "erf", "exp", "expm1", "gelu", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "log", "log1p", "logsigmoid", "mish", "relu", "relu6", "reciprocal", "rsqrt",
    "selu", "sigmoid", "silu", "softplus", "softsign", "sqrt", "square", "tanh", "tanhshrink",
)  # fmt: skip
"""torch's functions number by number, whose rule is that of every activation."""
POOLS = ("max_pool1d", "max_pool2d", "max_pool3d")
POOLING = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
"""What they are given, in their order, which is not that of the layers."""
PRODUCTS = "mul", "multiply", "matmul", "bmm"


def rectifiers() -> Mapping[Any, Made]:
    """The functions that guided backpropagation and deconvolution change, as layers."""
    import torch

    return _called(["relu"], torch.nn.ReLU)


def nonlinear() -> Mapping[Any, Made]:
    """Those that captum's DeepLIFT has rules for."""
    import torch

    def pooling(function: Any, *given: Any, **named: Any) -> Module:
        options = dict(zip(POOLING, given, strict=False)) | named
        options.pop("return_indices", None)
        kind: type[Module] = getattr(torch.nn, f"MaxPool{function.__name__[-2]}d")
        return kind(**options)

    pools = dict.fromkeys(_functions(POOLS), pooling)
    softmax = _called(["softmax"], torch.nn.Softmax)
    return {**_called(CURVES, torch.nn.Tanh), **softmax, **pools}


def _called(names: Iterable[str], kind: type[Module]) -> dict[Any, Made]:
    """Functions as layers of a kind that captum has the rule of, and that call them."""

    def made(function: Any, *given: Any, **named: Any) -> Module:
        layer = kind()
        layer.__dict__["forward"] = lambda x: function(x, *given, **named)
        return layer

    return dict.fromkeys(_functions(names), made)


def _functions(names: Iterable[str]) -> list[Any]:
    """All that go by a name: torch's own, `functional`'s and a tensor's, in place or not."""
    import torch

    homes = torch, torch.nn.functional, torch.Tensor, torch.special
    every = [f"{name}{end}" for name in names for end in ("", "_")]
    return [getattr(home, name) for home in homes for name in every if hasattr(home, name)]


@contextmanager
def as_layers(
    network: Module,
    n: int,
    known: Mapping[Any, Made],
    hooked: Callable[[Module], Module],
    *,
    shares: bool = False,
) -> Iterator[None]:
    """Run each call of a known function as a layer of its own, once that is hooked.

    Parameters
    ----------
    network : whose layers of these kinds are hooked already: what these call is theirs
    n : rows that are run; of a tensor whose first axis is no multiple of them nothing is known
    known : functions -> what makes a layer of a call
    hooked : a layer -> what runs in its place
    shares : whether rows are followed by as many baselines, and products share what they change
    """
    import torch
    from torch.overrides import TorchFunctionMode

    products = {
        function: getattr(torch, name) for name in PRODUCTS for function in _functions([name])
    }
    inside = 0

    class Called(TorchFunctionMode):
        """It closes over no network: a class made in a function stays until a collection."""

        def __init__(self, hooked: Callable[[Module], Module], shares: bool) -> None:
            super().__init__()
            self.hooked, self.shares = hooked, shares

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            named = kwargs or {}
            made = known.get(function)
            if inside or not _of_rows(args[:1], n) or named.get("return_indices"):
                return function(*args, **named)
            if made is not None:
                out = self.hooked(made(function, *args[1:], **named))(args[0])
            elif self.shares and function in products and len(args) == 2 and _of_rows(args, n):
                out = _shared(products[function], *args)
            else:
                return function(*args, **named)
            in_place = named.get("inplace") or function.__name__.endswith("_")
            return args[0].copy_(out) if in_place else out

    def enter(*_: Any) -> None:
        nonlocal inside
        inside += 1

    def leave(*_: Any) -> None:
        nonlocal inside
        inside -= 1

    own = [part for part in network.modules() if type(part).__module__.startswith("torch.nn.")]
    with ExitStack() as hooks, Called(hooked, shares) if known else nullcontext():
        for part in own:
            if not list(part.children()):
                hooks.enter_context(part.register_forward_pre_hook(enter))
                hooks.enter_context(part.register_forward_hook(leave, always_call=True))
        yield


def _shared(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A product whose gradients are multipliers: Δ(ab) = Δa b̄ + ā Δb, of means over both ends.

    These are the Shapley values of its two factors.
    """
    a_mean, b_mean = (
        part.detach().reshape(2, -1, *part.shape[1:]).mean(0).repeat(2, *[1] * (part.ndim - 1))
        for part in (a, b)
    )
    parts = product(a, b_mean) + product(a_mean, b)
    return parts + (product(a, b) - parts).detach()


def _of_rows(args: Any, n: int) -> bool:
    """Whether all are tensors of the rows, that gradients go through."""
    tensors = (getattr(x, "requires_grad", False) and x.ndim > 0 for x in args)
    return len(args) > 0 and all(tensors) and all(len(x) % n == 0 for x in args)
