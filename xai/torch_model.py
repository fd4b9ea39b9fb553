"""How a torch module is to be run: which of its outputs, in what precision and memory format."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from xai.archive import require
from xai.inputs import SEVERAL
from xai.suggest import unknown
from xai.threads import held, one_thread_of_blas

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

T = TypeVar("T")
Output: TypeAlias = "str | int | Callable[[Any], Any] | None"
Precision: TypeAlias = Literal["bfloat16", "float16"]
PRECISIONS = ("bfloat16", "float16")
KEPT_BYTES = 2**25 - 2**16
"""The largest block that glibc keeps once it is freed is 32 MB, with what it notes beside it."""


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A torch module with how it is to be run; pass it to `explain` in the module's place.

    Parameters
    ----------
    module : torch.nn.Module
    output : str, int or callable, optional
        Which output is explained, of a module that returns several: a key, attribute or place, or
        a function of what the module returns. None: the tensor itself, or what is called `logits`.
    precision : {"bfloat16", "float16"}, optional
        Run in `torch.autocast` of this type; values have its rounding errors.
    channels_last : bool
        Run images with the channels' numbers next to one another in memory, which most
        convolutions are faster with. The module's own weights are put back afterwards.

    Raises
    ------
    TypeError
        `module` is none.
    ValueError
        An unknown precision.

    Examples
    --------
    >>> import torch
    >>> TorchModel(torch.nn.Linear(2, 2), precision="bfloat16").precision
    'bfloat16'
    """

    module: Module
    output: Output = None
    precision: Precision | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        torch = require("torch", "torch")
        if not isinstance(self.module, torch.nn.Module):
            raise TypeError(f"{type(self.module).__name__} is no torch module")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ValueError(unknown("precision", self.precision, PRECISIONS))

    def __call__(self, batch: Any) -> Any:
        """The chosen output of one batch."""
        import torch

        batch = self.laid_out(batch)
        try:
            if self.precision is None:
                return self.chosen(self.module(batch))
            with torch.autocast(batch.device.type, getattr(torch, self.precision)):
                return self.chosen(self.module(batch))
        except (RuntimeError, TypeError, IndexError) as error:
            _tell_of_inputs(error, batch)
            raise

    def quiet(self, batch: Any) -> Any:
        """The same without gradients."""
        with self.no_gradients():
            return self(batch)

    def no_gradients(self) -> AbstractContextManager[object]:
        """Gradients off, which torch switches thread by thread: so call by call, or several."""
        import torch

        return torch.no_grad() if torch.is_grad_enabled() else nullcontext()

    def laid_out(self, batch: Any) -> Any:
        """A batch in the memory format that the module runs in."""
        import torch

        if not self.channels_last or batch.ndim != 4:
            return batch
        return batch.contiguous(memory_format=torch.channels_last)

    def chosen(self, out: Any) -> Any:
        """The output that is explained, of what the module returned."""
        import torch

        if callable(self.output):
            return self.output(out)
        if self.output is None:
            return out if isinstance(out, torch.Tensor) else getattr(out, "logits", out)
        told = f"output={self.output!r}: the module returned a {type(out).__name__}"
        if isinstance(out, torch.Tensor):  # its first row is no output
            raise TypeError(f"{told}, which is its one output: leave output= out")
        if isinstance(out, dict) and isinstance(self.output, str) and self.output not in out:
            raise ValueError(unknown("output", self.output, out))
        try:
            if isinstance(self.output, str) and not isinstance(out, dict):
                return getattr(out, self.output)
            return out[self.output]
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"{told}, which has no such output") from error

    @contextmanager
    def session(self) -> Iterator[None]:
        """Eval mode, parameters out of gradients and, where asked for, channels last; then back.

        Sessions of one module may overlap, in several threads: the last to end puts it back. On
        several threads of the host, NumPy's are held back.
        """
        import torch

        module = self.module
        parts = list(module.modules())[::-1]  # what holds them is put back first
        parameters = list(module.parameters())
        images = [p for p in parameters if self.channels_last and p.ndim == 4]
        here = all(p.device.type == "cpu" for p in parameters)
        if here:
            _keep_what_is_freed()
        several = here and torch.get_num_threads() > 1
        with (
            held(_remembered, parts),
            held(_evaluated, [module]),
            held(_frozen, parameters),
            held(_with_channels_last, images),
            one_thread_of_blas() if several else nullcontext(),
        ):
            yield


def _tell_of_inputs(error: Exception, batch: Any) -> None:
    """Tell with torch's error what a batch is, where channels go, where floats come from."""
    if "required positional argument" in str(error):
        error.add_note(SEVERAL)
    if batch.ndim == 3 and len(batch) in (1, 3, 4) and isinstance(error, RuntimeError):
        error.add_note(
            f"x of shape {tuple(batch.shape)} is a batch of {len(batch)} rows: one image is a "
            "batch of one, x[None]"
        )
    ends_in_colours = batch.ndim == 4 and batch.shape[3] in (1, 3, 4) and batch.shape[1] > 4
    if ends_in_colours and "channels" in str(error):
        error.add_note(
            f"a module gets images (n, channels, height, width), and x is {tuple(batch.shape)}: "
            "pass x.transpose(0, 3, 1, 2) of an array, x.permute(0, 3, 1, 2) of a tensor"
        )
    if isinstance(error, IndexError) and not batch.is_floating_point():
        error.add_note(
            f"the module was given codes from {batch.min()} to {batch.max()}: does its embedding "
            "know them all, those of data and of the removal, too?"
        )
    if batch.ndim == 3 and "channels" in str(error):
        error.add_note(
            f"a convolution over time reads (n, channels, steps), and x is {tuple(batch.shape)}: "
            "where channels are last, pass x.transpose(0, 2, 1) of an array, x.mT of a tensor"
        )
    if "'indices'" in str(error) and batch.is_floating_point():
        error.add_note(
            "an embedding reads integers, and the module got floats: pass x as integers, and "
            "choose a removal and a method that keep codes whole, such as 'shapley' with data= or "
            "removal=xai.removal.Baseline(0); or explain what the embedding makes of them, with "
            "players=xai.players.Units('name of that layer')"
        )


