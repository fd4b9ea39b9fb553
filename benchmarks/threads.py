"""What it costs when NumPy's threads run beside a network's.

``python benchmarks/threads.py [--turns 5]``, with as many threads as there are cores: an MLP of two
layers of 100, 100 rows of 20 columns. Each line: seconds as they are, and with NumPy's threads let
loose, interleaved; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import xai
from xai import metrics

IDLE = 0.2
"""Seconds before each run, in which threads that wait in a busy loop fall asleep."""


def runs() -> dict[str, Callable[[], Any]]:
    """What is timed."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(20, 100), torch.nn.ReLU(), torch.nn.Linear(100, 100), torch.nn.ReLU(),
        torch.nn.Linear(100, 2),
    )  # fmt: skip
    x, data = torch.randn(2, 100, 20).unbind()
    a = np.random.default_rng(0).normal(size=x.shape)

    def explains(method: str) -> Callable[[], Any]:
        return lambda: xai.explain(net, x, method=method, data=data, target=0)

    named = {m: explains(m) for m in ("shapley", "kernel_shap", "banzhaf", "owen", "lime")}
    named["infidelity"] = lambda: metrics.infidelity(net, x, a, removal="baseline", target=0)
    return named


def seconds(run: Callable[[], Any]) -> float:
    """Time of one call on an idle machine."""
    time.sleep(IDLE)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    print(f"{torch.get_num_threads()} threads\n{'':16}{'held':>9}{'loose':>9}{'ratio':>7}")
    for name, run in runs().items():
        run()
        held, loose = [], []
        for _ in range(turns):
            held.append(seconds(run))
            with patch("xai.torch_model.one_thread_of_blas", nullcontext):
                loose.append(seconds(run))
        one, other = statistics.median(held), statistics.median(loose)
        print(f"{name:16}{one:9.3f}{other:9.3f}{other / one:7.2f}", flush=True)


if __name__ == "__main__":
    main()
