"""Players inside a network: a layer's output becomes the rows, what follows it the model."""

from __future__ import annotations

import math
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Inputs, as_tensor, is_tensor, no_codes, on_host
from xai.model import Model, is_module
from xai.places import sides_of
from xai.progress import Progress
from xai.replay import Replay
from xai.suggest import unknown
from xai.threads import held
from xai.torch_model import check_layers, leaves_watched

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
LayerName: TypeAlias = "str | Module"

AGREE = 1e-4
"""How closely the rest of a network must meet the whole one, of the outputs' scale."""
HALF_AGREE = 0.03
"""The same in half precision."""
CHECKED = 32
"""Rows that are compared at once, whatever the batch size, so that a way that fails costs alike."""
INSIDE = "players or concepts inside a network"


@dataclass(frozen=True, eq=False)
class Cut:
    """A network in two at a layer's output.

    Attributes
    ----------
    model : what follows the layer, of activations (B, …)
    inputs : the explained rows' activations
    outputs : (n, K) of the whole network
    axis : the activations' channels
    activations : (n, channels, *places) feature maps on the host, or None where they have none
    name : the layer's
    shape : of an explained row
    paid : model rows that finding the way on has cost each explained row
    sides : of the explained rows' axes of places, where these are known
    others : model rows of a background or a baseline that were run up to the layer, each time
    info : {name: (n,)} what the players tell of each row
    approximated : (n, K) outputs of what the players stand for without their remainder, or None
    """

    model: Model
    inputs: Inputs
    outputs: Floats
    axis: int
    activations: Floats | None
    name: str
    shape: tuple[int, ...]
    paid: int = 0
    sides: tuple[int, ...] | None = None
    info: dict[str, Floats] = field(default_factory=dict)
    approximated: Floats | None = None
    others: list[int] = field(default_factory=list)


def cut(
    model: Model,
    inputs: Inputs,
    layer: LayerName | Finder,
    batch_size: int | None,
    bar: Progress,
    *,
    goes_on: bool,
    axis: int | None = None,
) -> Cut:
    """Run the rows through the network, keep the layer's output, and find how to go on from it.

    The rest runs behind one image, batch 1, of which the layer's output is replaced by B rows:
    what skips the layer is then that image's own, and broadcasts; modules before the layer are
    answered from memory, and do not run again. So it serves all rows where
    nothing skips the layer; else each row behind its own image; where a network cannot broadcast,
    behind B copies. The first of these that meets the network's own outputs is taken, at two
    forward passes of the rest for each explained row (two, since one alone always broadcasts);
    these, and those of ways that failed, count as `paid`.

    Parameters
    ----------
    layer : str, module or Finder
        "auto": the last layer, or block of layers, whose output has more than one place along
        each of an image's two sides; what a block makes of pairs of its tokens has none. Of series
        likewise along the one, of volumes along two of three.
    goes_on : bool
        Whether the rest of the network is needed at all.
    axis : int, optional
        Which axis of the explained rows holds their channels; None where that is not known.

    Raises
    ------
    TypeError
        The model is no torch module.
    ValueError
        An unknown layer, one that does not run or gives no tensor, or of which no replacement
        reproduces the network's outputs.
    """
    import torch

    if model.module is None:
        raise TypeError("players inside a network need a torch module")
    auto = isinstance(layer, str) and layer == "auto"
    sides = None if axis is None else sides_of(inputs.shape, axis)
    finder = LastMap(2 if sides is None else len(sides), sides or ()) if auto else layer
    probe = None if isinstance(finder, Finder) else probe_of(model, finder)
    size = batch_size or 32
    kept, outs = [], []
    for start in range(0, inputs.n, size):
        block = inputs.block[start : start + size].clone()  # the first layer may write on it
        if probe is None:
            assert isinstance(finder, Finder)
            with finder.watching(model.module):
                outs.append(model(block))
            probe, activations = finder.found(model)
        else:
            with probe.watching() as seen:
                outs.append(model(block))
            activations = probe.latest(seen)
        kept.append(activations)
        bar.update(len(block))
    assert probe is not None
    acts, out = torch.cat(kept), np.concatenate(outs)
    return _pieces(model, inputs, probe, acts, out, size, goes_on, sides)


