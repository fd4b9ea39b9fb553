"""Image methods on a real network: how much of a map is on its object, and what it costs.

    XAI_DATA=/path/to/data python benchmarks/images.py grid     # mosaics of four photographs
    XAI_DATA=/path/to/data python benchmarks/images.py sheet    # maps of all methods, as a picture
    XAI_DATA=/path/to/data python benchmarks/images.py speed    # beside captum and the bare network
    XAI_DATA=/path/to/data python benchmarks/images.py speed rise    # of one method (or several)

`grid` is the grid pointing game (Böhle, Fritz & Schiele 2021): a 2 × 2 mosaic of photographs of
four classes, each class explained in turn, and the share of the map's positive part that lies in
the photograph of that class; .25 is chance.
"""

from __future__ import annotations

import copy
import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mobilenet import PHOTOGRAPHS, as_input, find, load

import xai
from xai.players import Patches, Superpixels, Windows

CELLS = ("bird", "cat", "sunflower", "hot_dog")
METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "gradient_x_input": {},
    "smoothgrad": {"budget": 33},
    "integrated_gradients": {"steps": 32},
    "blur_integrated_gradients": {"steps": 32},
    "deeplift": {},
    "gradcam": {"layer": "block13"},
    "gradcam++": {"layer": "block13"},
    "ablation_cam": {"layer": "block13"},
    "score_cam": {"layer": "block13", "batch_size": 16},
    "layer_integrated_gradients": {"layer": "block11", "steps": 16},
    "occlusion": {"players": Windows(64, 32), "removal": "blur"},
    "lime": {"players": Superpixels(80), "budget": 600},
    "kernel_shap": {"players": Superpixels(80), "budget": 600},
    "shapley": {"players": Superpixels(80), "budget": 600},
    "rise": {"budget": 600},
    "sobol": {"designs": 8},
    "hsic": {"budget": 514},
    "extremal_perturbation": {"area": 0.15, "budget": 150},
}

PICTURES = ("chelsea", "coffee", "rocket")


def main() -> None:
    """Run what the command line names."""
    torch.set_num_threads(1)
    what, folder = sys.argv[1] if len(sys.argv) > 1 else "", find(None)
    if folder is None or what not in ("grid", "sheet", "speed"):
        sys.exit(__doc__)
    model, images, _ = load(folder)
    {"grid": grid, "sheet": sheet, "speed": speed}[what](model, images)


