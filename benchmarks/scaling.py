"""Time and memory of an explanation against players, budget, rows and background.

The model is a logistic function in NumPy, so that what is seen is the library. Each point runs in
a process of its own, forked from one that has compiled and imported everything: time is the least
of up to nine runs, memory the growth of the process' largest resident size beyond its inputs.

    python benchmarks/scaling.py            # under 4 minutes; writes scaling.json and scaling.png
    python benchmarks/scaling.py --quick    # the small half of each curve, nothing is written
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count

import xai

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Point:
    """One explanation: an estimator, and the size of its problem in four directions."""

    estimator: str
    removal: str
    d: int = 30
    budget: int = 10_000
    rows: int = 10
    background: int = 100


@dataclass(frozen=True)
class Curve:
    """An estimator along one direction.

    Attributes
    ----------
    theory : what the time's and the memory's exponents come to, for people
    """

    estimator: str
    removal: str
    along: str
    sizes: tuple[int, ...]
    fixed: dict[str, int]
    theory: tuple[str, str]

    @property
    def name(self) -> str:
        """What the legend calls it."""
        return f"{self.estimator}, {self.removal}"

    def points(self) -> list[Point]:
        """Every size of the curve."""
        start = replace(Point(self.estimator, self.removal), **self.fixed)
        return [replace(start, **{self.along: size}) for size in self.sizes]


TENS = (1, 10, 100, 1_000, 10_000)
WALKS, LEVERAGE, PROCESS = (
    ("permutation", "marginal"),
    ("leverage", "baseline"),
    ("gp", "baseline"),
)
WIDE, BUDGETS = {"budget": 20_000, "rows": 4}, {"rows": 4}
CURVES = [
    # a model row has d numbers; a regression costs d² a pair, and d³ once ("auto" walks from 1,024)
    Curve(*WALKS, "d", (10, 30, 100, 300, 1_000, 3_000), WIDE, ("1", "≤ 1")),
    Curve(*LEVERAGE, "d", (10, 30, 100, 300, 1_000, 3_000), WIDE, ("1 to 3", "1 to 2")),
    Curve(*PROCESS, "d", (10, 30, 100, 300, 1_000), WIDE, ("1 to 3", "1 to 2")),
    Curve(*WALKS, "budget", (1_000, 10_000, 100_000, 1_000_000), BUDGETS, ("1", "≤ 1")),
    Curve(*LEVERAGE, "budget", (1_000, 10_000, 100_000, 1_000_000), BUDGETS, ("1", "1")),
    Curve(*PROCESS, "budget", (1_000, 10_000, 100_000), BUDGETS, ("≤ 1", "≤ 1")),
    Curve(*WALKS, "rows", TENS, {"budget": 2_000}, ("1", "0, then 1")),
    Curve(*LEVERAGE, "rows", TENS, {"budget": 2_000}, ("1", "0, then 1")),
    Curve(*PROCESS, "rows", TENS[:3], {"budget": 2_000}, ("1", "0")),
    Curve(*WALKS, "background", TENS[1:], {"budget": 40_000}, ("0", "0, then 1")),
    Curve("leverage", "marginal", "background", TENS[1:], {"budget": 40_000}, ("0", "0, then 1")),
]
TITLES = {
    "d": "players\n(budget 20,000, 4 rows)",
    "budget": "budget\n(30 players, 4 rows)",
    "rows": "explained rows\n(30 players, budget 2,000)",
    "background": "background rows\n(30 players, budget 40,000, 10 rows)",
}
COLOURS = {"permutation": "#0b6e99", "leverage": "#c4602c", "gp": "#5b8c3a"}


class Logistic:
    """A cheap model that adds up the time spent inside it."""

    def __init__(self, d: int) -> None:
        self.w = np.random.default_rng(1).normal(size=d) / np.sqrt(d)
        self.seconds, self.rows = 0.0, 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        out = 1 / (1 + np.exp(-(x @ self.w)))
        self.seconds += time.perf_counter() - start
        self.rows += len(x)
        return out


def explain(point: Point, model: Any, x: np.ndarray, data: np.ndarray, seed: int) -> Any:
    """One explanation."""
    removal = {} if point.removal == "marginal" else {"removal": xai.removal.Baseline("mean")}
    return xai.explain(
        model, x, "shapley", estimator=point.estimator, data=data, budget=point.budget,
        seed=seed, progress=False, **removal,
    )  # fmt: skip


def resident() -> float:
    """The process' largest resident size so far, in MB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(point: Point) -> dict[str, Any]:
    """Time and memory of a point, in the process that calls."""
    rng = np.random.default_rng(0)
    x, data = (rng.normal(size=(n, point.d)) for n in (point.rows, point.background))
    model, before, best = Logistic(point.d), resident(), np.inf
    inside, started = 0.0, time.perf_counter()
    for seed in range(9):
        model.seconds, model.rows = 0.0, 0
        begin = time.perf_counter()
        explanation = explain(point, model, x, data, seed)
        seconds = time.perf_counter() - begin
        if seconds < best:
            best, inside = seconds, model.seconds
        if time.perf_counter() - started > 0.5:
            break
    return {
        **asdict(point),
        "seconds": best,
        "model_seconds": inside,
        "model_rows": model.rows,
        "megabytes": resident() - before,
        "ran": explanation.ran,
    }


