"""What concepts cost beside the bare network: fitting, and importance for a class.

    XAI_DATA=/path/to/data python benchmarks/concepts_speed.py [--crops 2000] [--turns 3]

A real MobileNet (see `mobilenet.py`). Fitting crops with 25 concepts is put beside the bare forward
passes of as many images up to the layer plus scikit-learn's NMF alone; importance for a class with
10 concepts beside bare passes of the layers after it, on as many rows in batches of the same size.
Contestants take turns on one core; medians of CPU seconds are printed, which other programs on the
machine change less than time on the wall.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mobilenet import find, load
from sklearn.decomposition import NMF

import xai
from xai.batches import REST_BATCH_BYTES
from xai.concepts.crops import opened, pooled_crops
from xai.concepts.factors import ITERATIONS


def seconds(run: Callable[[], Any]) -> float:
    """CPU seconds of one call, all threads together."""
    start = time.process_time()
    run()
    return time.process_time() - start


def turns(one: Callable[[], Any], other: Callable[[], Any], count: int) -> tuple[float, float]:
    """Median seconds of two contestants."""
    both = [(seconds(one), seconds(other)) for _ in range(count)]
    return float(np.median([a for a, _ in both])), float(np.median([b for _, b in both]))


def through(part: Any, shape: tuple[int, ...], rows: int, batch: int) -> None:
    """Bare forward passes."""
    block = torch.rand(min(batch, rows), *shape)
    with torch.no_grad():
        for start in range(0, rows, batch):
            part(block[: min(batch, rows - start)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    folder = find()
    if folder is None:
        print("name the data folder in XAI_DATA")
        return
    model, images, _ = load(folder)
    names = list(dict(model.named_children()))
    shifts = [images.roll((7 * i, 11 * i), (2, 3)) for i in range(-(-given.crops // (16 * 7)))]
    many = torch.cat(shifts)[: given.crops // 16]
    layer = "block11"
    with opened(model, many, layer) as network:
        from xai.concepts.crops import windows

        boxes = windows(len(many), (192, 192), (55, 55), 44)
        A = pooled_crops(network, boxes, 64)

    def bare() -> None:
        through(model[: names.index(layer) + 1], (3, 192, 192), len(A), 64)
        NMF(25, init="nndsvda", max_iter=ITERATIONS, random_state=0).fit(A)

    own, alone = turns(
        lambda: xai.concepts.fit(model, many, layer=layer, n_concepts=25, crop="patches"), bare, 1
    )
    told = f"fit {len(A)} crops, {layer}: {own:.2f} s, bare {alone:.2f} s: {own / alone:.2f}"
    print(told, flush=True)
    for layer in ("block10", "block11", "block12", "block13"):
        bank = xai.concepts.fit(model, images, layer=layer, n_concepts=10)
        rows = bank.importance(images, target=985).explanation.evaluations * len(images)
        cut = names.index(layer) + 1
        with torch.no_grad():
            shape = tuple(model[:cut](images[:1]).shape[1:])
        batch = max(1, REST_BATCH_BYTES // (4 * int(np.prod(shape)) + 8 * 1001))
        own, alone = turns(
            lambda bank=bank: bank.importance(images, target=985),
            lambda cut=cut, shape=shape, rows=rows, batch=batch: through(
                model[cut:], shape, rows, batch
            ),
            given.turns,
        )
        told = f"{own:.2f} s, bare {alone:.2f} s: {own / alone:.2f}"
        print(f"importance, {layer}, {rows} rows: {told}", flush=True)


if __name__ == "__main__":
    main()
