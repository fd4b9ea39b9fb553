"""The games of `shapley.py`, their exact values or references, and our answers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import Rows
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xai

HERE = Path(__file__).resolve().parent


class Tables:
    """Breast cancer data and the models fitted to it."""

    def __init__(self) -> None:
        X, y = load_breast_cancer(return_X_y=True)
        self.train, test, labels, _ = train_test_split(X, y, random_state=0)
        self.background, self.x = self.train[:100], test[:5]
        self.mean = self.train.mean(axis=0)
        mlp = MLPClassifier((64, 64), max_iter=500, random_state=0)
        fitted = {
            "forest": RandomForestClassifier(100, random_state=0),
            "HGB": HistGradientBoostingClassifier(random_state=0),
            "boosting": GradientBoostingClassifier(random_state=0),
            "MLP": make_pipeline(StandardScaler(), mlp),
        }
        self.fitted = {name: model.fit(self.train, labels) for name, model in fitted.items()}

    def callable(self, name: str, *, margin: bool) -> Rows:
        """Class 1's probability, or the margin, as a bare function."""
        model = self.fitted[name]
        if margin:
            return lambda x: model.decision_function(np.asarray(x))
        return lambda x: model.predict_proba(np.asarray(x))[:, 1]

    def exact(self, name: str, *, margin: bool, **options: Any) -> np.ndarray:
        """The closed form of a tree ensemble."""
        if margin:
            options["behavior"] = xai.behavior.Prediction("log_odds")
        result = xai.explain(self.fitted[name], self.x, target=1, progress=False, **options)
        assert result.std_error is None, f"{name}: {result.ran} is no closed form"
        return result.values