def _pieces(
    model: Model,
    inputs: Inputs,
    probe: Probe,
    acts: Tensor,
    outputs: Floats,
    size: int,
    goes_on: bool,
    sides: tuple[int, ...] | None,
) -> Cut:
    import torch

    if len(acts) != inputs.n:
        raise ValueError(
            f"layer {probe.name!r} gives {len(acts)} rows for {inputs.n} explained ones: choose a "
            "layer that keeps the batch"
        )

    def encode(rows: Any, what: str) -> Any:
        if is_made(rows, acts, inputs.shape):
            return as_tensor(rows).to(acts.device, acts.dtype)
        block, parts = inputs.encode(rows, what), []
        for start in range(0, len(block), size):
            with probe.watching() as seen:
                model(block[start : start + size].clone())
            parts.append(probe.latest(seen))
        others.append(len(block))
        return torch.cat(parts)

    others: list[int] = []
    axis = probe.channel_axis(acts, inputs.shape)
    found = Inputs(acts, lambda block: block, encode, categorical=no_codes(acts))
    maps = feature_maps(acts, axis, sides)
    if not goes_on:
        return Cut(model, found, outputs, axis, maps, probe.name, inputs.shape, sides=sides)
    rest, paid = _rest(model, probe, inputs.block, acts, outputs, size)
    return Cut(
        rest, found, outputs, axis, maps, probe.name, inputs.shape, paid, sides, others=others
    )


