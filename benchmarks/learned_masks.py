"""Learned masks on a real network and photographs: time beside the bare model, areas, maps.

    XAI_DATA=/path/to/data python benchmarks/learned_masks.py              # figures
    XAI_DATA=/path/to/data python benchmarks/learned_masks.py --sheet masks.png

An iteration is timed from one model call to the next, four areas on one photograph; a bare one is
a forward and a backward pass of the same batch of four, to the input, in the same memory format.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from mobilenet import PHOTOGRAPHS, find, load, rgb
from torch import Tensor, nn

import xai

AREAS = (0.025, 0.05, 0.1, 0.2)
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="the data folder; XAI_DATA where not given")
    parser.add_argument("--sheet", help="an image file for the maps of all photographs")
    arguments = parser.parse_args()
    folder = find(arguments.data)
    if folder is None:
        print("no data folder: nothing to measure")
        return
    model, images, _ = load(folder)
    model.requires_grad_(False)
    if arguments.sheet:
        sheet(model, images, arguments.sheet)
        return
    for name, memory in FORMATS.items():
        for removal in (xai.removal.Baseline(0), xai.removal.BlurPyramid()):
            bare, own = iteration_times(model.to(memory_format=memory), images[:1], removal, memory)
            print(f"{name}, {removal}: {1e3 * own:.1f} ms an iteration, {own / bare:.2f} of bare")
    print("photograph: area asked → reached (score), iterations; all kept, nothing kept")
    e = xai.explain(model, images, "extremal_perturbation", area=AREAS)
    for i, name in enumerate(PHOTOGRAPHS):
        told = zip(AREAS, *(e.info[key][i] for key in ("area", "score", "iterations")), strict=True)
        masks = ", ".join(f"{a} → {b:.3f} ({s:.1f}), {n:.0f}" for a, b, s, n in told)
        print(f"{name}: {masks}; {e.predictions[i]:.1f}, {e.base_values[i]:.1f}")


def iteration_times(
    model: nn.Module, image: Tensor, removal: xai.removal.Removal, memory: torch.memory_format
) -> tuple[float, float]:
    """Medians of three turns of a bare iteration and of one of extremal perturbation."""
    four = image.expand(4, -1, -1, -1)
    starts: list[float] = []
    bare, own = [], []

    def iteration() -> None:
        x = four.clone(memory_format=memory).requires_grad_()
        model(x)[:, 20].sum().backward()

    handle = model.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter()))
    try:
        for _ in range(3):
            bare.append(timed(iteration, 20))
            starts.clear()
            xai.explain(model, image, "extremal_perturbation", removal=removal, iterations=20)
            # before the iterations the predictions and the base value, behind them the scores
            own.append(statistics.median(np.diff(starts[2:-1])))
    finally:
        handle.remove()
    return statistics.median(bare), statistics.median(own)


def timed(run: Callable[[], None], repeats: int) -> float:
    """Median seconds of a run."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def sheet(model: nn.Module, images: Tensor, path: str) -> None:
    """Photographs down; their maps across: extremal (areas, and their mean), meaningful, mir."""
    from matplotlib import image as files

    extremal = xai.explain(model, images, "extremal_perturbation", area=AREAS)
    deleted = xai.explain(model, images, "extremal_perturbation", area=0.1, variant="delete")
    meaningful = xai.explain(model, images, "meaningful_perturbation")
    mir = xai.explain(model, images, "mir")
    print("mir keeps", mir.info["kept"].astype(int).tolist(), "of", mir.values.shape[1])
    maps = [*extremal.info["masks"].swapaxes(0, 1), extremal.values / extremal.values.max()]
    maps += [deleted.values, meaningful.values]
    steps = mir.map()[:, 0]
    maps += [steps >= np.nanmax(steps, axis=(1, 2), keepdims=True)]
    pictures = rgb(images)
    shown = [pictures, *(pictures * (0.2 + 0.8 * np.asarray(m)[..., None]) for m in maps)]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in zip(*shown, strict=True)])
    files.imsave(path, np.clip(whole, 0, 1))


if __name__ == "__main__":
    main()