def mosaic(model: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """The mosaic, once for each of its classes, and the classes."""
    chosen = images[[PHOTOGRAPHS.index(name) for name in CELLS]]
    with torch.no_grad():
        target = model(chosen).argmax(1).numpy()
    rows = [torch.cat(list(chosen[a : a + 2]), dim=2) for a in (0, 2)]
    return torch.cat(rows, dim=1)[None].repeat(4, 1, 1, 1), target


def explain(model: torch.nn.Module, x: torch.Tensor, name: str, **given: Any) -> xai.Explanation:
    """One method's maps, in the network's better memory format."""
    return xai.explain(xai.TorchModel(model, channels_last=True), x, name, **given)


def grid(model: torch.nn.Module, images: torch.Tensor) -> None:
    """The share of positive attribution in the right cell, beside captum's."""
    x, target = mosaic(model, images)
    regions = explain(model, x[:1], "occlusion", players=Superpixels(80), removal="baseline")
    theirs = captum_maps(model, x, target, regions.element_players[0, :1])
    print("method | right cell | captum | rows a map | seconds a map")
    for name, options in METHODS.items():
        start = time.perf_counter()
        e = explain(model, x, name, target=target, **options)
        seconds = (time.perf_counter() - start) / 4
        peer = f"{share(theirs[name]):.3f}" if name in theirs else "-"
        ours = share(e.map().sum(axis=1))
        print(f"{name} | {ours:.3f} | {peer} | {e.evaluations} | {seconds:.1f}", flush=True)
    noise = np.random.default_rng(0).normal(size=(4, *x.shape[2:]))
    print(f"noise | {share(noise):.3f}")


def share(maps: np.ndarray) -> float:
    """Mean share of the maps' (4, H, W) positive parts in their own cells."""
    score = xai.metrics.grid_pointing(None, None, maps, cell=np.arange(4))
    return float(score.mean())


def captum_maps(
    model: torch.nn.Module, x: torch.Tensor, target: np.ndarray, regions: np.ndarray
) -> dict[str, np.ndarray]:
    """Maps of captum's methods of the same names, with its defaults but for what ours are told.

    Parameters
    ----------
    regions : (1, H, W) int, the superpixels of the mosaic, from 0.
    """
    from captum import attr

    zero, t = torch.zeros_like(x), torch.tensor(target)
    leaf, sides = x.clone().requires_grad_(), tuple(x.shape[2:])
    torch.manual_seed(0)
    spread = 0.15 * float(x[0].max() - x[0].min())  # as ours
    mask = torch.tensor(regions)[None]

    def of_regions(method: type, **given: Any) -> torch.Tensor:
        """A map of each class in turn: captum's surrogates are fitted to one row at a time."""
        found = [
            method(model).attribute(
                x[:1], baselines=zero[:1], target=c, feature_mask=mask,
                perturbations_per_eval=8, **given,
            )
            for c in t
        ]  # fmt: skip
        return torch.cat(found)

    cam = attr.LayerGradCam(model, model.block13).attribute(x, t, relu_attributions=True)
    inner = attr.LayerIntegratedGradients(model, model.block11).attribute(
        x, zero, t, n_steps=16, internal_batch_size=8
    )
    found = {
        "gradient": attr.Saliency(model).attribute(leaf, t, abs=False),
        "gradient_x_input": attr.InputXGradient(model).attribute(leaf, t),
        "smoothgrad": attr.NoiseTunnel(attr.Saliency(model)).attribute(
            leaf, nt_samples=32, nt_samples_batch_size=2, stdevs=spread, target=t, abs=False
        ),
        "integrated_gradients": attr.IntegratedGradients(model).attribute(
            x, zero, t, n_steps=32, internal_batch_size=8
        ),
        "deeplift": attr.DeepLift(model).attribute(leaf, zero, t),
        "gradcam": attr.LayerAttribution.interpolate(cam, sides, "bilinear"),
        "layer_integrated_gradients": attr.LayerAttribution.interpolate(
            inner.sum(1, keepdim=True), sides, "bilinear"
        ),
        "occlusion": attr.Occlusion(model).attribute(
            x, (3, 64, 64), (3, 32, 32), zero, t, perturbations_per_eval=2
        ),
        "lime": of_regions(attr.Lime, n_samples=600),
        "kernel_shap": of_regions(attr.KernelShap, n_samples=600),
        "shapley": of_regions(attr.ShapleyValueSampling, n_samples=8),  # permutations
    }
    return {name: a.detach().sum(1).numpy() for name, a in found.items()}


def sheet(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Maps of every method on three of scikit-image's free pictures, drawn side by side."""
    import matplotlib as mpl
    from skimage import data

    mpl.use("Agg")
    x = torch.stack([as_input(getattr(data, name)()) for name in PICTURES])
    methods = METHODS | {
        "squaregrad": {"budget": 33},
        "vargrad": {"budget": 33},
        "expected_gradients": {"data": images, "budget": 33 + len(images)},
        "meaningful_perturbation": {"budget": 150},
        "mir": {"players": Superpixels(40)},
    }
    found = {name: explain(model, x, name, **given) for name, given in methods.items()}
    figure = xai.plots.compare(found, rows=range(len(x)))
    path = "images.png"
    figure.savefig(path, dpi=48, bbox_inches="tight")
    print(f"drawn to {path}: look at it")


# ------------------------------------------------------------------------------------- speed


def speed(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Time of the whole explanation over the bare network's on as many images, and captum's."""
    from captum import attr

    x = images[:1]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    wrapped = xai.TorchModel(last, channels_last=True)
    patches = torch.arange(144).reshape(12, 12).repeat_interleave(16, 0).repeat_interleave(16, 1)
    patches, zero = patches[None, None], torch.zeros_like(x)
    t = int(model(x).argmax())
    alike = {"feature_mask": patches, "baselines": zero, "target": t, "n_samples": 500,
             "perturbations_per_eval": 16}  # fmt: skip
    ours: dict[str, dict[str, Any]] = {
        "occlusion": {"players": Windows(24, 8), "removal": "baseline"},
        "rise": {"budget": 500},
        "lime": {"players": Patches(16), "budget": 502},
        "kernel_shap": {"players": Patches(16), "budget": 502, "removal": "baseline"},
        "integrated_gradients": {"steps": 64},
    }
    theirs: dict[str, Callable[[], Any]] = {
        "occlusion": lambda: attr.Occlusion(model).attribute(
            x, (3, 24, 24), (3, 8, 8), zero, t, perturbations_per_eval=16
        ),
        "lime": lambda: attr.Lime(model).attribute(x, **alike),
        "kernel_shap": lambda: attr.KernelShap(model).attribute(x, **alike),
        "integrated_gradients": lambda: attr.IntegratedGradients(model).attribute(
            x, zero, t, n_steps=64, internal_batch_size=16
        ),
    }
    print("method | images | bare: batch, format | ours / bare (quartiles) | captum / bare")
    for name, options in ours.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue

        def explained(name: str = name, options: dict[str, Any] = options) -> xai.Explanation:
            return xai.explain(wrapped, x, name, **options)

        backward, count = "gradients" in name, explained().evaluations
        bare, said = best_bare((model, last), x, count, backward=backward)
        ratio = " ".join(f"{r:.2f}" for r in over(explained, bare)[[1, 0, 2]])
        peer = f"{over(theirs[name], bare)[1]:.2f}" if name in theirs else "-"
        print(f"{name} | {count} | {said} | {ratio} | {peer}", flush=True)


def over(run: Callable[[], Any], bare: Callable[[], Any], turns: int = 9) -> np.ndarray:
    """Quartiles of the time of `run` over that of `bare` just before and just after it."""
    before, ratios = seconds(bare), []
    for _ in range(turns):
        taken, after = seconds(run), seconds(bare)
        ratios.append(2 * taken / (before + after))
        before = after
    return np.quantile(ratios, (0.25, 0.5, 0.75))


def best_bare(
    models: tuple[torch.nn.Module, torch.nn.Module], x: torch.Tensor, count: int, *, backward: bool
) -> tuple[Callable[[], None], str]:
    """The network alone on `count` images at its best batch and memory format, and which.

    Parameters
    ----------
    models : the network in torch's own format, and in channels_last.
    """
    found = []
    for form, model in zip(("contiguous", "channels_last"), models, strict=True):
        for batch in (4, 8, 16, 32):
            run = functools.partial(bare_pass, model, x, count, batch, form, backward)
            found.append((np.median([seconds(run) for _ in range(3)]), run, f"{batch}, {form}"))
    return min(found, key=lambda f: f[0])[1:]


def bare_pass(
    model: torch.nn.Module, x: torch.Tensor, count: int, batch: int, form: str, backward: bool
) -> None:
    """The network on `count` images, forward or forward and backward."""
    memory = torch.channels_last if form == "channels_last" else torch.contiguous_format
    rows = x.repeat(batch, 1, 1, 1).contiguous(memory_format=memory)
    for start in range(0, count, batch):
        part = rows[: min(batch, count - start)]
        if backward:
            leaf = part.clone().requires_grad_()
            torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
        else:
            with torch.no_grad():
                model(part)


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
