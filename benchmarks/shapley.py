"""The error of Shapley values at equal model rows, beside every peer, and what error bars cover.

    python benchmarks/shapley.py                  # all parts; writes shapley.json, shapley.png
    python benchmarks/shapley.py errors           # a background of 100 rows
    python benchmarks/shapley.py baseline         # one baseline: tables, and images of patches
    python benchmarks/shapley.py coverage         # nominal 95% intervals
    python benchmarks/shapley.py --quick          # small budgets, one or two seeds; writes nothing
    python benchmarks/shapley.py --seeds 4        # fewer seeds

One process, contestants taking turns. Every contestant's model rows are counted; each peer gets
the setting whose count comes nearest to the budget. Errors are RMSE over the RMS of the
reference, over all players, explained rows and seeds. References are closed forms, or our own
estimates from 100 times the budget (kept in `.cache`), whose errors are stated. Peers are in
`peers.py`. Seconds are of one explained row. Slow peers take part with 3 seeds where there is one
baseline.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from games import (
    HERE,
    Tables,
    marginal,
    marginal_truth,
    players_of,
    set_games,
    set_truth,
    solved,
    table_games,
)
from joblib import cpu_count
from peers import Counted, Peer, Rows, calibrate, of_backgrounds, of_set_functions

KERNEL = ("shap Kernel",)
Line = dict[str, Any]
Entrant = Callable[[int], tuple[np.ndarray, int]]
"""seed -> values (n, d), and model rows spent on each explained row"""


# ---------------------------------------------------------------------------------------------
# A contest: entrants take turns


class Contest:
    """Entrants that explain the same rows at the same budget, seed after seed.

    Parameters
    ----------
    game, budget : what the lines are labelled with
    truth : (n, d)
    accuracy : the reference's own relative error
    """

    def __init__(self, game: str, budget: int, truth: np.ndarray, accuracy: float) -> None:
        self.game, self.budget, self.truth, self.accuracy = game, budget, truth, accuracy
        self.entrants: list[Line] = []

    def enter(self, name: str, kind: str, run: Entrant, seeds: int) -> None:
        """One more entrant, which takes part with so many seeds."""
        self.entrants.append({"name": name, "kind": kind, "run": run, "seeds": seeds})
        self.entrants[-1] |= {"squares": [], "seconds": [], "rows": []}

    def hold(self, seeds: int) -> list[Line]:
        """Let all take turns, then print and return a line for each."""
        for seed in range(seeds):
            for entrant in self.entrants:
                if seed < entrant["seeds"]:
                    start = time.perf_counter()
                    values, rows = entrant["run"](seed)
                    entrant["seconds"].append((time.perf_counter() - start) / len(self.truth))
                    entrant["squares"].append(float(np.mean((values - self.truth) ** 2)))
                    entrant["rows"].append(rows)
        lines = [self._line(entrant) for entrant in self.entrants]
        best = {
            "best_peer": [line for line in lines if line["kind"] != "ours"],
            "best_sampler": [line for line in lines if line["kind"] == "sampler"],
            "KernelExplainer": [line for line in lines if line["explainer"] in KERNEL],
        }
        floors = {key: min(o["relative_rmse"] for o in of) for key, of in best.items() if of}
        print(f"\n{self.game}, {self.budget:,} (reference within {self.accuracy:.1e})")
        for line in lines:
            ours = line["kind"] == "ours"
            over = {key: line["relative_rmse"] / floor for key, floor in floors.items()}
            line |= {f"over_{key}": value for key, value in over.items() if ours}
            ratios = "".join(f"  {v:6.3f} of {k}" for k, v in over.items()) if ours else ""
            print(
                f"  {line['explainer']:30}{line['relative_rmse']:9.5f} ±{line['spread']:8.5f}"
                f"{line['model_rows']:9.0f} rows{line['seconds']:8.3f} s"
                f"  x{line['seeds']:<3}{ratios}",
                flush=True,
            )
        return lines

    def _line(self, entrant: Line) -> Line:
        squares = np.array(entrant["squares"])
        scale = np.sqrt(np.mean(self.truth**2))
        rmse = np.sqrt(squares.mean())
        spread = squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rmse) if len(squares) > 1 else 0
        return {
            "game": self.game,
            "budget": self.budget,
            "explainer": entrant["name"],
            "kind": entrant["kind"],
            "seeds": len(squares),
            "relative_rmse": float(rmse / scale),
            "spread": float(spread / scale),
            "reference_error": self.accuracy,
            "model_rows": float(np.mean(entrant["rows"])),
            "seconds": float(np.median(entrant["seconds"])),
        }


def enter_peers(
    contest: Contest,
    peers: dict[str, Peer],
    d: int,
    dummy: tuple[Any, ...],
    cases: list[tuple[Any, ...]],
    seeds: int,
) -> None:
    """Every peer at its calibrated setting.

    Parameters
    ----------
    dummy : what a case is, for a model that costs nothing
    cases : the arguments before (setting, seed), one for each explained row; the first is Counted
    """
    counters = {case[0] for case in cases}
    for name, peer in peers.items():
        if d > peer.most_players:
            continue

        def spend(setting: int, peer: Peer = peer) -> int:
            dummy[0].rows = 0
            peer.run(*dummy, setting, 0)
            return dummy[0].rows

        setting = calibrate(spend, contest.budget, peer.least(d))
        if setting is None:
            print(f"  {name}: spends more than 1.5 times {contest.budget:,}, left out")
            continue

        def run(seed: int, peer: Peer = peer, setting: int = setting) -> tuple[np.ndarray, int]:
            before = sum(counter.rows for counter in counters)
            first = seed * len(cases)
            values = [peer.run(*case, setting, first + i) for i, case in enumerate(cases)]
            spent = sum(counter.rows for counter in counters) - before
            return np.array(values), spent // len(cases)

        few = min(seeds, 3) if peer.slow else seeds
        contest.enter(name, "sampler" if peer.walks else "peer", run, few)


# ---------------------------------------------------------------------------------------------
# A background of 100 rows


def errors(tables: Tables, seeds: int, quick: bool) -> list[Line]:
    """Four games at two budgets."""
    games = {
        "forest probability": ("forest", False),
        "HGB probability": ("HGB", False),
        "MLP probability": ("MLP", False),
        "HGB log-odds": ("HGB", True),
    }
    known = {
        game: marginal_truth(tables, name, margin=margin, quick=quick)
        for game, (name, margin) in games.items()
    }
    lines = []
    for budget in (6_400,) if quick else (25_600, 210_800):
        for game, (name, margin) in games.items():
            f = Counted(tables.callable(name, margin=margin))
            contest = Contest(f"marginal: {game}", budget, *known[game])
            for estimator in ("permutation", "kernel"):
                ours = marginally(f, tables, estimator, budget)
                contest.enter(f"xai {estimator}", "ours", ours, seeds)
            auto, _ = marginally(f, tables, "auto", budget)(0)
            walks, _ = marginally(f, tables, "permutation", budget)(0)
            assert np.array_equal(auto, walks), "auto does not walk: enter it, too"
            dummy = Counted(lambda x: np.tanh(x @ np.sin(np.arange(x.shape[1]))))
            one = (dummy, tables.background, tables.x[0])
            cases = [(f, tables.background, row) for row in tables.x]
            enter_peers(contest, of_backgrounds(), tables.x.shape[1], one, cases, seeds)
            lines += contest.hold(seeds)
    return lines


def marginally(f: Counted, tables: Tables, estimator: str, budget: int) -> Entrant:
    """Our estimator, by marginal removal."""

    def run(seed: int) -> tuple[np.ndarray, int]:
        before = f.rows
        found = marginal(f, tables, estimator=estimator, budget=budget, seed=seed)
        return found.values, (f.rows - before) // len(tables.x)

    return run


# ---------------------------------------------------------------------------------------------
# One baseline: set functions


def baseline(tables: Tables, seeds: int, quick: bool) -> list[Line]:
    """Six games at three budgets."""
    ours: dict[str, Line] = {
        "xai auto": {},
        "xai gp, size=4096": {"estimator": "gp", "size": 4_096},
        "xai leverage": {"estimator": "leverage"},
        "xai kernel": {"estimator": "kernel"},
        "xai permutation": {"estimator": "permutation"},
    }
    games = set_games(quick, tables)
    lines = []
    for budget in (512,) if quick else (512, 2_048, 8_192):
        for game, (functions, truth, accuracy) in games.items():
            d = players_of(game)
            counted = [Counted(v) for v in functions]
            truth = truth.reshape(len(functions), d)
            contest = Contest(f"one baseline: {game}", budget, truth, accuracy)
            for name, options in ours.items():
                few = min(seeds, 3) if "size" in options and budget > 4_096 else seeds
                contest.enter(name, "ours", as_set_functions(counted, d, budget, options), few)
            dummy = Counted(lambda S: np.tanh(S @ np.sin(np.arange(S.shape[1]))))
            cases = [(v, d) for v in counted]
            enter_peers(contest, of_set_functions(), d, (dummy, d), cases, seeds)
            lines += contest.hold(seeds)
    return lines


def as_set_functions(counted: list[Counted], d: int, budget: int, options: Line) -> Entrant:
    """Our estimator, of set functions."""

    def run(seed: int) -> tuple[np.ndarray, int]:
        before = sum(v.rows for v in counted)
        found = [solved(v, d, budget, seed, **options).values for v in counted]
        return np.array(found), (sum(v.rows for v in counted) - before) // len(counted)

    return run


# ---------------------------------------------------------------------------------------------
# Coverage


def covered(what: str, truth: np.ndarray, runs: Callable[[int], list[Any]], seeds: int) -> Line:
    """How often values ± 1.96 standard errors hold the truth.

    Players that no run ever gets wrong are left out; an unknown error (NaN) covers nothing.
    """
    found = [runs(seed) for seed in range(seeds)]
    values, error = (
        np.array([np.concatenate([np.atleast_2d(getattr(r, name)) for r in one]) for one in found])
        for name in ("values", "std_error")
    )
    miss = np.abs(values - truth)
    uncertain = (miss > 1e-9 * np.abs(truth).max()).any(axis=0)
    inside = (miss <= 1.96 * error)[:, uncertain]
    stopped = [r.converged for one in found for r in one if r.converged is not None]
    line = {
        "what": what,
        "seeds": seeds,
        "players": int(uncertain.sum()),
        "coverage": float(inside.mean()),
        "least_of_a_player": float(inside.mean(axis=0).min()),
        "rmse_over_std_error": float(
            np.sqrt(np.mean(miss[:, uncertain] ** 2) / np.nanmean(error[:, uncertain] ** 2))
        ),
        "unknown": float(np.isnan(error[:, uncertain]).mean()),
        "model_rows": float(np.mean([r.evaluations for one in found for r in one])),
        "converged": float(np.mean(stopped)) if stopped else None,
    }
    mark = "" if 0.90 <= line["coverage"] <= 0.99 else "   OUTSIDE 90 to 99%"
    print(
        f"  {what:58}{line['coverage']:7.1%}  least {line['least_of_a_player']:6.1%}  "
        f"rmse/error {line['rmse_over_std_error']:.3f}  unknown {line['unknown']:.1%}  "
        f"{line['model_rows']:7.0f} rows{mark}",
        flush=True,
    )
    return line


def coverage(tables: Tables, seeds: int, quick: bool) -> list[Line]:
    """Fixed budgets, and early stops; two explained rows."""
    lines = []
    print("\nnominal 95% intervals")
    for name in ("forest", "HGB", "MLP"):
        truth, accuracy = marginal_truth(tables, name, margin=False, quick=quick)
        if accuracy > 0.01:  # a quick reference, which is itself off
            continue
        f = tables.callable(name, margin=False)
        for budget, tolerance in ((9_000, None), (14_000, None), (25_600, None), (25_600, 0.05)):
            if quick and budget > 9_000:
                continue

            def run(
                seed: int, f: Rows = f, budget: int = budget, tolerance: float | None = tolerance
            ) -> list[Any]:
                options = {"estimator": "permutation", "tolerance": tolerance, "budget": budget}
                return [marginal(f, tables, rows=2, seed=seed, **options)]

            what = f"marginal, {name} probability, walks, {budget:,}" + ", early" * bool(tolerance)
            lines.append(covered(what, truth[:2], run, seeds))
    for game, (functions, truth) in table_games(tables).items():
        accuracy = 0.0
        if truth is None:
            truth, accuracy = set_truth(game, functions, quick)
        if accuracy > 0.01:
            continue
        for budget, tolerance in ((2_048, None), (8_192, 0.05)):
            if quick and tolerance:
                continue

            def run(
                seed: int,
                two: list[Rows] = functions[1:3],
                budget: int = budget,
                tolerance: float | None = tolerance,
            ) -> list[Any]:
                return [solved(v, 30, budget, seed, tolerance=tolerance) for v in two]

            what = f"one baseline, {game}, auto, {budget:,}" + ", early" * bool(tolerance)
            lines.append(covered(what, truth[1:3], run, seeds))
    return lines


# ---------------------------------------------------------------------------------------------
# The plot


def plot(result: dict[str, Any], file: Path) -> None:
    """Error against model rows, a panel for each game."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = result.get("errors", []) + result.get("baseline", [])
    games = list(dict.fromkeys(line["game"] for line in lines))
    names = {line["explainer"] for line in lines}
    names = sorted(names, key=lambda name: (not name.startswith("xai"), name))
    colors = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))
    across = min(5, len(games))
    down = -(-len(games) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(3.6 * across, 3.4 * down + 1.2), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(games) :]:
        ax.axis("off")
    handles = {}
    for ax, game in zip(axes.flat, games, strict=False):
        for name in names:
            own = [o for o in lines if (o["game"], o["explainer"]) == (game, name)]
            if not own:
                continue
            mine = name.startswith("xai")
            style = {"lw": 2.2, "marker": "o"} if mine else {"lw": 1, "marker": "x", "ls": "--"}
            x, y = zip(*[(o["model_rows"], o["relative_rmse"]) for o in own], strict=True)
            (handles[name],) = ax.loglog(x, y, color=colors[name], ms=5, **style)
        budgets = sorted({line["budget"] for line in lines if line["game"] == game})
        ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        ax.set_xticks([], minor=True)
        ax.set_title(game, fontsize=9)
        ax.grid(alpha=0.3, which="major")
        ax.set_xlabel("model rows per explained row", fontsize=8)
    for row in axes:
        row[0].set_ylabel("relative RMSE", fontsize=8)
    shown = [name for name in names if name in handles]
    figure.legend(
        [handles[name] for name in shown], shown, loc="outside lower center", ncols=5, fontsize=8
    )
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, print, and write `shapley.json` and `shapley.png`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[], help="errors, baseline, coverage; all")
    parser.add_argument("--quick", action="store_true", help="small budgets; writes nothing")
    parser.add_argument("--seeds", type=int, help="20, 10 and 200 where not given")
    given = parser.parse_args()
    parts = {"errors": (errors, 20), "baseline": (baseline, 10), "coverage": (coverage, 200)}
    unknown = sorted(set(given.parts) - set(parts))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(parts)}")
    warnings.filterwarnings("ignore", module="shap|shapiq|captum|sklearn")
    file = HERE / "shapley.json"
    tables = Tables()
    for part in given.parts or parts:
        measure, usual = parts[part]
        start = time.perf_counter()
        quick_seeds = 20 if part == "coverage" else 1
        seeds = given.seeds or (quick_seeds if given.quick else usual)
        lines = measure(tables, seeds, given.quick)
        print(f"{part}: {time.perf_counter() - start:.0f} s")
        if not given.quick:
            result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
            machine = f"{platform.machine()}, {cpu_count()} cores"
            result["machine"] = f"{machine}, Python {platform.python_version()}"
            result[part] = lines
            file.write_text(json.dumps(result, indent=1) + "\n")
            if {"errors", "baseline"} & set(result):
                plot(result, HERE / "shapley.png")


if __name__ == "__main__":
    main()
