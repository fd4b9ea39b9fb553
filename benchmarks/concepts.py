"""Concepts with a planted truth: whether they are found, ranked and mapped; whose order is best.

    python benchmarks/concepts.py               # a minute
    python benchmarks/concepts.py --repeats 10
    python benchmarks/concepts.py --ace --repeats 6    # ACE beside CRAFT, also of coloured shapes

Images are patchworks of textures (`xai.datasets.textures`); one texture decides the class. A small
network learns whether each of the three is there, also from images with none (else it may know one
by the absence of the others); concepts are found in its last layer.

The first table says which texture the most important concept of each class is, and how well its map
tells where that is (area under the ROC curve, places against the truth). The second scores orders
of concepts by the area under the curves of deletion (lower is better) and insertion (higher is
better): the class's probability while concepts are scaled to 0, or restored, one by one in that
order; mean over images, classes and networks.

`--ace` asks the same of ACE, of both its crops, on patchworks and on coloured shapes
(`xai.datasets.shapes`). A concept shows what most of its 20 nearest segments' pixels are, or most
of its coefficients lie on. Of all classes of all networks it counts those of which a concept shows
the class's own (found), the first does (first), all that do come before all others (above); and the
networks of which that holds for every class. Share and area are the first concept's.
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


def examples(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and which texture is there, (2n, 3); in half of them it is painted over."""
    n, channels = data.data.shape[:2]
    cells = data.info["concept"].shape[1]
    side = SIZE // cells
    blocks = data.data.reshape(n, channels, cells, side, cells, side).transpose(0, 2, 4, 1, 3, 5)
    squares = blocks.reshape(n, cells * cells, channels, side, side).copy()
    for square, concept in zip(squares, data.info["concept"].reshape(n, -1), strict=True):
        own = concept < 3
        square[own] = square[np.flatnonzero(~own)[: own.sum()]]
    blocks = squares.reshape(n, cells, cells, channels, side, side)
    without = blocks.transpose(0, 3, 1, 4, 2, 5).reshape(data.data.shape)
    shown = np.eye(3)[data.target]
    x = np.concatenate([data.data, without])
    return torch.tensor(x).float(), torch.tensor(np.concatenate([shown, 0 * shown])).float()


