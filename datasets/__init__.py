"""Real and ground-truth data to explain models on. Import it as ``xai.datasets``.

Each function returns a `Dataset`: rows, classes, names, a description, a citation, and for the
generators the truth.

- real, from scikit-learn: `breast_cancer`, `wine`, `digits`, `photographs`
- real, downloaded once: `fetch_adult`, `fetch_compas`, `fetch_german_credit`, `fetch_heloc`
- with a truth: `suppressor2d`, `clustered` (tables), `tetrominoes`, `textures` (images)
"""

if __name__ == "datasets":
    # Python was started in the checkout's root folder, which then hides any installed package
    # called `datasets`, such as Hugging Face's.
    raise ImportError(
        "this folder is the source of xai.datasets: write `import xai.datasets`. If you meant "
        "another package called `datasets`, start Python outside the xai checkout, or with "
        "PYTHONSAFEPATH=1 in the environment."
    )

from xai.datasets.adult import fetch_adult
from xai.datasets.clusters import clustered
from xai.datasets.compas import fetch_compas
from xai.datasets.dataset import Dataset
from xai.datasets.german import fetch_german_credit
from xai.datasets.heloc import fetch_heloc
from xai.datasets.planted import textures
from xai.datasets.real import breast_cancer, digits, photographs, wine
from xai.datasets.suppressor import suppressor2d
from xai.datasets.tetromino import tetrominoes

__all__ = [
    "Dataset",
    "breast_cancer",
    "clustered",
    "digits",
    "fetch_adult",
    "fetch_compas",
    "fetch_german_credit",
    "fetch_heloc",
    "photographs",
    "suppressor2d",
    "tetrominoes",
    "textures",
    "wine",
]
