"""What a metric costs: beside the bare model on the same rows, and beside Quantus.

``python benchmarks/metrics.py [--turns 3] [--rows 500] [--only MLP] [--alone] [--json FILE]``: 16
images of 32 × 32 and a small convolutional network; rows of 20 columns with two MLPs, of 100 and of
256 units a layer, and with a random forest (metrics that do not explain again, without Quantus).
Each line: our seconds, over those of the bare forwards (or explanations) of as many rows at the
best batch size, just before and just after; the same ratio of what is written by hand for an MLP
(`by_hand.py`); and Quantus's seconds with the same number of evaluations, over ours. Medians.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from by_hand import BY_HAND
from sklearn.ensemble import RandomForestClassifier

import xai
from xai import metrics

BATCHES = (32, 128, 512, 2048, 8192)
WIDE = 256
FOREST_BATCHES = (2048, 8192, 2**15, 2**17)
CELLS = ("over_bare", "by_hand_over_bare", "quantus", "quantus_over_ours")
PLAIN = {"abs": False, "normalise": False, "disable_warnings": True}


@dataclass
class Problem:
    """A network, its rows as array and tensor, attributions, and a gradient to explain with."""

    net: Any
    x: np.ndarray
    batches: tuple[int, ...] = BATCHES

    def __post_init__(self) -> None:
        self.net.eval()
        self.tensor = torch.as_tensor(self.x)
        self.start()
        self.counting = True
        self.net.register_forward_pre_hook(self._count)
        with torch.no_grad():
            self.target = self.net(self.tensor).argmax(dim=1).numpy()
        self.a = self.explain(self.net, self.x, self.target)

    def start(self) -> None:
        """Count rows from here on."""
        self.rows = self.explained = 0

    def pool(self, count: int) -> np.ndarray:
        """So many rows for the bare model."""
        return np.resize(self.x, (min(count, max(self.batches)), *self.x.shape[1:]))

    def forward(self, rows: np.ndarray) -> None:
        """The bare model."""
        with torch.no_grad():
            self.net(torch.as_tensor(rows))

    def _count(self, _: Any, inputs: Any) -> None:
        self.rows += len(inputs[0]) * self.counting

    def explain(self, model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        """Gradient × input, one call for all rows."""
        self.explained += len(inputs)
        self.counting = False
        x = torch.as_tensor(np.asarray(inputs, np.float32)).requires_grad_()
        out = model(x)[torch.arange(len(x)), torch.as_tensor(np.asarray(targets))].sum()
        self.counting = True
        return (x.detach() * torch.autograd.grad(out, x)[0]).numpy()


def images() -> Problem:
    """16 images, a network of about 0.1 ms an image."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(32 * 64, 10),
    )  # fmt: skip
    return Problem(net, np.random.default_rng(0).normal(size=(16, 1, 32, 32)).astype(np.float32))


def table(rows: int = 500, units: int = 100) -> Problem:
    """Rows of 20 columns, an MLP of two layers of so many units."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(20, units), torch.nn.ReLU(), torch.nn.Linear(units, units),
        torch.nn.ReLU(), torch.nn.Linear(units, 2),
    )  # fmt: skip
    return Problem(net, np.random.default_rng(0).normal(size=(rows, 20)).astype(np.float32))


class Forest(Problem):
    """A forest whose rows are counted, and attributions by chance.

    How long trees take depends on their rows: the bare run has the very rows that ours gave it.
    """

    def __post_init__(self) -> None:
        y = self.x[:, 0] * self.x[:, 1] > self.x[:, 2]
        self.net = RandomForestClassifier(100, max_depth=8, random_state=0).fit(self.x, y)
        self.predict = self.net.predict_proba
        self.net.predict_proba = self._counted
        self.start()
        self.target = self.forward(self.x).argmax(axis=1)
        self.a = np.random.default_rng(1).normal(size=self.x.shape)

    def forward(self, rows: np.ndarray) -> np.ndarray:
        """The bare model."""
        return self.predict(rows)

    def start(self) -> None:
        """Count rows, and keep them."""
        super().start()
        self.given: list[np.ndarray] | None = []

    def pool(self, count: int) -> np.ndarray:
        """The rows that were given to the model; others are not kept."""
        pool, self.given = np.concatenate(self.given), None
        return pool

    def _counted(self, rows: np.ndarray) -> np.ndarray:
        self.rows += len(rows)
        if self.given is not None:
            self.given.append(rows)
        return self.predict(rows)


def forest(rows: int = 500) -> Problem:
    """The same rows, 100 trees."""
    return Forest(None, table(rows).x, FOREST_BATCHES)


@dataclass(frozen=True)
class Line:
    """One metric: ours, and Quantus's where it has one."""

    name: str
    ours: dict[str, Any]
    peer: Callable[[Any], Any] | None = None


