"""How well methods find the pixels that make the class, where these are known.

Images of two tetrominoes on noise (Clark, Wilming & Haufe 2024, XAI-TRIS): a small CNN is trained
on each of three scenarios × three backgrounds, and |attributions| of images that it tells rightly
are held against the tetrominoes' pixels. Beside the methods stand what knows nothing of the model:
random numbers, the image itself and its edges.

    python benchmarks/tetromino.py      # two minutes of one core; prints README.md's tables
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.ndimage import laplace, sobel

import xai
from xai import metrics
from xai.datasets import tetrominoes

SCENARIOS = ("linear", "multiplicative", "xor")
BACKGROUNDS = ("white", "correlated", "photographs")
METHODS: dict[str, dict[str, Any]] = {
    "occlusion": {},
    "shapley": {"budget": 1000},
    "lime": {"budget": 1000, "players": xai.players.Pixels()},
    "rise": {"budget": 1000},
    "hsic": {},
    "gradient": {},
    "gradient_x_input": {},
    "smoothgrad": {},
    "integrated_gradients": {},
    "expected_gradients": {"with_data": True},
    "deeplift": {},
    "lrp": {},
    "guided_backprop": {},
    "gradcam": {},
}
CONTROLS: dict[str, Callable[[Any], Any]] = {
    "random": lambda x: np.random.default_rng(0).normal(size=x.shape),
    "the image": lambda x: x,
    "its edges (Laplace)": lambda x: laplace(x, axes=(1, 2)),
    "its edges (Sobel)": lambda x: np.hypot(sobel(x, axis=1), sobel(x, axis=2)),
}
SCORES = {"roc_auc": "½", "relevance_rank": "⅛"}
"""Metrics, and what chance gives: 8 of 64 pixels are the tetrominoes'."""


def network(data: Any, target: Any, epochs: int, seed: int) -> torch.nn.Module:
    """A CNN trained to tell the classes."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(16 * 64, 32), torch.nn.ReLU(),
        torch.nn.Linear(32, 2),
    )  # fmt: skip
    x, y = torch.as_tensor(data.copy(), dtype=torch.float32), torch.as_tensor(target.copy())
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
    return net.eval()


def problem(scenario: str, background: str, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracy, and each method's scores over the images explained."""
    n = options.images
    data = tetrominoes(2 * n, scenario=scenario, background=background, seed=options.seed)
    net = network(data.data[:n], data.target[:n], options.epochs, options.seed)
    unseen = torch.as_tensor(data.data[n:].copy(), dtype=torch.float32)
    with torch.no_grad():
        right = (net(unseen).argmax(dim=1).numpy() == data.target[n:]).nonzero()[0]
    chosen = right[: options.rows]
    x, mask = unseen[chosen], data.truth[n:][chosen]

    def scores(values: Any) -> dict[str, float]:
        a = np.abs(values).reshape(len(x), 8, 8)
        return {s: getattr(metrics, s)(net, x, a, mask=mask).mean() for s in SCORES}

    out = {name: scores(control(x[:, 0].numpy())) for name, control in CONTROLS.items()}
    for name, given in METHODS.items():
        keywords = {k: v for k, v in given.items() if k != "with_data"}
        if "with_data" in given:
            keywords["data"] = data.data[:100].astype(np.float32)
        e = xai.explain(net, x, name, progress=False, seed=options.seed, **keywords)
        out[name] = scores(e.map())
    return out | {"accuracy": len(right) / n}


def main() -> None:
    """Train, explain, and print a table for each metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000, help="to learn from, and as many new")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rows", type=int, default=50, help="images explained")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = {(s, b): problem(s, b, options) for s in SCENARIOS for b in BACKGROUNDS}
    titles = [f"{s}<br>{b}" for s, b in found]
    head = " | ".join(titles).replace("multi", "multi-<br>").replace("photographs", "photos")
    for score, chance in SCORES.items():
        print(f"\n| {score} | {head} |\n|---|{'---|' * len(found)}")
        print("| accuracy | " + " | ".join(f"{p['accuracy']:.2f}" for p in found.values()) + " |")
        print(f"| chance | {' | '.join([chance] * len(found))} |")
        for name in [*CONTROLS, *METHODS]:
            label = f"`{name}`" if name in METHODS else name
            cells = [f"{p[name][score]:.2f}" for p in found.values()]
            print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