@cache
def _keep_what_is_freed() -> None:
    """Have glibc keep the memory of a layer's output for the next call, once for the process.

    It gives blocks of more than 128 kB back to the system, page by page, and takes them anew in
    each call: half of a small convolution's seconds. The largest block that was ever freed tells
    it which to keep; up to twice as much stays with the process. Others' allocators do not mind.
    """
    np.empty(KEPT_BYTES, np.uint8)


def _remembered(part: Module) -> Callable[[], object]:
    """Note whether a module is trained, which is put back."""
    import torch

    trained = getattr(part, "training", None)  # a frozen script has no mode

    def back() -> None:
        if trained is None:
            return
        try:
            own = type(part).train is not torch.nn.Module.train
            if own and (trained or part.training):  # which what holds it has put it in
                part.train(trained)  # what it does beside, as merging weights, is undone
        finally:
            if part.training != trained:
                part.training = trained

    return back


def _evaluated(module: Module) -> Callable[[], object]:
    """Put a module in eval mode, and all that it holds: in one call, which may do more."""
    if any(getattr(part, "training", False) for part in module.modules()):
        try:
            module.eval()
        except NotImplementedError:  # an exported program is in the mode that it was exported in
            for part in module.modules():
                part.training = False
    return lambda: None


def _frozen(parameter: Parameter) -> Callable[[], object]:
    """Take a parameter out of gradients; made in inference mode it has none, nor its flag back."""
    learns = parameter.requires_grad and not parameter.is_inference()
    if learns:
        parameter.requires_grad_(False)
    return lambda: parameter.requires_grad_(True) if learns else None


def _with_channels_last(parameter: Parameter) -> Callable[[], object]:
    """Lay a convolution's weights out with the channels' numbers next to one another."""
    import torch

    data = parameter.data
    parameter.data = data.contiguous(memory_format=torch.channels_last)
    return lambda: setattr(parameter, "data", data)


def run_watched(module: Module, run: Callable[[], T]) -> tuple[T, int, dict[str, int]]:
    """What `run` gives, how many numbers of a row the widest layer's output has, and who ran twice.

    These are names of layers, with how often each ran. 0 and none where that cannot be watched:
    layers of compiled modules do not run one by one.
    """
    import torch

    widest, calls = 0, Counter[str]()

    def note(name: str, out: torch.Tensor) -> None:
        nonlocal widest
        calls[name] += 1
        if out.is_nested:  # rows of their own lengths, as a padded batch of tokens in eval mode
            widest = max(widest, *(row.numel() for row in out.unbind()))
        elif out.ndim:
            widest = max(widest, math.prod(out.shape[1:]))

    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
    if scripted or sealed(module):
        return run(), 0, {}
    with leaves_watched(module, note):
        out = run()
    return out, widest, {name: count for name, count in calls.items() if count > 1}


def sealed(module: Module) -> str:
    """What a module was made that runs as a whole, unseen by hooks of its layers; else nothing."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return "scripted"
    compiled = hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
    return "compiled" if compiled else ""


def check_layers(module: Module, what: str) -> None:
    """Refuse a network of which what is asked for would never meet the layers.

    Raises
    ------
    TypeError
        It is scripted or compiled.
    """
    if how := sealed(module):
        raise TypeError(
            f"{what} need its layers one by one, and those of a {how} module cannot be watched: "
            "pass the module that it was made of"
        )


@contextmanager
def leaves_watched(
    module: Module,
    note: Callable[[str, Any], None],
    block: Callable[[str, Any, Any], None] | None = None,
) -> Iterator[None]:
    """Tell `note` the name and the tensor of each output of a layer that holds no others.

    And `block` the name, what was given and what came out of each that does. Of calls in the
    caller's thread: the module may run in others, too.
    """
    import torch

    own = threading.get_ident()

    def watch(name: str, holds: bool) -> Callable[[Any, Any, Any], None]:
        def look(_: Any, given: Any, out: Any) -> None:
            if threading.get_ident() != own:
                return
            if holds and block is not None:
                block(name, given, out)
                return
            out = out[0] if isinstance(out, tuple) and out else out
            if isinstance(out, torch.Tensor):
                note(name, out)

        return look

    with ExitStack() as hooks:
        for name, part in module.named_modules():
            holds = bool(list(part.children()))
            if not holds or block is not None:
                hooks.enter_context(part.register_forward_hook(watch(name, holds)))
        yield


def as_torch_model(model: Any) -> TorchModel:
    """A module as a `TorchModel` that runs it as it is."""
    return model if isinstance(model, TorchModel) else TorchModel(model)