def is_made(rows: Any, like: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether rows are what a layer makes, not what it is made of: of its shape, and not of x's."""
    own = tuple(rows.shape[1:]) if hasattr(rows, "shape") else None
    return own == tuple(like.shape[1:]) != shape


def probe_of(model: Model, layer: LayerName) -> Probe:
    """A probe of a layer that is named, or given itself."""
    assert model.module is not None
    check_layers(model.module, INSIDE)
    return Probe(model.module, *find_layer(model.module, layer), run=model.forward)


def find_layer(module: Module, layer: LayerName) -> tuple[str, Module]:
    """A layer by name, or as itself.

    Raises
    ------
    ValueError
        No layer of the module, with the nearest name.
    """
    names = {name: part for name, part in module.named_modules() if name}
    if isinstance(layer, str):
        with suppress(AttributeError):
            if layer:  # it may have several names
                return layer, module.get_submodule(layer)
        raise ValueError(unknown("layer", layer, list(names)))
    for name, part in names.items():
        if part is layer:
            return name, part
    given = type(layer).__name__ if is_module(layer) else f"layer={layer!r}"
    raise ValueError(f"{given} is no layer of the model: pass one of its modules, or its name")


@dataclass(eq=False)
class Finder(ABC):
    """Finds a layer by what it does while the network runs.

    Attributes
    ----------
    name, calls, output : of the layer, "" where none is found; how often it has run, what it gave
    """

    name: str = field(default="", init=False)
    calls: int = field(default=0, init=False)
    output: Any = field(default=None, init=False)

    @abstractmethod
    def watching(self, module: Module) -> AbstractContextManager[None]:
        """Watch the layers; of the one that is sought the output is kept."""

    def found(self, model: Model) -> tuple[Probe, Tensor]:
        """The layer, and its output; an error that says what to do where there is none."""
        probe = probe_of(model, self.name)
        probe.calls = self.calls
        return probe, self.output


@dataclass(eq=False)
class LastMap(Finder):
    """Finds, while the network runs, the last that gives feature maps of many places.

    A block of layers comes after those that it holds: what it gives has all of its branches. With
    one axis of `places` it has channels first, as a convolution gave them: of sequences that have
    them last every layer would do, down to the classes.

    Attributes
    ----------
    places : how many axes of them a map has
    sides : of these axes in an image, where known
    ran, at : layers that have run, and how many had when the latest with maps did
    norms : names of those that normalise tokens laid out as an image is
    """

    places: int = 2
    sides: tuple[int, ...] = ()
    ran: int = 0
    at: int = -1
    norms: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self, module: Module) -> Iterator[None]:
        """Watch all layers and blocks of them; of the latest with maps a copy is kept."""
        check_layers(module, INSIDE)
        first = _kinds(CHANNELS_FIRST)
        counts: dict[str, int] = {}
        width: int | None = None  # the channels of the latest layer that has them first

        def keep(name: str, out: Tensor) -> None:
            counts[name] = counts.get(name, 0) + 1
            fits = out.ndim == self.places + 2
            fits = fits and sorted(out.shape[2:])[-min(self.places, 2)] > 1
            if name and fits and (self.places > 1 or out.shape[1] == width):
                self.at, self.name, self.calls = self.ran, name, counts[name]
                self.output = out.detach().clone()

        def note(name: str, out: Tensor) -> None:
            nonlocal width
            self.ran += 1
            part = module.get_submodule(name)
            known = widths(part)
            if known is not None:
                width = known[1] if isinstance(part, first) else None
            normalises = "Norm" in type(part).__name__ and name not in self.norms
            if normalises and _tokens_grid(out.shape, self.sides):
                self.norms.append(name)
            keep(name, out)

        def block(name: str, given: Any, out: Any) -> None:
            if is_tensor(out):
                keep(name, out)
            out = out[0] if isinstance(out, tuple) and out else out
            if is_tensor(out) and out.ndim == 3 and self.name.startswith(f"{name}."):
                images = any(is_tensor(part) and part.ndim == 4 for part in given)
                if self.places == 2 and not images and out.shape[1] in self.output.shape[2:]:
                    self.at, self.name = -1, ""  # attention: of tokens, not of places

        with leaves_watched(module, note, block):
            yield

    def found(self, model: Model) -> tuple[Probe, Tensor]:
        """The layer, and its output.

        Raises
        ------
        ValueError
            There is none in the network's later part: a layer must be named.
        """
        if self.at <= self.ran // 3:
            raise ValueError(
                "no later layer of the network gives feature maps (n, channels, "
                f"{SIDES.get(self.places, 'places')}): name one whose output has places, layer="
                f"'…'; of a transformer the last block's first norm{self._advice()}"
            )
        return super().found(model)

    def _advice(self) -> str:
        """The first of the norms that the latest module holds which holds several."""
        holders = [name.rpartition(".")[0] for name in self.norms]
        for holder in holders[::-1]:
            if holder and holders.count(holder) > 1:
                return f", here perhaps layer={self.norms[holders.index(holder)]!r}"
        return ""


SIDES = {1: "steps", 2: "height, width", 3: "depth, height, width"}
"""What the axes of places are called, by their number."""


class _Reached(Exception):  # noqa: N818 — no error: the way out of a pass
    """A layer has given its last output: nothing behind it need run."""