def network(seed: int, images: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """A small network that tells which textures are there."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(images.shape[1], 16, 7, stride=2, padding=3), nn.ReLU(),
        nn.Conv2d(16, 24, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(20):
        for batch in torch.randperm(len(y)).split(32):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(images[batch]), y[batch]).backward()
            optimizer.step()
    return net.eval()


def orders(bank: Any, images: torch.Tensor, target: int, seed: int) -> dict[str, np.ndarray]:
    """Concepts from first to last, by each rule."""
    sobol = bank.importance(images, target=target)
    shapley = bank.importance(images, target=target, summary="shapley")
    u = bank.transform(images).reshape(-1, len(bank))
    rng = np.random.default_rng(seed)
    return {
        "Sobol (craft)": sobol.order,
        "Shapley": shapley.order,
        "TCAV": tcav_order(bank, images, target),
        "coefficient": np.argsort(-u.mean(axis=0), kind="stable"),
        "random": rng.permutation(len(bank)),
    }


def tcav_order(bank: Any, images: torch.Tensor, target: int) -> np.ndarray:
    """By mean TCAV score, equal ones by effect; examples are places that have most of one."""
    with torch.no_grad():
        a = bank.model[:6](torch.tensor(bank.images)).movedim(1, -1).flatten(0, 2).numpy()
    slopes = class_gradients(bank.model, images, layer=bank.layer, target=target)
    random = a[np.random.default_rng(0).permutation(len(a))[:500]]
    tests = [
        from_activations(a[bank.best(i, 40)], random, slopes, runs=10, size=40, seed=0)
        for i in range(len(bank))
    ]
    return np.lexsort([[-test.effect for test in tests], [-test.mean for test in tests]])


def curves(bank: Any, images: torch.Tensor, target: int, order: np.ndarray) -> tuple[float, float]:
    """Areas under the curves of deletion and of insertion."""
    r = len(bank)
    kept = np.ones((r + 1, r), bool)
    for step, concept in enumerate(order, start=1):
        kept[step:, concept] = False
    with open_setting(
        bank.model, images, "craft", players=xai.players.Concepts(bank), target=target,
    ) as setting:  # fmt: skip
        ((rows, game),) = setting.games()
        both = [game.grid(np.arange(len(rows)), part, None)[..., 0] for part in (kept, ~kept)]
        deleted, inserted = ((1 / (1 + np.exp(-logit))).mean(axis=0) for logit in both)
    return float(np.trapezoid(deleted) / r), float(np.trapezoid(inserted) / r)


Shown = tuple[np.ndarray, np.ndarray]
"""Shares of what a concept shows (6,), and its map (n, h, w)."""


def ace_beside_craft(kind: str, repeats: int) -> None:
    """Whether the concepts of ACE and CRAFT show what decides a class, and which come first."""
    make = getattr(xai.datasets, kind)
    x, y = examples(make(400, size=SIZE))
    test = make(150, size=SIZE, seed=1)
    images, random = (torch.tensor(d.data).float() for d in (test, make(60, size=SIZE, seed=2)))
    rows: dict[str, list[Any]] = {}
    for seed in range(repeats):
        net = network(seed, x, y)
        bank = xai.concepts.fit(net, images, layer="5", n_concepts=8)
        for target in range(3):
            own = np.flatnonzero(test.target == target)[:30]
            cells, coarse = test.info["concept"][own], test.truth[own][:, 2::4, 2::4]
            for crop in ("places", "patches"):
                found = xai.concepts.ace(
                    net, images[own], random, layer="5", target=target, n_concepts=12,
                    segments=(20,), crop=crop,
                )  # fmt: skip
                maps = np.moveaxis(found.transform(), -1, 0)
                shown = [
                    (of_ace(found, cluster, cells), where)
                    for cluster, where in zip(found.concepts, maps, strict=True)
                ]
                rows.setdefault(f"ACE, {crop}", []).append(judged(shown, target, coarse))
            order = bank.importance(images[own], target=target).order
            shown = of_craft(bank.transform(images[own])[..., order], cells)
            rows.setdefault("CRAFT", []).append(judged(shown, target, coarse))
    for method, each in rows.items():
        *counts, share, auc = np.array(each).T
        counted = (f"{v.sum():3.0f} of {len(v)}" for v in counts)
        every = counts[2].reshape(repeats, 3).all(axis=1).sum()  # above: found and first, too
        print(
            f"{kind:9s} {method:13s}", *counted,
            f"{every:4.0f} of {repeats} {np.nanmean(share):8.2f} {np.nanmean(auc):7.2f}",
        )  # fmt: skip


def of_ace(found: Any, cluster: Any, cells: np.ndarray) -> np.ndarray:
    """What a cluster's nearest segments show."""
    side = SIZE // cells.shape[1]
    pixels = np.kron(cells, np.ones((1, side, side), int))
    shown = np.concatenate([pixels[found.image[s]][found.masks[s]] for s in cluster.segments[:20]])
    return np.bincount(shown, minlength=6) / len(shown)


def of_craft(u: np.ndarray, cells: np.ndarray) -> list[Shown]:
    """What concepts show, and where, of their coefficients at places (n, h, w, r)."""
    side = u.shape[1] // cells.shape[1]
    places = np.kron(cells, np.ones((1, side, side), int)).ravel()
    maps = np.moveaxis(u, -1, 0)
    share = [np.bincount(places, where.ravel(), minlength=6) for where in maps]
    return [(part / part.sum(), where) for part, where in zip(share, maps, strict=True)]


def judged(shown: list[Shown], target: int, truth: np.ndarray) -> tuple[float, ...]:
    """Found, first, above; the first concept's share of the class's own, and its map's area."""
    own = np.array([int(share.argmax()) == target for share, _ in shown])
    if not len(own):
        return 0, 0, 0, np.nan, np.nan
    (share, where), above = shown[0], own[: own.sum()].all()
    return own.any(), own[0], own.any() and above, share[target], area(where, truth)


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
    parser.add_argument("--ace", action="store_true", help="ACE beside CRAFT instead")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    if given.ace:
        print("images    method         found    first    above    networks  share  map's AUC")
        for kind in ("textures", "shapes"):
            ace_beside_craft(kind, given.repeats)
        return
    test = xai.datasets.textures(150, size=SIZE, seed=1)
    names = [*test.target_names, "bars", "diagonals", "rings"]
    x, y = examples(xai.datasets.textures(400, size=SIZE))
    images = torch.tensor(test.data).float()
    scores: dict[str, list[tuple[float, float]]] = {}
    print("net  class    top concept is   share   map's AUC   best of the others   correct")
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
            value = bank.importance(images[own], target=target).values[top]
            print(
                f"{seed:3d}  {names[target]:8s} {names[int(np.argmax(each))]:14s} "
                f"{value:6.2f} {area(u[..., top], truth):10.3f} {others:16.3f} {right:16.2f}"
            )
            for rule, order in found.items():
                scores.setdefault(rule, []).append(curves(bank, images[own], target, order))
    print("\norder            deletion ↓       insertion ↑      less Sobol's, paired")
    first = np.array(scores["Sobol (craft)"])
    for rule, pairs in scores.items():
        own = np.array(pairs)
        each = np.concatenate([own, own - first], axis=1)
        mean, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))
        print(f"{rule:16s}", *(f"{m:6.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)))


if __name__ == "__main__":
    main()
