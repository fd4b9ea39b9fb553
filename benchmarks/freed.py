"""What it costs when memory of a layer's outputs goes back to the system after each call.

``python benchmarks/freed.py [--turns 5]``: permutation Shapley values of two rows, 4,200 model rows
each, of small networks; every turn in two fresh processes, with memory kept as it is and without.
Seconds (each process's median of seven) and new pages of memory in one explanation; medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

import xai
from xai import torch_model


def convolutions(channels: int, *shape: int) -> tuple[Any, torch.Tensor]:
    """Two layers of them, one- or two-dimensional, and two rows."""
    torch.manual_seed(0)
    conv, pool = (
        (nn.Conv1d, nn.AdaptiveAvgPool1d) if len(shape) == 1 else (nn.Conv2d, nn.AdaptiveAvgPool2d)
    )
    net = nn.Sequential(
        conv(1, channels, 3, padding=1), nn.ReLU(), conv(channels, channels, 3, padding=1),
        nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(channels, 2),
    )  # fmt: skip
    return net, torch.randn(2, 1, *shape)


CASES = {
    "signals of 128, 16 channels": (16, 128),
    "signals of 1,000, 8 channels": (8, 1000),
    "28 x 28, 8 channels": (8, 28, 28),
    "32 x 32, 16 channels": (16, 32, 32),
}


def measured(case: str) -> dict[str, float]:
    """Seconds and new pages of one explanation, in this process."""
    net, x = convolutions(*CASES[case])
    players = xai.players.Patches(7) if x.ndim == 4 else None

    def run() -> float:
        start = time.perf_counter()
        xai.explain(
            net, x, "permutation_shap", removal=xai.removal.Baseline(0.0), players=players,
            budget=4200, target=0,
        )  # fmt: skip
        return time.perf_counter() - start

    run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    taken = [run() for _ in range(7)]
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"seconds": statistics.median(taken), "pages": pages / 7}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--back", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        with patch.object(torch_model, "KEPT_BYTES", 1 if given.back else torch_model.KEPT_BYTES):
            print(json.dumps(measured(given.case)))
        return
    print(f"{'':30}{'kept':>9}{'pages':>9}{'back':>9}{'pages':>9}{'ratio':>7}")
    for case in CASES:
        both: list[list[dict[str, float]]] = [[], []]
        for _ in range(given.turns):
            for back, found in enumerate(both):
                command = [sys.executable, __file__, "--case", case, *["--back"] * back]
                found.append(json.loads(subprocess.check_output(command)))
        (s, p), (other, q) = (
            [statistics.median(f[key] for f in found) for key in ("seconds", "pages")]
            for found in both
        )
        print(f"{case:30}{s:9.3f}{p:9.0f}{other:9.3f}{q:9.0f}{other / s:7.2f}", flush=True)


if __name__ == "__main__":
    main()
