"""The command `xai`: `xai demo` shows the main job on a real table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xai._version import __version__

if TYPE_CHECKING:
    from xai.explanation import Explanation
    from xai.plots.row import Row

METHODS = ("kernel_shap", "lime", "occlusion")
BACKGROUND_ROWS = 100
TOP = 5
"""Each method's largest attributions that the printed table holds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        What follows `xai`; None: the process's own arguments.

    Examples
    --------
    >>> main([])  # doctest: +ELLIPSIS
    usage: xai ...
    """
    parser = argparse.ArgumentParser(
        prog="xai", description="Explain any model by removing features."
    )
    parser.add_argument("--version", action="version", version=f"xai {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command")
    demo = commands.add_parser(
        "demo",
        help="explain a random forest on breast cancer data, with pictures",
        description="Train a random forest on scikit-learn's breast cancer data and explain "
        "held-out patients with three methods: a table here, pictures and an HTML page in a "
        "folder.",
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("xai-demo"),
        metavar="DIR",
        help="folder for the pictures and the page (default: %(default)s)",
    )
    demo.add_argument(
        "--rows",
        type=_patients,
        default=5,
        metavar="N",
        help="patients to explain, 1 to 50 (default: %(default)s)",
    )
    demo.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="of the background and of the sampling; the forest stays the same "
        "(default: %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
    else:
        try:
            chosen.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            demo.error(f"argument --out: {error}")
        run_demo(chosen.out, chosen.rows, chosen.seed)
    return 0


def run_demo(folder: Path, rows: int, seed: int) -> None:
    """Train, explain, print, and write pictures and page to `folder`."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    import xai
    from xai.plots.row import read

    cancer = xai.datasets.breast_cancer()
    train_x, test_x, train_y, test_y = train_test_split(
        cancer.data, cancer.target, random_state=0, stratify=cancer.target
    )
    forest = RandomForestClassifier(n_estimators=100, random_state=0).fit(train_x, train_y)
    print(
        f"A random forest of 100 trees, trained on {len(train_x)} breast tumours: "
        f"{forest.score(test_x, test_y):.1%} of {len(test_x)} held-out ones are classified right."
    )
    chosen = np.random.default_rng(seed).choice(len(train_x), BACKGROUND_ROWS, replace=False)
    print(
        f"Explaining {rows} held-out patients. A feature is removed by drawing it from a "
        f"background of {BACKGROUND_ROWS} training rows, chosen at random."
    )
    explanations: dict[str, Explanation] = {}
    seconds: dict[str, float] = {}
    for method in METHODS:
        start = time.perf_counter()
        explanations[method] = xai.explain(
            forest,
            test_x[:rows],
            method=method,
            data=train_x[chosen],
            seed=seed,
            progress=True,
            feature_names=cancer.feature_names,
            output_names=cancer.target_names,
        )
        seconds[method] = time.perf_counter() - start
    found = [read(explanations[METHODS[0]], row) for row in range(rows)]
    names = [
        f"patient {row + 1}: {one.output} with probability {one.prediction:.2f} "
        f"(in truth {cancer.target_names[test_y[row]]})"
        for row, one in enumerate(found)
    ]
    print(f"\n{names[0].capitalize()}\n\n{_table(explanations, seconds)}\n")
    files = _write(folder, explanations, names)
    print(f"Written to {folder.resolve()}: {', '.join(file.name for file in files)}")
    print(f"Open {files[0].resolve()} in a browser: all patients, all methods.")


def _table(explanations: Mapping[str, Explanation], seconds: Mapping[str, float]) -> str:
    """Set the first row's largest attributions out in columns, one per method."""
    from xai.plots.row import read

    rows = {method: read(explanation) for method, explanation in explanations.items()}
    first = next(iter(rows.values()))
    top = {int(j) for explanation in explanations.values() for j in explanation.top(TOP)[0]}
    order = sorted(top, key=lambda j: -abs(first.values[j]))
    others = [j for j in range(len(first.values)) if j not in top]
    lines = [["attribution ±standard error", *rows]]
    lines += [[first.labels[j], *(_number(row, j) for row in rows.values())] for j in order]
    sums = (f"{row.values[others].sum():+.3f}" + _NO_ERROR for row in rows.values())
    lines.append([f"sum of {len(others)} other features", *sums])
    lines.append(["base value", *(f"{row.base:.3f}" + _NO_ERROR for row in rows.values())])
    lines.append(["prediction", *(f"{row.prediction:.3f}" + _NO_ERROR for row in rows.values())])
    lines.append(["model rows per patient", *(f"{e.evaluations:,}" for e in explanations.values())])
    lines.append(["seconds, all patients", *(f"{seconds[method]:.1f}" for method in rows)])
    wide = max(len(line[0]) for line in lines)
    text = [f"{line[0]:<{wide}}" + "".join(f"{cell:>15}" for cell in line[1:]) for line in lines]
    rule = "-" * len(text[0])
    return "\n".join([text[0], rule, *text[1:-4], rule, *text[-4:]])


_NO_ERROR = " " * len(" ±0.000")


def _number(row: Row, player: int) -> str:
    error = np.nan if row.std_error is None else row.std_error[player]
    return f"{row.values[player]:+.3f}" + (_NO_ERROR if np.isnan(error) else f" ±{error:.3f}")


def _write(
    folder: Path, explanations: Mapping[str, Explanation], names: Sequence[str]
) -> list[Path]:
    """Write the page, and the first row's pictures."""
    from xai.plots.png import png
    from xai.report import page

    files = [
        page(
            explanations,
            folder / "index.html",
            title="Breast cancer: why the forest thinks so",
            row_names=names,
        )
    ]
    pictures = {method: png(explanation) for method, explanation in explanations.items()}
    additive = explanations["kernel_shap"]
    pictures |= {f"kernel_shap-{kind}": png(additive, kind) for kind in ("waterfall", "global")}
    for name, content in pictures.items():
        files.append(folder / f"{name}.png")
        files[-1].write_bytes(content)
    return files


def _seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text!r}")
    return int(text)


def _patients(text: str) -> int:
    """Read the number of patients, or say which numbers are possible."""
    if not text.isdecimal() or not 1 <= int(text) <= 50:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 50, not {text!r}")
    return int(text)
