"""Concepts with a planted truth: are they found, ranked and mapped, and whose order deletes best?

    python benchmarks/concepts.py            # some 20 seconds
    python benchmarks/concepts.py --classes 3 --repeats 10

Images are patchworks of textures (`xai.datasets.textures`); one texture decides the class. A small
network learns them; concepts are found in its last layer. The first table says which texture the
most important concept of each class is, and how well its map tells where that is (area under the
ROC curve, places against the truth). The second table scores orders of concepts by the area under
the curves of deletion (lower is better) and insertion (higher is better): the class's probability
while concepts are scaled to 0, or restored, one by one in that order; mean over images, seeds of
the network and classes.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

import xai
from xai.concepts.directions import class_gradients, from_activations
from xai.setting import open_setting

SIZE = 64
ODDS = xai.behavior.Prediction("log_odds")


def network(seed: int, images: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """A small network that tells the textures apart."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 7, stride=2, padding=3), nn.ReLU(),
        nn.Conv2d(16, 24, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(20):
        for batch in torch.randperm(len(y)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), y[batch]).backward()
            optimizer.step()
    return net.eval()


def orders(bank: Any, images: torch.Tensor, target: int, seed: int) -> dict[str, np.ndarray]:
    """Concepts from first to last, by each rule."""
    sobol = bank.importance(images, target=target, behavior=ODDS)
    shapley = bank.importance(images, target=target, behavior=ODDS, summary="shapley")
    u = bank.transform(images).reshape(-1, len(bank))
    rng = np.random.default_rng(seed)
    return {
        "Sobol (craft)": sobol.order,
        "Shapley": shapley.order,
        "TCAV": np.argsort(-tcav_scores(bank, images, target), kind="stable"),
        "coefficient": np.argsort(-u.mean(axis=0), kind="stable"),
        "random": rng.permutation(len(bank)),
    }


def tcav_scores(bank: Any, images: torch.Tensor, target: int) -> np.ndarray:
    """Mean TCAV score of each concept, its examples the places that have most of it."""
    with torch.no_grad():
        a = bank.model[:6](torch.tensor(bank.images)).movedim(1, -1).flatten(0, 2).numpy()
    slopes = class_gradients(bank.model, images, layer=bank.layer, target=target)
    random = a[np.random.default_rng(0).permutation(len(a))[:500]]
    return np.array([
        from_activations(
            a[bank.best(i, 40)], random, slopes, runs=10, size=40, seed=0
        ).mean
        for i in range(len(bank))
    ])  # fmt: skip


def curves(
    bank: Any, images: torch.Tensor, target: int, order: np.ndarray
) -> tuple[float, float]:
    """Areas under the curves of deletion and of insertion."""
    r = len(bank)
    kept = np.ones((r + 1, r), bool)
    for step, concept in enumerate(order, start=1):
        kept[step:, concept] = False
    with open_setting(
        bank.model, images, "craft", players=xai.players.Concepts(bank), target=target,
        behavior=xai.behavior.Prediction("probability"),
    ) as setting:  # fmt: skip
        ((rows, game),) = setting.games()
        deleted = game.grid(np.arange(len(rows)), kept, None)[..., 0].mean(axis=0)
        inserted = game.grid(np.arange(len(rows)), ~kept, None)[..., 0].mean(axis=0)
    return float(np.trapezoid(deleted) / r), float(np.trapezoid(inserted) / r)


def area(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth.ravel(), score.ravel()))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="networks")
    parser.add_argument("--concepts", type=int, default=8)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    train = xai.datasets.textures(400, size=SIZE)
    test = xai.datasets.textures(150, size=SIZE, seed=1)
    names = [*test.target_names, "bars", "diagonals", "rings"]
    x, y = torch.tensor(train.data).float(), torch.tensor(train.target)
    images = torch.tensor(test.data).float()
    scores: dict[str, list[tuple[float, float]]] = {}
    print("net  class    top concept is   share   map's AUC   sum of others' AUC ≤   correct")
    for seed in range(given.repeats):
        net = network(seed, x, y)
        right = float((net(images).argmax(1).numpy() == test.target).mean())
        bank = xai.concepts.fit(net, images, layer="5", n_concepts=given.concepts, crop="places")
        for target in range(given.classes):
            own = test.target == target
            found = orders(bank, images[own], target, seed)
            u = bank.transform(images[own])
            truth = test.truth[own][:, 2::4, 2::4]
            cells = np.kron(test.info["concept"][own], np.ones((1, 4, 4), int))
            top = found["Sobol (craft)"][0]
            each = [u[..., top][cells == k].mean() if (cells == k).any() else 0 for k in range(6)]
            others = max(area(u[..., i], truth) for i in range(len(bank)) if i != top)
            value = bank.importance(images[own], target=target, behavior=ODDS).values[top]
            print(
                f"{seed:3d}  {names[target]:8s} {names[int(np.argmax(each))]:14s} "
                f"{value:6.2f} {area(u[..., top], truth):10.3f} {others:16.3f} {right:16.2f}"
            )
            for rule, order in found.items():
                scores.setdefault(rule, []).append(curves(bank, images[own], target, order))
    print(f"\n{'order':16s} deletion ↓        insertion ↑")
    for rule, pairs in scores.items():
        mean = np.mean(pairs, axis=0)
        error = np.std(pairs, axis=0, ddof=1) / np.sqrt(len(pairs))
        print(
            f"{rule:16s} {mean[0]:.3f} ± {error[0]:.3f}   {mean[1]:.3f} ± {error[1]:.3f}"
        )


if __name__ == "__main__":
    main()
