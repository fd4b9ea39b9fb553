"""A real ImageNet classifier and photographs, from a data folder outside the project.

The environment variable XAI_DATA names the folder, or a script's command line does:

    from mobilenet import find, load
    if (folder := find()) is not None:  # else there is nothing to look at
        model, images, classes = load(folder)

MobileNet v1 0.75 (Howard et al. 2017), 192 × 192, 1001 classes, 8-bit weights made float.

    XAI_DATA=/path/to/data python benchmarks/mobilenet.py    # what it sees in each photograph
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SIDE = 192
WEIGHTS, LABELS = "mobilenet_v1_075_192.npz", "imagenet_labels.txt"
PHOTOGRAPHS = ("bird", "cat", "sunflower", "hot_dog", "parrot", "pets", "grace_hopper")


def find(given: str | None = None) -> Path | None:
    """The data folder: as given, or as XAI_DATA names it; None where there is none."""
    named = given or os.environ.get("XAI_DATA")
    folder = Path(named) if named else None
    return folder if folder and (folder / WEIGHTS).is_file() else None


def load(folder: str | Path) -> tuple[nn.Sequential, Tensor, list[str]]:
    """The network in eval mode, the photographs and the classes' names.

    Returns
    -------
    model : nn.Sequential
        Named stages ``stem``, ``block1`` … ``block13``, ``pool``, ``classifier``, ``flatten``;
        the last map with room in it, (n, 768, 6, 6), is ``block13``'s. Logits (n, 1001).
    images : (7, 3, 192, 192) float32 in [-1, 1], in the order of `PHOTOGRAPHS`
    classes : 1001 names
    """
    folder = Path(folder)
    with np.load(folder / WEIGHTS) as file:
        model = network(dict(file))
    images = torch.stack([photograph(folder / f"{name}.jpg") for name in PHOTOGRAPHS])
    lines = (folder / LABELS).read_text().splitlines()
    return model, images, [line.split(maxsplit=1)[1].split(",")[0] for line in lines]


def photograph(path: str | Path) -> Tensor:
    """An image file as the network takes it, squeezed: (3, 192, 192) in [-1, 1]."""
    from PIL import Image

    return _scaled(Image.open(path).convert("RGB"))


def as_input(array: np.ndarray) -> Tensor:
    """The middle square of a picture (h, w[, 3]) of bytes, as the network takes it."""
    from PIL import Image

    h, w = array.shape[:2]
    top, left, side = (h - min(h, w)) // 2, (w - min(h, w)) // 2, min(h, w)
    square = Image.fromarray(array[top : top + side, left : left + side])
    return _scaled(square.convert("RGB"))


def _scaled(picture: Any) -> Tensor:
    from PIL import Image

    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(small, np.float32) / 127.5 - 1).permute(2, 0, 1)


def rgb(images: Tensor) -> np.ndarray:
    """Images as the network takes them, (n, 3, H, W), for looking at: (n, H, W, 3) in [0, 1]."""
    return (images.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1).cpu().numpy()


# ----------------------------------------------------------------------------------- the network


def network(file: dict[str, np.ndarray]) -> nn.Sequential:
    """Stages from the 28 convolutions of the file: a stem, 13 pairs, a classifier."""
    model = nn.Sequential()
    model.add_module("stem", nn.Sequential(*convolution(file, 0), nn.ReLU6()))
    for i in range(1, 14):
        depthwise, pointwise = convolution(file, 2 * i - 1), convolution(file, 2 * i)
        block = nn.Sequential(*depthwise, nn.ReLU6(), *pointwise, nn.ReLU6())
        model.add_module(f"block{i}", block)
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("classifier", nn.Sequential(*convolution(file, 27)))
    model.add_module("flatten", nn.Flatten())
    return model.eval()


def convolution(file: dict[str, np.ndarray], i: int) -> list[nn.Module]:
    """Convolution i, behind the padding that TensorFlow's SAME gives it."""
    weights, (scale, zero), bias = file[f"w{i}"], file[f"s{i}"], file[f"b{i}"]
    depthwise, stride, _ = map(int, file[f"m{i}"])
    out, per_group, size, _ = weights.shape
    groups = out if depthwise else 1
    inner = size == 3 and stride == 1
    layer = nn.Conv2d(per_group * groups, out, size, stride, int(inner), groups=groups)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy((weights.astype(np.float32) - zero) * scale))
        layer.bias.copy_(torch.from_numpy(bias))
    return [nn.ZeroPad2d((0, 1, 0, 1)), layer] if stride == 2 else [layer]


def main() -> None:
    """Print the likeliest class of each photograph."""
    folder = find(sys.argv[1] if len(sys.argv) > 1 else None)
    if folder is None:
        print(f"no {WEIGHTS}: name its folder, or set XAI_DATA")
        return
    model, images, classes = load(folder)
    with torch.no_grad():
        chances, found = model(images).softmax(1).max(1)
    for name, chance, index in zip(PHOTOGRAPHS, chances.tolist(), found.tolist(), strict=True):
        print(f"{name:13s} {classes[index]} ({chance:.3f})")


if __name__ == "__main__":
    main()
