"""Randomisation: whether an explanation changes when what the model has learnt is lost.

For torch modules. The model itself is never changed: its copies are.

Pure noise is the best explanation by these metrics, as it is never like itself; and networks keep
much of what a channel amounts to when a layer is drawn anew, so that no explanation can change
altogether (Binder et al. 2023). So a score comes with, and prints, a figure of faithfulness,
``info["faithfulness"]``: `abpc` in so many `steps` (0: none), about 0 for noise; and with a floor,
``info["floor"]``, where one is known: where the layers above are drawn anew, and those below keep
the activations that the floor is made of. An entropy has none, nor has another class of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from threading import Lock, get_ident
from typing import Any, Literal

import numpy as np

from xai import streams
from xai.inputs import widest
from xai.kernels.angles import angles
from xai.kernels.correlation import scale
from xai.metrics import checks
from xai.metrics.case import Case, Result, Scene, metric, outputs
from xai.metrics.faithfulness import abpc
from xai.metrics.models import run_alike
from xai.metrics.numerics import FLAT, average_ranks, of_present, pearson, ratio, spearman
from xai.metrics.perturb import (
    Explain,
    check_repeats,
    explained,
    fixed,
    moved,
    normals,
    numbers,
    refuse_codes,
    together,
)
from xai.metrics.score import Floats, Indices
from xai.model import is_module
from xai.replay import copied

Order = Literal["top_down", "bottom_up", "independent"]
BINS = 100
"""Of the histograms whose entropy `efficient_parameter_randomization` compares."""
STEPS = 8
"""Of the curves whose gap is printed beside: 16 model rows for each row and draw."""
CHANNELS = 48
"""Of which pairs are looked at for the floor."""

_generators = Lock()
"""Torch's generators are the process's: one thread at a time seeds them, and puts them back."""


@metric
def parameter_randomization(
    case: Case,
    *,
    order: Order = "bottom_up",
    smooth: int = 0,
    noise: float = 0.1,
    sizes: bool = False,
    steps: int = STEPS,
    explain: Explain | None = None,
) -> Result:
    """Likeness of the attributions of models whose layers were drawn anew: mean rank correlation.

    Adebayo et al. 2018 (MPRT); layers are those with ``reset_parameters``.

    Parameters
    ----------
    order : "bottom_up", "top_down" (one layer more each time), or "independent" (one at a time)
    smooth : int
        Attributions are means over so many noisy copies of x, with `noise` times each row's
        range as standard deviation (Hedström et al. 2023: smooth MPRT); 0: of x itself. Columns
        of categories are left as they are.
    sizes : bool
        Whether sizes |a| are compared, which the paper does beside signed values.
    steps : int
        Of the `abpc` that tells the faithfulness beside; 0: none.

    Returns
    -------
    Score
        ``curve``: (n, layers) the likeness after each step; ``info["floor"]``: the likeness that
        a random last layer leaves to rankings of its channels by size, after Binder et al. 2023:
        a channel whose activation is K times another's stays ahead of it with chance
        (2/π) arctan K. `sizes` that follow the activations cannot fall below it, signed ones may.
        It is for all steps of "top_down", and for the last layer's of "independent";
        "bottom_up" changes the activations, too, and has none. NaN where the module's last layer
        does not run, or not once for each row.

    Raises
    ------
    ValueError
        An unknown order.

    Examples
    --------
    >>> import torch, xai
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> x = torch.randn(5, 4)
    >>> score = parameter_randomization(net, x, xai.explain(net, x, "gradient"))
    >>> score.curve.shape, score.better
    ((5, 2), 'lower')
    """
    checks.word("order", order, "bottom_up", "top_down", "independent")
    checks.count("smooth", smooth, least=0)
    checks.not_negative("noise", noise)
    checks.flag("sizes", sizes)
    compared: Callable[[Floats], Floats] = np.abs if sizes else np.asarray
    _check_module(case)
    check_repeats(case, explain)
    beside = _beside(case, steps)
    module = module_of(case)
    names = layers(module)
    last = names[-1]
    names = names[::-1] if order == "top_down" else names
    own = case.flat if smooth == 0 else _smoothed(case, explain, case.scene.model, smooth, noise)
    curve = np.empty((case.scene.n, len(names)))
    likeness, other = _likeness_in_rank(compared(own)), None
    for step, name in enumerate(names):
        if other is None or order == "independent":
            other = copied(module)
        _draw_anew(other, [name], case.scene.seed)
        drawn = run_alike(case.scene.model, other)
        curve[:, step] = likeness(compared(_smoothed(case, explain, drawn, smooth, noise)))
    floor = {} if order == "bottom_up" else {"floor": _floor(case, last)}
    return Result(curve.mean(axis=1), curve, floor | beside)


@metric
def efficient_parameter_randomization(
    case: Case, *, bins: int = BINS, steps: int = STEPS, explain: Explain | None = None
) -> Result:
    """Relative rise of the attribution's entropy when all layers are drawn anew.

    Hedström et al. 2023 (eMPRT): ``(H(a_random) − H(a)) / H(a)``, H of a histogram of `bins`.

    Parameters
    ----------
    steps : as for `parameter_randomization`

    Examples
    --------
    >>> import torch, xai
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> x = torch.randn(5, 4)
    >>> score = efficient_parameter_randomization(net, x, xai.explain(net, x, "gradient"))
    >>> score.values.shape, score.better
    ((5,), 'higher')
    """
    checks.count("bins", bins)
    _check_module(case)
    check_repeats(case, explain)
    beside = _beside(case, steps)
    module = module_of(case)
    drawn = randomised(module, layers(module), case.scene.seed)
    other = run_alike(case.scene.model, drawn)
    a = explained(case, case.scene.x, np.arange(case.scene.n), explain, other)
    own = np.array([_entropy(row, bins) for row in case.flat])
    rise = np.array([_entropy(row, bins) for row in a]) - own
    return Result(ratio(rise, own), info=beside)


@metric
def random_logit(case: Case, *, steps: int = STEPS, explain: Explain | None = None) -> Result:
    """Correlation of the attribution with that of another class: so many classes on, at random.

    Sixt, Granz & Landgraf 2020: near 1, the explanation does not depend on the class.

    Parameters
    ----------
    steps : as for `parameter_randomization`

    Raises
    ------
    ValueError
        The model has one output.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: np.stack([x[:, 0] - x[:, 1], x[:, 1] - x[:, 0]], axis=1)
    >>> W = np.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> slope = lambda model, x, target: W[np.asarray(target)]
    >>> round(random_logit(f, np.array([[2.0, 1.0]]), W[:1], explain=slope).mean(), 3)
    -1.0
    """
    check_repeats(case, explain)
    scene = case.scene
    if scene.rehearses:  # else x's predictions go with the first call of what is removed
        _refuse_one_output(scene)
    beside = _beside(case, steps)
    _refuse_one_output(scene)
    target, k = scene.seen.resolved.index[:, 0], scene.seen.outputs.shape[1]
    step = 1 + int(streams.integers(scene.seed, streams.MOVE, np.zeros(1, np.intp), 1, k - 1)[0, 0])
    other = (target + step) % k
    a = explained(case, scene.x, np.arange(scene.n), explain, target=other)
    return Result(of_present(case.flat, a, pearson), info=beside)


def _refuse_one_output(scene: Scene) -> None:
    if scene.seen.outputs.shape[1] < 2:
        raise ValueError("random_logit explains another class; the model has one output")


def _beside(case: Case, steps: int) -> dict[str, Floats]:
    """The attribution's faithfulness; NaN where no removal is known to measure it with."""
    checks.count("steps", steps, least=0)
    if steps == 0:
        return {}
    scene = case.scene
    known = scene.removal is not None or scene.data is not None or scene.seen.axis is not None
    if not known and not scene.seen.inputs.is_text:
        return {"faithfulness": np.full(scene.n, np.nan)}
    return {"faithfulness": np.asarray(abpc.core(case, steps=steps).values)}  # type: ignore[attr-defined]


