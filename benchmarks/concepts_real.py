"""Concepts of a real network, as pictures to look at and as numbers.

    XAI_DATA=/path/to/data python benchmarks/concepts_real.py craft   # sheets of a class, an image
    XAI_DATA=/path/to/data python benchmarks/concepts_real.py ace     # the class by ACE: a sheet
    XAI_DATA=/path/to/data python benchmarks/concepts_real.py planted # ACE where we know the place
    XAI_DATA=/path/to/data python benchmarks/concepts_real.py tcav    # concepts whose truth we know

Pictures are drawn on white and on black. The class is "Egyptian cat", on two photographs of cats
and views of them, for want of the hundreds of images that the papers take; random images are the
other photographs, and those of scikit-image and scikit-learn.

`ace` takes the paper's crops: by places, clusters of so few photographs follow these. `planted`
makes 20 images of two by two tiles, one a part of a cat and three of other photographs, and 20
without a cat as random images; of each concept's 20 nearest segments it tells how much lies on
cats.

`tcav` tests classes for crops of a photograph of the class, which should matter to it (a score near
1), for crops of others' photographs, and for random crops in a concept's place: how often these are
called significant, by this library's test and by the paper's t-test over runs. Crops of one
photograph are not independent of each other, so p-values of the photographs are too small.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from mobilenet import PHOTOGRAPHS, SIDE, as_input, find, load
from scipy.stats import ttest_rel
from torch.nn.functional import interpolate

import xai
from xai.concepts.crops import opened, pooled_crops, windows
from xai.concepts.directions import class_gradients, from_activations

CLASS = "Egyptian cat"
THINGS = ("bird", "cat", "sunflower", "hot_dog", "parrot")
PLAIN = (
    "astronaut", "brick", "camera", "clock", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "page", "retina", "rocket",
)  # fmt: skip


def main() -> None:
    """Run what the command line names."""
    folder = find(sys.argv[2] if len(sys.argv) > 2 else None)
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if folder is None or what not in ("craft", "ace", "planted", "tcav"):
        sys.exit(__doc__)
    model, images, classes = load(folder)
    known = {"craft": craft, "ace": ace, "planted": planted, "tcav": tests}
    known[what](model, images, classes)


# ------------------------------------------------------------------------------------------ images


def chelsea() -> torch.Tensor:
    """A cat, scikit-image's."""
    from skimage import data

    return as_input(data.chelsea())


def others(images: torch.Tensor) -> torch.Tensor:
    """Photographs and pictures without a cat."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    plain = [as_input(getattr(data, name)()) for name in PLAIN]
    samples = [as_input(image) for image in load_sample_images().images]
    own = [images[i] for i, name in enumerate(PHOTOGRAPHS) if name != "cat"]
    return torch.stack([*own, *plain, *samples])


def views(images: torch.Tensor) -> torch.Tensor:
    """Images, their mirror images, and their four corners enlarged."""
    wide = SIDE * 4 // 5
    corners = [
        images[:, :, top : top + wide, left : left + wide]
        for top in (0, SIDE - wide)
        for left in (0, SIDE - wide)
    ]
    large = [interpolate(part, (SIDE, SIDE), mode="bilinear") for part in corners]
    return torch.cat([images, images.flip(3), *large])


def cats(images: torch.Tensor) -> torch.Tensor:
    """Views of two cats."""
    return views(torch.stack([images[PHOTOGRAPHS.index("cat")], chelsea()]))


# ---------------------------------------------------------------------------------------- pictures


def drawn(name: str, draw: Any) -> None:
    """Draw a figure on white and on black."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    for style in ("default", "dark_background"):
        with plt.style.context(style):
            path = f"{name}{'_dark' if style != 'default' else ''}.png"
            draw().savefig(path, dpi=70)
            plt.close("all")
            print(f"drawn to {path}: look at it")


def craft(model: torch.nn.Module, images: torch.Tensor, classes: list[str]) -> None:
    """Concepts of the class in two layers, and of one image."""
    x, target = cats(images), classes.index(CLASS)
    for layer in ("block13", "block11"):
        start = time.perf_counter()
        bank = xai.concepts.fit(model, x, layer=layer, n_concepts=8, crop="places", target=target)
        found = bank.importance()
        print(f"{bank}, {time.perf_counter() - start:.1f} s\n{found}")
        drawn(
            f"concepts_{layer}",
            lambda bank=bank, found=found: bank.plot(found, title=f"{CLASS}: {bank.layer}"),
        )
        e = xai.explain(model, chelsea()[None], "craft", bank=bank, target=target,
                        output_names=classes)  # fmt: skip
        drawn(f"concepts_{layer}_image", lambda e=e: e.plot("concepts"))


