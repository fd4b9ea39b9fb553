"""Randomisation: whether an explanation changes when what the model has learnt is lost.

For torch modules. The model itself is never changed: its copies are.

Pure noise is the best explanation by these metrics, as it is never like itself; and networks keep
much of what a channel amounts to when a layer is drawn anew, so that no explanation can change
altogether (Binder et al. 2023). So a score comes with a floor, ``info["floor"]``, and belongs
beside a metric of faithfulness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import numpy as np

from xai import streams
from xai.metrics.case import Case, Result, metric, outputs
from xai.metrics.numerics import pearson, ratio, spearman
from xai.metrics.perturb import Explain, explained, moved
from xai.metrics.score import Floats

Order = Literal["top_down", "bottom_up", "independent"]
BINS = 100
"""Of the histograms whose entropy `efficient_parameter_randomization` compares."""


@metric
def parameter_randomization(
    case: Case,
    *,
    order: Order = "bottom_up",
    smooth: int = 0,
    noise: float = 0.1,
    explain: Explain | None = None,
) -> Result:
    """Likeness of the attributions of models whose layers were drawn anew: mean rank correlation.

    Adebayo et al. 2018 (MPRT); layers are those with ``reset_parameters``.

    Parameters
    ----------
    order : "bottom_up", "top_down" (one layer more each time), or "independent" (one at a time)
    smooth : int
        Attributions are means over so many noisy copies of x, with `noise` times each row's
        range as standard deviation (Hedström et al. 2023: smooth MPRT); 0: of x itself.

    Returns
    -------
    Score
        ``curve``: (n, layers) the likeness after each step; ``info["floor"]``: the likeness of
        rankings that a random last layer leaves (top_down), after Binder et al. 2023: a channel
        whose activation is K times another's stays ahead of it with chance (2/π) arctan K.

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
    if order not in ("bottom_up", "top_down", "independent"):
        raise ValueError(f"order={order!r}: expected 'bottom_up', 'top_down' or 'independent'")
    module = module_of(case)
    names = layers(module)
    names = names[::-1] if order == "top_down" else names
    own = case.flat if smooth == 0 else _smoothed(case, explain, module, smooth, noise)
    curve = np.empty((case.scene.n, len(names)))
    for step, name in enumerate(names):
        fresh = [name] if order == "independent" else names[: step + 1]
        other = randomised(module, fresh, case.scene.seed)
        a = _smoothed(case, explain, other, smooth, noise)
        curve[:, step] = _likeness(own, a)
    floor = np.full(case.scene.n, _floor(case, names[0])) if order == "top_down" else None
    return Result(curve.mean(axis=1), curve, {} if floor is None else {"floor": floor})


@metric
def efficient_parameter_randomization(
    case: Case, *, bins: int = BINS, explain: Explain | None = None
) -> Floats:
    """Relative rise of the attribution's entropy when all layers are drawn anew.

    Hedström et al. 2023 (eMPRT): ``(H(a_random) − H(a)) / H(a)``, H of a histogram of `bins`.

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
    module = module_of(case)
    other = randomised(module, layers(module), case.scene.seed)
    a = explained(case, case.scene.x, np.arange(case.scene.n), explain, other)
    own = np.array([_entropy(row, bins) for row in case.flat])
    return ratio(np.array([_entropy(row, bins) for row in a]) - own, own)


@metric
def random_logit(case: Case, *, explain: Explain | None = None) -> Floats:
    """Correlation of the attribution with that of another class, drawn at random for each row.

    Sixt, Granz & Landgraf 2020: near 1, the explanation does not depend on the class.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: np.stack([x[:, 0] - x[:, 1], x[:, 1] - x[:, 0]], axis=1)
    >>> W = np.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> slope = lambda model, x, target: W[np.asarray(target)]
    >>> round(random_logit(f, np.array([[2.0, 1.0]]), W[:1], explain=slope).mean(), 3)
    -1.0
    """
    scene = case.scene
    target, k = scene.seen.resolved.index[:, 0], scene.seen.outputs.shape[1]
    if k < 2:
        raise ValueError("random_logit explains another class; the model has one output")
    step = 1 + int(streams.integers(scene.seed, streams.MOVE, np.zeros(1, np.intp), 1, k - 1)[0, 0])
    other = (target + step) % k
    a = explained(case, scene.x, np.arange(scene.n), explain, target=other)
    return _likeness(case.flat, a, pearson)


def module_of(case: Case) -> Any:
    """The scene's torch module."""
    module = case.scene.seen.model.module
    if module is None:
        raise TypeError(
            "layers can be drawn anew in torch modules only, and the model is a "
            f"{type(case.scene.model).__name__}"
        )
    return module