def module_of(case: Case) -> Any:
    """The scene's torch module, in the mode in which it is evaluated: so are copies of it."""
    return case.scene.seen.model.module


def _check_module(case: Case) -> None:
    """Refuse other models before anything is evaluated."""
    if not is_module(case.scene.model):
        raise TypeError(
            "layers can be drawn anew in torch modules only, and the model is a "
            f"{type(case.scene.model).__name__}"
        )


def layers(module: Any) -> list[str]:
    """Names of the layers that can be drawn anew, from the input up."""
    names = [name for name, part in module.named_modules() if hasattr(part, "reset_parameters")]
    if not names:
        raise ValueError("no layer of the module has reset_parameters: nothing can be drawn anew")
    return names


def randomised(module: Any, names: list[str], seed: int) -> Any:
    """A copy of the module whose named layers are drawn anew, each from a seed of its own."""
    other = copied(module)
    _draw_anew(other, names, seed)
    return other


def _draw_anew(module: Any, names: list[str], seed: int) -> None:
    """Draw named layers of a copy anew."""
    import torch

    everything = layers(module)
    # hashed: torch.manual_seed(0) gives what was made with it its first weights again
    seeds = streams.bits(seed, streams.LAYER, np.arange(len(everything)), 1)[:, 0].tolist()
    for name in names:
        part = module.get_submodule(name)
        _own_weights(part)
        drawn: Any = copied(part).cpu()  # by one generator, wherever the layer lives
        with _seeded(seeds[everything.index(name)]):
            drawn.reset_parameters()
        fresh = dict(_tensors(drawn))
        with torch.no_grad():
            for key, own in _tensors(part):
                own.copy_(fresh[key])


def _tensors(part: Any) -> Iterator[tuple[str, Any]]:
    """Parameters and buffers of a layer, by name."""
    return chain(part.named_parameters(), part.named_buffers())