@dataclass(eq=False)
class Probe:
    """Watches a layer's output, or replaces it; hooks live no longer than one call.

    `calls` is how often the layer runs in one pass, 0 where that is not known yet; `run` what is
    called for the outputs, the module itself where None.
    """

    module: Module
    name: str
    layer: Module
    calls: int = 0
    run: Callable[..., Any] | None = None

    def channel_axis(self, acts: Tensor, shape: tuple[int, ...]) -> int:
        """The axis of what the layer gives that holds its channels; see the function."""
        return channel_axis(acts, shape, self.layer, self.module)

    @contextmanager
    def watching(self) -> Iterator[list[Tensor]]:
        """Collect copies of what the layer gives: later layers may write on it."""
        seen: list[Tensor] = []
        own = threading.get_ident()

        def note(_: Any, __: Any, out: Any) -> None:
            first = out[0] if isinstance(out, tuple) and out else out
            if threading.get_ident() == own and is_tensor(first):
                seen.append(first.detach().clone())

        with self._hook(note):
            yield seen

    def latest(self, seen: list[Tensor]) -> Tensor:
        """The output of the layer's last call: a module may be used many times."""
        if not seen:
            raise ValueError(
                f"layer {self.name!r} did not run, or gave no tensor, when the model was called"
            )
        self.calls = len(seen)
        return seen[-1]

    def reach(self, batch: Tensor) -> Tensor:
        """The layer's output, with gradients; once its last call is known, no layer behind runs."""
        seen: list[Tensor] = []
        own, known = threading.get_ident(), self.calls

        def note(_: Any, __: Any, out: Any) -> None:
            first = out[0] if isinstance(out, tuple) and out else out
            if threading.get_ident() != own or not is_tensor(first):
                return
            seen.append(first if known else first.clone())  # later layers may write on it
            if len(seen) == known:
                raise _Reached

        with self._hook(note), suppress(_Reached):
            self.module(batch.clone())  # its first layer may write on it
        return self.latest(seen)

    def go_on(
        self, image: Tensor, block: Tensor, reached: Callable[[], None] = lambda: None
    ) -> Any:
        """The network's outputs on an image, with the layer's last output replaced.

        Parameters
        ----------
        reached : called when it is
        """
        own, left = threading.get_ident(), self.calls

        def put(_: Any, __: Any, out: Any) -> Any:
            nonlocal left
            if threading.get_ident() != own:
                return None
            left -= 1
            if left:
                return None
            reached()
            return (block, *out[1:]) if isinstance(out, tuple) else block

        with self._hook(put):
            return (self.run or self.module)(image)

    @contextmanager
    def _hook(self, function: Callable[[Any, Any, Any], Any]) -> Iterator[None]:
        import torch

        kinds = torch.nn.TransformerEncoderLayer, torch.nn.MultiheadAttention
        fuses = any(isinstance(part, kinds) for part in self.module.modules())
        unfused = held(_unfused, [torch.backends.mha] if fuses else [])
        with unfused, self.layer.register_forward_hook(function):
            yield


def _unfused(mha: Any) -> Callable[[], object]:
    """Switch torch's fused transformer layers off: they pass over the hooks of what they hold."""
    fuses = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    return partial(mha.set_fastpath_enabled, fuses)


Way: TypeAlias = Callable[["Tensor", Indices], Any]