def layers(module: Any) -> list[str]:
    """Names of the layers that can be drawn anew, from the input up."""
    names = [name for name, part in module.named_modules() if hasattr(part, "reset_parameters")]
    if not names:
        raise ValueError("no layer of the module has reset_parameters: nothing can be drawn anew")
    return names


def randomised(module: Any, names: list[str], seed: int) -> Any:
    """A copy of the module whose named layers are drawn anew, each from a seed of its own."""
    other = deepcopy(module)
    everything = layers(module)
    for name in names:
        with _seeded(seed + everything.index(name)):
            other.get_submodule(name).reset_parameters()
    return other


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's generator at a seed, and as it was before; layers take no generator of their own."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed % 2**63)
        yield


def _smoothed(case: Case, explain: Explain | None, model: Any, draws: int, noise: float) -> Floats:
    """Attributions of a model, averaged over noisy copies of x where there are to be some."""
    scene, n = case.scene, case.scene.n
    if draws == 0:
        return explained(case, scene.x, np.arange(n), explain, model)
    from scipy.special import ndtri

    inputs = scene.seen.inputs
    width = int(np.prod(inputs.shape))
    u = streams.uniforms(scene.seed, streams.MOVE, np.arange(draws), width)
    e = ndtri(u + 2.0**-54).reshape(draws, *inputs.shape)
    index = np.repeat(np.arange(n), draws)
    block = inputs.block.detach().cpu() if hasattr(inputs.block, "detach") else inputs.block
    flat = np.asarray(block, np.float64).reshape(n, -1)
    reach = (noise * (flat.max(axis=1) - flat.min(axis=1)))[index]
    by = reach.reshape(-1, *[1] * len(inputs.shape)) * np.tile(e, (n, *[1] * len(inputs.shape)))
    a = explained(case, moved(inputs, index, by), index, explain, model)
    return np.asarray(a.reshape(n, draws, -1).mean(axis=1))


def _likeness(a: Floats, b: Floats, of: Any = spearman) -> Floats:
    """Correlation of each row's attributions, padding left out."""
    if not np.isnan(a).any():
        return np.asarray(of(a, b))
    out = np.empty(len(a))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        there = ~np.isnan(x)
        out[i] = of(x[there], y[there])
    return out


def _entropy(row: Floats, bins: int) -> float:
    counts, _ = np.histogram(row[~np.isnan(row)], bins=bins)
    p = counts[counts > 0] / counts.sum()
    return float(0.0 - (p * np.log(p)).sum())


def _floor(case: Case, last: str) -> float:
    """Expected rank correlation (Kendall's) of channels' contributions to a random last layer."""
    kept: list[Any] = []

    def keep(_: Any, inputs: Any) -> None:
        kept.append(inputs[0].detach().double().flatten(0, -2).cpu().numpy())

    hook = module_of(case).get_submodule(last).register_forward_pre_hook(keep)
    try:
        outputs(case.scene.model, case.scene.x, case.scene)
    finally:
        hook.remove()
    activation = np.sqrt((np.concatenate(kept) ** 2).mean(axis=0))
    return channel_floor(activation)


def channel_floor(activation: Floats) -> float:
    """``E[2 (2/π) arctan K − 1]`` over pairs of channels, K the ratio of their activations.

    Examples
    --------
    >>> round(channel_floor(np.array([1.0, 1.0])), 3), round(channel_floor(np.array([1, 1e9])), 3)
    (0.0, 1.0)
    """
    i, j = np.triu_indices(len(activation), 1)
    above = np.maximum(activation[i], activation[j])
    below = np.minimum(activation[i], activation[j])
    chance = 2 / np.pi * np.arctan2(above, below)
    return float((2 * chance - 1).mean()) if len(i) else float("nan")