def _own_weights(part: Any) -> None:
    """Make weights that a layer computes of others its parameters, which can be drawn anew.

    Parametrised, normed or pruned ones would be computed of the old others again.
    """
    from torch.nn.utils import parametrize, prune
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    kind = type(part)
    if parametrize.is_parametrized(part):  # torch changes the class, which the original has, too
        part.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
    for name in list(getattr(part, "parametrizations", ())):
        parametrize.remove_parametrizations(part, name)
    kinds = prune.BasePruningMethod, SpectralNorm, WeightNorm
    for key, hook in list(part._forward_pre_hooks.items()):
        if isinstance(hook, kinds):
            hook.remove(part)
            del part._forward_pre_hooks[key]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's generator at a seed, and as it was; layers take no generator of their own."""
    import torch

    with _generators, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed % 2**63)
        yield


def _smoothed(case: Case, explain: Explain | None, model: Any, draws: int, noise: float) -> Floats:
    """Attributions of a model, averaged over noisy copies of x where there are to be some."""
    scene, n = case.scene, case.scene.n
    if draws == 0:
        return explained(case, scene.x, np.arange(n), explain, model)
    refuse_codes(scene.seen)
    inputs = scene.seen.inputs
    e = normals(inputs, scene.seed, np.arange(draws))
    free = ~fixed(inputs)
    flat = numbers(inputs)[:, free.reshape(-1)]
    reach = noise * np.ptp(flat, axis=1) if free.any() else np.zeros(n)

    def mean(rows: Indices) -> Floats:
        index = np.repeat(rows, draws)
        by = np.multiply.outer(reach[rows], np.where(free, e, 0.0)).reshape(-1, *inputs.shape)
        a = explained(case, moved(inputs, index, by), index, explain, model)
        return np.asarray(a.reshape(len(rows), draws, -1).mean(axis=1))

    return np.concatenate([mean(rows) for rows in together(inputs, draws)])


def _likeness_in_rank(own: Floats) -> Callable[[Floats], Floats]:
    """Rank correlation of each row's attributions with its own, which are ranked once."""
    if np.isnan(own).any():
        return lambda a: of_present(own, a, spearman)
    ranked = average_ranks(own)
    return lambda a: pearson(ranked, average_ranks(a))


def _entropy(row: Floats, bins: int) -> float:
    known = row[~np.isnan(row)]
    if scale(known, FLAT)[1] == 0:  # all alike but for rounding, of which no bins are made
        return 0.0
    counts, _ = np.histogram(known, bins=bins)
    p = counts[counts > 0] / counts.sum()
    return float(0.0 - (p * np.log(p)).sum())


def _floor(case: Case, last: str) -> Floats:
    """Expected rank correlation (Kendall's) of channels' contributions to a random last layer."""
    import torch

    part, kept, own = module_of(case).get_submodule(last), [], get_ident()
    convolves = isinstance(
        part, torch.nn.modules.conv._ConvNd | torch.nn.modules.batchnorm._NormBase
    )

    def keep(_: Any, inputs: Any) -> None:
        if get_ident() != own:  # the module may run in other threads, too
            return
        a = inputs[0].detach()
        dtype = torch.promote_types(a.dtype, torch.float32)
        if a.ndim > 2:  # a channel's size over its places
            a = (a.movedim(1, -1) if convolves else a).to(widest(a.device))
            a = a.square().reshape(len(a), -1, a.shape[-1]).mean(1).sqrt()
        kept.append(a.to(dtype).abs().cpu().numpy())

    with part.register_forward_pre_hook(keep):
        outputs(case.scene.x, case.scene, np.arange(case.scene.n))
    n = case.scene.n
    floors = channel_floor(np.concatenate(kept)) if kept else np.empty(0)
    return floors if len(floors) == n else np.full(n, np.nan)


def channel_floor(activation: Floats) -> Floats:
    """``E[2 (2/π) arctan K − 1]`` over pairs of channels (…, C), K ≥ 1 their activations' ratio.

    Of many channels, over pairs of some that are spread evenly over the ranks.

    Examples
    --------
    >>> channel_floor(np.array([[1.0, 1.0], [1.0, 1e9], [0.0, 0.0]])).round(3)
    array([0., 1., 0.])
    """
    ranked, C = np.sort(activation, axis=-1), activation.shape[-1]
    pairs = C * (C - 1) / 2
    if C > CHANNELS:  # each stands for channels like it, which are 0 ahead of one another
        ranked = ranked[..., ((np.arange(CHANNELS) + 0.5) * C / CHANNELS).astype(np.intp)]
        pairs *= CHANNELS**2 / C**2
    # dead channels are like one another, and others far ahead of them
    ranked = ranked + np.finfo(ranked.dtype).tiny
    *rows, looked = ranked.shape
    turned = np.empty(rows)
    angles(np.ascontiguousarray(ranked.reshape(-1, looked).T), turned.reshape(-1))
    total = looked * (looked - 1) / 2 - 4 / np.pi * turned
    return np.asarray(total / pairs if pairs else np.full_like(total, np.nan))