def lines(p: Problem) -> list[Line]:
    """The metrics measured on a problem, with the same number of evaluations on both sides."""
    d, picture, network = p.x[0].size, p.x.ndim == 4, not isinstance(p, Forest)
    N, size = (50, 224) if picture else (20, 5)
    zero = {"perturb_baseline": 0.0, **PLAIN}
    both = [
        Line("pixel_flipping", {"steps": d}, lambda q: q.PixelFlipping(**zero)),
        Line("faithfulness_correlation", {"subset_size": size, "samples": 100},
             lambda q: q.FaithfulnessCorrelation(nr_runs=100, subset_size=size,
                                                 return_aggregate=False, **zero)),
        Line("faithfulness_estimate", {"steps": d // 4},
             lambda q: q.FaithfulnessEstimate(features_in_step=4, **zero)),
        Line("monotonicity", {"steps": d}, lambda q: q.Monotonicity(**(zero | {"abs": True}))),
        Line("sensitivity_n", {"samples": 100}),
        Line("infidelity", {"samples": 100}),
        Line("max_sensitivity", {"samples": N, "radius": 0.2},
             lambda q: q.MaxSensitivity(nr_samples=N, lower_bound=0.2, **PLAIN)),
        Line("local_lipschitz", {"samples": N, "radius": 0.2},
             lambda q: q.LocalLipschitzEstimate(nr_samples=N, **PLAIN)),
        Line("relative_input_stability", {"samples": N, "radius": 0.2},
             lambda q: q.RelativeInputStability(nr_samples=N, **PLAIN)),
        Line("parameter_randomization", {"order": "top_down"},
             lambda q: q.MPRT(disable_warnings=True, normalise=False)),
        Line("random_logit", {}, lambda q: q.RandomLogit(num_classes=p.target.max() + 1, **PLAIN)),
        Line("sparseness", {}, lambda q: q.Sparseness(normalise=False, disable_warnings=True)),
        Line("complexity", {}, lambda q: q.Complexity(normalise=False, disable_warnings=True)),
    ]  # fmt: skip
    if not network:
        return [replace(line, peer=None) for line in both if not needs_network(line)]
    if not picture:
        return both
    return [
        *both,
        Line("region_perturbation", {}, lambda q: q.RegionPerturbation(patch_size=8, **zero)),
        Line("irof", {}, lambda q: q.IROF(return_aggregate=False, disable_warnings=True)),
        Line("road", {"steps": 50}, lambda q: q.ROAD(disable_warnings=True)),
    ]


def needs_network(line: Line) -> bool:
    """Whether a metric explains again, or evaluates nothing."""
    again = "explain" in getattr(metrics, line.name).options
    return again or line.name in ("sparseness", "complexity")


def ours(p: Problem, line: Line) -> Any:
    """Our metric, as a user calls it."""
    metric = getattr(metrics, line.name)
    given = {} if line.name == "road" else {"removal": xai.removal.Baseline(0.0)}
    again = {"explain": p.explain} if "explain" in metric.options else {}
    return metric(p.net, p.x, p.a, target=p.target, **given, **again, **line.ours)


def peer(p: Problem, line: Line, quantus: Any) -> Any:
    """Quantus's, on its own defaults otherwise."""
    metric = line.peer(quantus)
    given = {"explain_func": lambda model, inputs, targets, **_: p.explain(model, inputs, targets)}
    return metric(model=p.net, x_batch=p.x, y_batch=p.target, a_batch=p.a, softmax=False, **given)


def seconds(run: Callable[[], Any]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def bare(p: Problem, rows: int, explained: int) -> Callable[[], None]:
    """The forwards and explanations alone, each at its best batch size."""
    pool = p.pool(max(rows, explained))
    target = np.resize(p.target, len(pool))

    def forward(part: int) -> None:
        p.forward(pool[:part])

    def explain(part: int) -> None:
        p.explain(p.net, pool[:part], target[:part])

    def run(call: Callable[[int], None], count: int, size: int) -> None:
        for start in range(0, count, size):
            call(min(size, count - start))

    best = []
    for call, count in ((forward, rows), (explain, explained)):
        runs = [functools.partial(run, call, count, size) for size in p.batches]
        taken = [min(seconds(r) for _ in range(2)) for r in runs]
        best.append(runs[int(np.argmin(taken))])

    def both() -> None:
        for alone in best:
            alone()

    return both


def check(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse a comparison of different numbers."""
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def measure(p: Problem, line: Line, quantus: Any, turns: int) -> dict[str, Any]:
    """One line of the table: ours, the bare runs just before and after it, then Quantus."""
    ours(p, line)  # compiles, and fills caches
    p.start()
    own = seconds(lambda: ours(p, line))
    rows, explained = p.rows, p.explained
    alone = bare(p, rows, explained)
    runs, ratios = [lambda: ours(p, line)], []
    if type(p) is Problem and p.x.ndim == 2 and line.name in BY_HAND:
        runs.append(lambda: BY_HAND[line.name](p))
        check(ours(p, line).values, runs[1]())
    mine, before = [], seconds(alone)
    for _ in range(min(99, max(turns, int(1 / own)))):
        over = []
        for run in runs:
            taken, after = seconds(run), seconds(alone)
            over.append(2 * taken / (before + after))
            before = after
            mine += [taken] * (run is runs[0])
        ratios.append(over)
    own, other, failed = statistics.median(mine), None, ""
    over_bare, *by_hand = map(statistics.median, zip(*ratios, strict=True))
    if quantus is not None and line.peer is not None:
        try:
            other = statistics.median(seconds(lambda: peer(p, line, quantus)) for _ in range(turns))
        except Exception as error:  # noqa: BLE001 — whatever a peer raises is what it did
            failed = f"{type(error).__name__}: {error}".splitlines()[0][:60]
    return {
        "metric": line.name, "rows": rows, "explained": explained, "seconds": own,
        "over_bare": over_bare if rows + explained else None,
        "by_hand_over_bare": by_hand[0] if by_hand else None,
        "quantus": other, "quantus_over_ours": None if other is None else other / own,
        "quantus_failed": failed,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500, help="of the tables")
    parser.add_argument("--only", default="", help="problems whose name holds this")
    parser.add_argument("--alone", action="store_true", help="leave Quantus out")
    parser.add_argument("--json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    quantus = None
    if not given.alone:
        try:
            import quantus
        except ImportError:
            print("quantus is not installed: our metrics alone")
    found = {}
    n = given.rows
    problems = {"16 images of 32 x 32": images,
                f"{n} rows of 20 columns": functools.partial(table, n),
                f"{n} rows, an MLP of {WIDE} units a layer": functools.partial(table, n, WIDE),
                f"{n} rows, a forest": functools.partial(forest, n)}  # fmt: skip
    for name in (name for name in problems if given.only in name):
        p = problems[name]()
        print(f"\n{name}\n{'metric':34}{'rows':>8}{'explained':>10}{'seconds':>9}{'over bare':>10}"
              f"{'by hand':>9}{'Quantus':>9}{'over ours':>10}")  # fmt: skip
        found[name] = []
        for line in lines(p):
            got = measure(p, line, quantus, given.turns)
            found[name].append(got)
            cells = [got[key] for key in CELLS]
            shown = "".join(
                f"{'' if c is None else f'{c:.2f}':>{w}}"
                for c, w in zip(cells, (10, 9, 9, 10), strict=True)
            )
            print(f"{line.name:34}{got['rows']:>8}{got['explained']:>10}{got['seconds']:>9.3f}"
                  f"{shown}  {got['quantus_failed']}", flush=True)  # fmt: skip
    if given.json:
        with open(given.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