def kept(key: str, probe: np.ndarray, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What `make` gives, from `.cache` where the model still says the same of `probe`."""
    place = HERE / ".cache"
    place.mkdir(exist_ok=True)
    mark = hashlib.sha256(np.round(probe, 6).tobytes()).hexdigest()[:12]
    file = place / f"{key}-{mark}.npy"
    if not file.exists():
        np.save(file, make())
    return np.load(file)


def averaged(runs: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean over independent runs, and its standard error over the RMS of the values."""
    mean = runs.mean(axis=0)
    error = np.sqrt(np.mean(runs.var(axis=0, ddof=1)) / len(runs))
    return mean, float(error / np.sqrt(np.mean(mean**2)))


# ---------------------------------------------------------------------------------------------
# A background of 100 rows


def marginal(f: Rows, tables: Tables, **options: Any) -> Any:
    """Our explanation of a bare function by marginal removal."""
    return xai.explain(
        f, tables.x[: options.pop("rows", None)], data=tables.background, progress=False, **options
    )


def marginal_truth(
    tables: Tables, name: str, *, margin: bool, quick: bool
) -> tuple[np.ndarray, float]:
    """Closed forms where there are some, else ten runs of walks, 21 million rows in all."""
    if name == "forest" or margin:
        return tables.exact(name, margin=margin, data=tables.background), 0.0
    f = tables.callable(name, margin=margin)
    budget, runs = (210_800, 2) if quick else (2_108_000, 10)

    def make() -> np.ndarray:
        return np.array(
            [
                marginal(f, tables, estimator="permutation", budget=budget, seed=10_000 + i).values
                for i in range(runs)
            ]
        )

    probe = np.concatenate([f(tables.x), f(tables.background)])
    return averaged(kept(f"marginal-{name}-{budget}x{runs}", probe, make))


# ---------------------------------------------------------------------------------------------
# One baseline: set functions


def of_row(f: Rows, row: np.ndarray, baseline: np.ndarray) -> Rows:
    """The set function of one row."""
    return lambda S: f(np.where(S, row, baseline))


def table_games(tables: Tables) -> dict[str, tuple[list[Rows], np.ndarray | None]]:
    """Set functions of the five rows, and their exact values where there is a closed form."""
    games = {}
    removal = xai.removal.Baseline(tables.mean)
    kinds = {
        "forest probability": ("forest", False),
        "boosting margin": ("boosting", True),
        "HGB margin": ("HGB", True),
        "MLP probability": ("MLP", False),
    }
    for game, (name, margin) in kinds.items():
        f = tables.callable(name, margin=margin)
        truth = None if name == "MLP" else tables.exact(name, margin=margin, removal=removal)
        games[game] = [of_row(f, row, tables.mean) for row in tables.x], truth
    return games


def image_games() -> dict[str, tuple[list[Rows], np.ndarray | None]]:
    """A small CNN's logit of the predicted digit, two images, patches of 4 × 4 and of 2 × 2."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits, labels = load_digits(return_X_y=True)
    small = torch.tensor(digits.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    images = nn.functional.interpolate(small, size=28, mode="bilinear", align_corners=False)
    cnn = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * 49, 32), nn.ReLU(), nn.Linear(32, 10)),
    )
    target = torch.tensor(labels)
    optimizer = torch.optim.Adam(cnn.parameters(), 3e-3)
    for _ in range(15):
        for part in torch.randperm(1_500).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(cnn(images[part]), target[part]).backward()
            optimizer.step()
    with torch.no_grad():
        right = (cnn(images[1_500:]).argmax(1) == target[1_500:]).float().mean()
    print(f"CNN on digits: {right:.1%} of the test images right")

    def of_image(image: Any, side: int) -> Rows:
        with torch.no_grad():
            label = int(cnn(image[None]).argmax())

        def v(S: np.ndarray) -> np.ndarray:
            out = []
            for part in np.array_split(S, 1 + len(S) // 4_096):
                mask = torch.from_numpy(part.reshape(-1, 1, 28 // side, 28 // side))
                mask = mask.repeat_interleave(side, 2).repeat_interleave(side, 3)
                with torch.no_grad():
                    out.append(cnn(image * mask)[:, label].double().numpy())
            return np.concatenate(out)

        return v

    chosen = images[[1_600, 1_700]]
    return {
        f"CNN logit, {(28 // side) ** 2} patches": ([of_image(i, side) for i in chosen], None)
        for side in (4, 2)
    }


def solved(
    v: Rows, d: int, budget: int, seed: int, tolerance: float | None = None, **options: Any
) -> Any:
    """Our Shapley values of a set function."""
    game = xai.Game.from_function(v, d)
    return xai.summary.Shapley(**options)(game, budget, tolerance, seed)


def players_of(game: str) -> int:
    """Number of players, from the game's name."""
    return 30 if "CNN" not in game else int(game.split()[2])


def set_truth(game: str, functions: list[Rows], quick: bool) -> tuple[np.ndarray, float]:
    """Eight runs of the Gaussian process at 131,072 coalitions, checked against walks."""
    d = players_of(game)
    budget, runs = (8_192, 2) if quick else (131_072, 8)
    several: dict[str, tuple[np.ndarray, float]] = {}
    coalitions = np.random.default_rng(0).random((20, d)) < 0.5
    probe = np.concatenate([v(coalitions) for v in functions])
    for estimator in ("gp", "permutation"):

        def make(estimator: str = estimator) -> np.ndarray:
            return np.array(
                [
                    [solved(v, d, budget, seed, estimator=estimator).values for v in functions]
                    for seed in range(10_000, 10_000 + runs)
                ]
            )

        key = f"set-{game.replace(' ', '-')}-{estimator}-{budget}x{runs}"
        several[estimator] = averaged(kept(key, probe, make))
    (truth, error), (other, other_error) = several["gp"], several["permutation"]
    apart = np.sqrt(np.mean((truth - other) ** 2) / np.mean(truth**2))
    expected = np.hypot(error, other_error)
    print(f"{game}: process and walks {apart:.1e} apart, {expected:.1e} expected")
    return truth, error


def set_games(quick: bool, tables: Tables) -> dict[str, tuple[list[Rows], np.ndarray, float]]:
    """All set functions with their references and these references' errors."""
    games = {}
    for game, (functions, truth) in (table_games(tables) | image_games()).items():
        accuracy = 0.0
        if truth is None:
            truth, accuracy = set_truth(game, functions, quick)
        games[game] = functions, truth, accuracy
    return games