def _rest(
    model: Model, probe: Probe, x: Tensor, acts: Tensor, outputs: Floats, size: int
) -> tuple[Model, int]:
    """The rest of the network as a model, the first way that reproduces the outputs; its cost."""
    import torch

    replay = Replay(probe.module, probe.layer)

    def behind(row: int, block: Tensor) -> Any:
        with replay.of(row) as reached:
            return probe.go_on(x[row : row + 1].clone(), block, reached)

    def behind_one(block: Tensor, rows: Indices) -> Any:
        return behind(0, block)

    def behind_each(block: Tensor, rows: Indices) -> Any:
        runs = runs_of(rows)
        if len(runs) == 1:
            return behind(int(rows[0]), block)
        parts = [block[start:stop] for start, stop in runs]
        if block.requires_grad:  # views of one block cannot be written on run by run
            parts = [part.clone() for part in parts]
        images = [int(rows[start]) for start, _ in runs]
        return torch.cat([behind(row, part) for row, part in zip(images, parts, strict=True)])

    def behind_copies(block: Tensor, rows: Indices) -> Any:
        return probe.go_on(x[torch.as_tensor(rows, device=x.device)], block)

    paid = 0
    for way in (behind_one, behind_each, behind_copies):
        rest = replace(
            model,
            call=torch.no_grad()(way),
            prepare=lambda block: block,
            forward=way,
            by_row=True,
            alike=way is behind_one,
        )
        broadcasts = way is not behind_copies
        met, spent = _meets(rest, acts, outputs, size, broadcasts=broadcasts)
        paid += -(-spent // len(acts))
        if met:
            return rest, paid
    raise ValueError(
        f"replacing the output of layer {probe.name!r} by itself does not reproduce the network's "
        "outputs: choose another layer"
    )


def _meets(
    rest: Model, acts: Tensor, outputs: Floats, size: int, *, broadcasts: bool
) -> tuple[bool, int]:
    """Whether the rest reproduces the outputs, each row twice in a batch; and the rows spent."""
    runs = rest.torch_model
    agree = AGREE if runs is None or runs.precision is None else HALF_AGREE
    scale = max(float(np.abs(outputs).max()), 1e-12)
    spent = 0
    twice = np.repeat(np.arange(len(acts)), 2)
    for start in range(0, len(twice), CHECKED):
        part = twice[start : start + CHECKED]
        calls = [part[at : at + size] for at in range(0, len(part), size)]
        try:
            out = np.concatenate([rest(acts[rows], rows) for rows in calls])
        except Exception:  # whatever a network raises of shapes that it cannot broadcast
            if not broadcasts:
                raise
            return False, spent + 1  # of the image that it ran behind
        spent += len(out)
        if out.shape != outputs[part].shape or np.abs(out - outputs[part]).max() > agree * scale:
            return False, spent
    return True, spent


# -------------------------------------------------------------------------------- feature maps


CHANNELS_FIRST = (
    *(f"{kind}{n}d" for n in (1, 2, 3) for kind in
      ("Conv", "ConvTranspose", "BatchNorm", "InstanceNorm", "MaxPool", "AvgPool",
       "AdaptiveMaxPool", "AdaptiveAvgPool")),
    "GroupNorm",
)  # fmt: skip
"""torch's layers that have channels on axis 1, whatever they are given."""
CHANNELS_LAST = (
    "Embedding", "RNNBase", "MultiheadAttention", "TransformerEncoder", "TransformerEncoderLayer",
    "TransformerDecoder", "TransformerDecoderLayer",
)  # fmt: skip
"""Those that have them last."""


def channel_axis(
    acts: Tensor, shape: tuple[int, ...], layer: Module | None = None, module: Module | None = None
) -> int:
    """The axis of channels: 1 of maps and signals, the last of tokens and of maps that end in it.

    It is what the `layer` says that gave them, where that is of a kind that has it in one place, as
    a convolution. Of series and volumes it is the axis as wide as the latest layer of the `module`
    that says how wide it is. Elsewhere what the other axes are is seen from the explained rows'
    `shape`: maps have the proportions of their images (channels, height, width), and signals
    (channels, length) or sequences (length, width) nearly keep their length. Where both would do,
    maps have channels first, tokens last.
    """
    if acts.ndim not in (2, 3, 4, 5):
        raise ValueError(
            f"the layer's output has shape {tuple(acts.shape)}: expected (n, channels), "
            "(n, tokens, channels) or feature maps"
        )
    sides, last = tuple(acts.shape[1:]), acts.ndim - 1
    if isinstance(layer, _kinds(CHANNELS_FIRST)):
        return 1
    if isinstance(layer, _kinds(CHANNELS_LAST)):
        return last
    if layer is not None and module is not None and last > 1 and len(shape) != 3:
        for part in _until(module, layer):
            known = widths(part)
            if known is not None:
                axis = _axis_of(sides, part, known[1])
                if axis is not None:
                    return axis
                break
    if last == 3 and len(shape) == 3:
        return 3 if _off(sides[:2], shape[1:]) < min(1, _off(sides[1:], shape[1:])) else 1
    if last == 2 and len(shape) == 2:
        kept = [abs(np.log(a / b)) for a, b in zip(sides, shape, strict=True)]
        return 1 if kept[1] < kept[0] else 2
    return 1 if last >= 3 else last


def channels_read(module: Module, shape: tuple[int, ...]) -> int | None:
    """The axis of rows of a shape whose size is what the network's first layer takes.

    0 where it takes a channel that the rows do not have; None where none tells.
    """
    for part in module.modules():
        known = widths(part)
        if known is not None:
            axis = _axis_of(shape, part, known[0])
            return axis if len(shape) > 1 or axis == 0 else None  # a table's columns are no places
    return None


def widths(part: Module) -> tuple[int, int] | None:
    """How many channels a layer takes and gives, where it says so."""
    said: Any = part  # of kinds whose attributes are known
    if isinstance(part, _kinds(("RNNBase",))):
        gives = said.proj_size or said.hidden_size
        return said.input_size, gives * (2 if said.bidirectional else 1)
    if isinstance(part, _kinds(("LayerNorm",))) and len(said.normalized_shape) == 1:
        return said.normalized_shape[0], said.normalized_shape[0]
    if isinstance(part, _kinds((*CHANNELS_FIRST, *CHANNELS_LAST, "Linear"))):
        for takes, gives in _WIDTHS:
            if hasattr(part, takes):
                return getattr(part, takes), getattr(part, gives)
    return None


_WIDTHS = (
    ("in_channels", "out_channels"), ("in_features", "out_features"),
    ("num_features", "num_features"), ("num_channels", "num_channels"), ("embed_dim", "embed_dim"),
)  # fmt: skip


def _axis_of(shape: tuple[int, ...], part: Module, width: int) -> int | None:
    """The axis of rows of a shape that has a layer's channels: its own, else the only so wide."""
    likely = len(shape)
    if isinstance(part, _kinds(CHANNELS_FIRST)):
        places = re.search(r"([123])d$", _torchs_name(part))
        likely = len(shape) - int(places[1]) if places else 1
    if likely >= 0 and width == (shape[likely - 1] if likely else 1):
        return likely
    fits = [axis for axis, size in enumerate(shape, start=1) if size == width]
    return fits[0] if len(fits) == 1 else None


def _torchs_name(part: Module) -> str:
    """What torch calls the kind of a layer, whose own class may be derived from it."""
    return next(c.__name__ for c in type(part).__mro__ if c.__module__.startswith("torch.nn"))


def _until(module: Module, layer: Module) -> list[Module]:
    """What is registered up to the end of a layer, the latest first."""
    parts = list(module.modules())
    at = next(i for i, part in enumerate(parts) if part is layer)
    return parts[: at + len(list(layer.modules()))][::-1]


def _kinds(names: Sequence[str]) -> tuple[type, ...]:
    """Classes of torch's layers, by name."""
    import torch

    return tuple(getattr(torch.nn.modules, name) for name in names)


def _off(sides: tuple[int, ...], image: tuple[int, ...]) -> float:
    """By how many places a height and a width miss the proportions of an image."""
    (h, w), (height, width) = sides, image
    return min(abs(h - w * height / width), abs(w - h * width / height))


def feature_maps(acts: Any, axis: int, sides: tuple[int, ...] | None) -> Floats | None:
    """Activations as (n, channels, *places); tokens that are no places, as a class's, left out.

    None where there are no places, or `sides`, the explained rows' axes of places, are not known.
    Tokens make up a grid of the proportions of an image; those of a series are in its order.
    """
    array = np.asarray(on_host(acts))
    if sides and array.ndim == 2 + len(sides):
        return np.moveaxis(array, axis, 1)
    grid = _tokens_grid(array.shape, sides or ())
    if grid is None:
        return None
    extra = array.shape[1] - math.prod(grid)
    return np.moveaxis(array[:, extra:].reshape(len(array), *grid, array.shape[2]), -1, 1)


def _tokens_grid(shape: Sequence[int], sides: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width of tokens (n, tokens, channels) behind those that are no places."""
    if len(shape) != 3 or len(sides) != 2:
        return None
    tokens = shape[1]
    for extra in range(min(tokens, 9)):  # a class token, a distillation token, registers
        grid = _grid(tokens - extra, sides[0] / sides[1])
        if grid is not None:
            return grid
    return None


def _grid(places: int, proportion: float) -> tuple[int, int] | None:
    """Height and width of `places` tokens, where an image of such a proportion has so many."""
    height = round(np.sqrt(places * proportion))
    if height < 1 or places % height or places < 4:
        return None
    exact = abs(height / (places // height) - proportion) < 1e-6
    return (height, places // height) if exact else None


def runs_of(rows: Indices) -> list[tuple[int, int]]:
    """Where runs of equal rows start and stop."""
    if not len(rows):
        return []
    return list(pairwise([0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), len(rows)]))
