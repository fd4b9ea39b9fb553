"""Throughput of an explanation over the bare model's, on an accelerator.

Two models: an MLP on a table (30 features, 100 background rows, 10,000 explained rows, walks), and
a network shaped like ResNet-50 on images of 224 × 224 pixels (196 patches, a baseline, a Gaussian
process). Weights are random: a forward pass costs the same. The bare model gets batches that are
on the device already, at the batch size that suits it best, and keeps its outputs there.

    python benchmarks/gpu.py           # some minutes; writes gpu.json
    python benchmarks/gpu.py --tiny    # small sizes, nothing is written; so, too, without a GPU
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import xai

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """A model with rows to explain.

    Attributes
    ----------
    explain : (batch_size) -> Explanation
    batches : batch sizes to try on the bare model
    mark : share of the bare model's throughput that is to be reached
    """

    name: str
    model: nn.Module
    x: Tensor
    explain: Callable[[int | None], xai.Explanation]
    batches: tuple[int, ...]
    mark: float


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = 4 * width
        self.main = nn.Sequential(
            *conv(inside, width, 1),
            nn.ReLU(inplace=True),
            *conv(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *conv(width, outside, 1),
        )
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inside, outside, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Sum of both ways, rectified."""
        return torch.relu(self.main(x) + self.shortcut(x))


def conv(inside: int, outside: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A convolution without bias, and its batch norm."""
    layer = nn.Conv2d(inside, outside, size, stride, padding=size // 2, bias=False)
    return layer, nn.BatchNorm2d(outside)


def resnet(depths: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> nn.Module:
    """ResNet-50, or a smaller one of its kind."""
    parts: list[nn.Module] = [*conv(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inside = width
    for stage, depth in enumerate(depths):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            parts.append(Bottleneck(inside, width << stage, stride))
            inside = 4 * (width << stage)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


def table_case(device: torch.device, *, tiny: bool, budget: int | None) -> Case:
    """10,000 rows of 30 features, 100 background rows, walks at the default budget."""
    layers = (nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    model = nn.Sequential(*layers).to(device).eval()
    x = torch.randn(50 if tiny else 10_000, 30, device=device)
    data = torch.randn(100, 30, device=device)
    budget = 300 if tiny else budget

    def explain(batch_size: int | None) -> xai.Explanation:
        return xai.explain(
            model, x, "permutation_shap", data=data, budget=budget, batch_size=batch_size,
            progress=False,
        )  # fmt: skip

    batches = (4_096,) if tiny else (2**14, 2**16, 2**18, 2**20)
    return Case(f"MLP 30-128-128-2, {len(x):,} rows", model, x, explain, batches, 0.8)


def image_case(device: torch.device, *, tiny: bool, budget: int | None) -> Case:
    """Four images of 196 patches, 4,096 coalitions each."""
    model = (resnet((1, 1, 1, 1), 8) if tiny else resnet()).to(device).eval()
    x = torch.rand(1 if tiny else 4, 3, 224, 224, device=device)
    budget = 450 if tiny else budget or 4_096

    def explain(batch_size: int | None) -> xai.Explanation:
        return xai.explain(
            model, x, "shapley", removal=xai.removal.Baseline("mean"), budget=budget,
            players=xai.players.Patches(16), batch_size=batch_size, progress=False,
        )  # fmt: skip

    batches = (8,) if tiny else (32, 64, 128, 256, 512)
    return Case("ResNet-50's shape, 196 patches", model, x, explain, batches, 0.9)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def bare(case: Case, batch: int, rows: int) -> float:
    """Model rows a second on at least so many rows."""
    device = case.x.device
    block = torch.randn(batch, *case.x.shape[1:], device=device)
    with torch.no_grad():
        case.model(block)
        wait(device)
        start = time.perf_counter()
        calls = -(-rows // batch)
        for _ in range(calls):
            case.model(block)
        wait(device)
    return calls * batch / (time.perf_counter() - start)


def explained(case: Case, batch_size: int | None) -> tuple[float, xai.Explanation]:
    """Model rows a second within an explanation, base values and predictions included."""
    rows = 0

    def count(module: nn.Module, args: Any, out: Tensor) -> None:
        nonlocal rows
        rows += len(out)

    hook = case.model.register_forward_hook(count)
    start = time.perf_counter()
    explanation = case.explain(batch_size)
    seconds = time.perf_counter() - start
    hook.remove()
    return rows / seconds, explanation


def run(case: Case, turns: int) -> dict[str, Any]:
    """Take turns with the bare model; print and return the medians."""
    _, explanation = explained(case, None)  # compiles, too
    rows = explanation.evaluations * len(case.x)
    some = max(rows // 8, min(rows, 4 * max(case.batches)))
    best = max(case.batches, key=lambda batch: bare(case, batch, some))
    base: list[float] = []
    ours: dict[str, list[float]] = {"default batch": [], "the model's best batch": []}
    for _ in range(turns):
        base.append(bare(case, best, rows))
        for name, size in zip(ours, (None, best), strict=True):
            ours[name].append(explained(case, size)[0])
    report = {
        "case": case.name,
        "ran": explanation.ran,
        "model_rows": rows,
        "bare_batch": best,
        "bare_rows_per_s": statistics.median(base),
        "mark": case.mark,
    }
    for name, speeds in ours.items():
        ratios = [a / b for a, b in zip(speeds, base, strict=True)]
        report[name] = {"rows_per_s": statistics.median(speeds), "share": statistics.median(ratios)}
        print(
            f"{case.name}, {explanation.ran}, {name}: {statistics.median(speeds):,.0f} model rows "
            f"a second, bare {report['bare_rows_per_s']:,.0f} at {best:,}: "
            f"share {statistics.median(ratios):.3f} (mark {case.mark})",
            flush=True,
        )
    return report


def main() -> None:
    """Measure, print, and write `gpu.json` where there is an accelerator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small sizes, nothing is written")
    parser.add_argument("--budget", type=int, help="model rows per explained row")
    given = parser.parse_args()
    found = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if found else torch.device("cpu")
    tiny = given.tiny or not found
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    machine = f"{device.type} {name}, torch {torch.__version__}, Python {platform.python_version()}"
    print(machine + (", tiny sizes: no figures to keep" if tiny else ""))
    torch.manual_seed(0)
    makers = (table_case, image_case)
    cases = [run(make(device, tiny=tiny, budget=given.budget), 1 if tiny else 5) for make in makers]
    if not tiny:
        result = {"machine": machine, "cases": cases}
        (HERE / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