def ace(model: torch.nn.Module, images: torch.Tensor, classes: list[str]) -> None:
    """Concepts of the class among its segments."""
    start = time.perf_counter()
    found = xai.concepts.ace(
        model, cats(images), others(images)[::2], layer="block12", target=classes.index(CLASS),
        crop="patches",
    )  # fmt: skip
    print(f"{found}, {time.perf_counter() - start:.1f} s")
    for place, cluster in enumerate(found.concepts):
        print(f"  concept {place}: {cluster}")
    for cluster in found.rejected:
        print(f"  rejected: {cluster}")
    drawn("concepts_ace", lambda: found.plot(title=f"{CLASS}: {found.layer}"))


def tiled(
    rng: np.random.Generator, pool: torch.Tensor, cats: torch.Tensor | None = None, n: int = 20
) -> tuple[torch.Tensor, np.ndarray]:
    """Images of two by two parts of photographs, one of them of a cat, and where that is."""
    half = SIDE // 2
    x, where = torch.empty(n, 3, SIDE, SIDE), np.zeros((n, SIDE, SIDE), bool)
    for i, own in enumerate(rng.integers(0, 4, n)):
        for j in range(4):
            source = cats if cats is not None and j == own else pool
            side = int(rng.integers(110, 180))
            top, left = rng.integers(0, SIDE - side + 1, 2)
            part = source[rng.integers(len(source)), :, top : top + side, left : left + side]
            rows, columns = (slice(half * v, half * (v + 1)) for v in divmod(j, 2))
            x[i, :, rows, columns] = interpolate(part[None], (half, half), mode="bilinear")[0]
            where[i, rows, columns] = j == own
    return x, where


def planted(model: torch.nn.Module, images: torch.Tensor, classes: list[str]) -> None:
    """Whether ACE's first concepts are the cats among other things."""
    own = torch.stack([images[PHOTOGRAPHS.index("cat")], chelsea()])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, where = tiled(rng, others(images), own)
        random, _ = tiled(rng, others(images))
        for crop in ("places", "patches"):
            found = xai.concepts.ace(
                model, x, random, layer="block12", target=classes.index(CLASS), n_concepts=12,
                segments=(20,), crop=crop,
            )  # fmt: skip
            print(f"{seed} {crop}: {found}")
            for cluster in found.concepts:
                near = cluster.segments[:20]
                shown = np.concatenate([where[found.image[s]][found.masks[s]] for s in near])
                score, effect = cluster.tcav.mean, cluster.tcav.effect
                print(f"  cats {shown.mean():.2f}, score {score:.2f}, effect {effect:.2f}")


# -------------------------------------------------------------------------------------------- TCAV


def tests(model: torch.nn.Module, images: torch.Tensor, classes: list[str]) -> None:
    """Scores and p-values of concepts with a known answer, and of random ones."""
    own = images[[PHOTOGRAPHS.index(name) for name in THINGS]]
    with torch.no_grad():
        target = model(own).argmax(1).tolist()
    layer, every = "block12", torch.cat([own, others(images)[len(PHOTOGRAPHS) - 1 :]])
    with opened(model, every, layer) as network:
        boxes = windows(len(every), (SIDE, SIDE), (64, 64), 32)
        crops = pooled_crops(network, boxes, 64)
    slopes = [
        class_gradients(model, views(one[None]), layer=layer, target=t)
        for one, t in zip(own, target, strict=True)
    ]
    print("TCAV score and p-value; rows: crops of; columns: class")
    print(" " * 11, *(f"{classes[t]:>18s}" for t in target))
    for i, thing in enumerate(THINGS):
        a, b = crops[boxes[:, 0] == i], crops[boxes[:, 0] != i]
        found = [from_activations(a, b, s, runs=20, size=40, seed=0) for s in slopes]
        print(f"{thing:11s}", *(f"{test.mean:8.2f}, p={test.p_value:6.4f}" for test in found))
    rng = np.random.default_rng(0)
    p, paired = [], []
    for seed in range(60):
        mixed = rng.permutation(crops)
        test = from_activations(
            mixed[:20], mixed[20:], slopes[seed % len(slopes)], runs=20, size=40, seed=seed
        )
        p.append(test.p_value)
        paired.append(ttest_rel(test.scores, test.random_scores).pvalue)
    both = np.array([p, np.nan_to_num(paired, nan=1.0)])
    for level in (0.01, 0.05):
        ours, theirs = (both <= level).mean(axis=1)
        print(f"random concepts significant at {level}: {ours:.2f}; paired t-test {theirs:.2f}")


if __name__ == "__main__":
    main()