def apart(point: Point) -> dict[str, Any]:
    """The same in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return dict(pool.apply(measure, (point,)))


def exponent(points: list[dict[str, Any]], along: str, what: str) -> float | None:
    """Slope in logarithms over the last three sampled points, where costs that stay are small."""
    sampled = [p for p in points if "enumer" not in p["ran"]][-3:]
    if len(sampled) < 2:
        return None
    size = np.log([p[along] for p in sampled])
    amount = np.log([max(p[what], 0.1 if what == "megabytes" else 1e-9) for p in sampled])
    return float(np.polyfit(size, amount, 1)[0])


def run(curve: Curve, *, quick: bool) -> dict[str, Any]:
    """Measure a curve, and print its exponents beside what theory says."""
    points = curve.points()
    points = points[: len(points) // 2 + 1] if quick else points
    measured = [apart(point) for point in points]
    slopes = {what: exponent(measured, curve.along, what) for what in ("seconds", "megabytes")}
    told = {what: "-" if slope is None else f"{slope:.2f}" for what, slope in slopes.items()}
    last = measured[-1]
    print(
        f"{curve.along:10}  {curve.name:22}  time ^{told['seconds']:>5} (theory {curve.theory[0]})"
        f"  memory ^{told['megabytes']:>5} (theory {curve.theory[1]})   at {last[curve.along]:,}: "
        f"{last['seconds']:.3g} s, model {last['model_seconds']:.3g} s, "
        f"{last['megabytes']:.0f} MB, {last['model_rows']:,} model rows",
        flush=True,
    )
    return {
        "name": curve.name,
        "estimator": curve.estimator,
        "along": curve.along,
        "theory": {"seconds": curve.theory[0], "megabytes": curve.theory[1]},
        "exponents": slopes,
        "points": measured,
    }


def draw(curves: list[dict[str, Any]], path: Path) -> None:
    """Time above, memory below; one column for each direction."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(15, 7.5), sharex="col", sharey="row")
    for column, along in enumerate(TITLES):
        for curve in (c for c in curves if c["along"] == along):
            for row, what in enumerate(("seconds", "megabytes")):
                draw_curve(axes[row, column], curve, what)
        axes[1, column].set_xlabel(TITLES[along])
    axes[0, 0].set_ylabel("seconds (dotted: inside the model)")
    axes[1, 0].set_ylabel("megabytes beyond the inputs")
    for axis in axes.flat:
        axis.set(xscale="log", yscale="log")
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, loc="upper left")
    axes[0, 0].set_ylim(1e-5, 1e4)  # room for the legends
    axes[1, 0].set_ylim(1, 1e4)
    figure.suptitle(
        "What xai.explain(…, 'shapley') costs on a logistic function", x=0.01, ha="left"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def draw_curve(axis: Any, curve: dict[str, Any], what: str) -> None:
    """One curve; enumerated points, which are no estimates, are hollow."""
    points, along = curve["points"], curve["along"]
    size = [p[along] for p in points]
    amount = [max(p[what], 0.1) if what == "megabytes" else p[what] for p in points]
    colour, slope = COLOURS[curve["estimator"]], curve["exponents"][what]
    label = curve["name"] + ("" if slope is None else f": slope {slope:.2f}")
    axis.plot(size, amount, color=colour, label=label, linewidth=1.6)
    for at, value, point in zip(size, amount, points, strict=True):
        face = "white" if "enumer" in point["ran"] else colour
        axis.plot(at, value, "o", color=colour, markerfacecolor=face, markersize=5)
    if what == "seconds":
        axis.plot(size, [p["model_seconds"] for p in points], ":", color=colour, linewidth=1)


def main() -> None:
    """Measure, print, and write `scaling.json` and `scaling.png`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small half of each curve")
    quick = parser.parse_args().quick
    for estimator, removal in {(c.estimator, c.removal) for c in CURVES}:
        measure(Point(estimator, removal, budget=2_000, rows=2))  # compile before forking
    curves = [run(curve, quick=quick) for curve in CURVES]
    if quick:
        return
    machine = f"{platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}"
    result = {"machine": machine, "curves": curves}
    (HERE / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(curves, HERE / "scaling.png")


if __name__ == "__main__":
    main()
