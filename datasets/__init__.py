"""Real and ground-truth data to explain models on. Import it as ``xai.datasets``."""

if __name__ == "datasets":
    # Python was started in the checkout's root folder, which then hides any installed package
    # called `datasets`, such as Hugging Face's.
    raise ImportError(
        "this folder is the source of xai.datasets: write `import xai.datasets`. If you meant "
        "another package called `datasets`, start Python outside the xai checkout, or with "
        "PYTHONSAFEPATH=1 in the environment."
    )

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "breast_cancer"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table of rows to learn from, with its names and its source.

    Attributes
    ----------
    data
        The rows, ``(n, d)``; read-only.
    target
        Each row's class, an index into `target_names`, ``(n,)``; read-only.
    feature_names
        The d columns' names.
    target_names
        The classes' names.
    description
        What the rows are and where they were measured.
    citation
        The paper to name when using the data.
    """

    data: NDArray[np.float64] = field(repr=False)
    target: NDArray[np.int64] = field(repr=False)
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str = field(repr=False)
    citation: str


def breast_cancer() -> Dataset:
    """Breast tumours, malignant or benign: 569 rows, 30 measurements of cell nuclei.

    The copy that scikit-learn ships: nothing is downloaded.

    Returns
    -------
    Dataset
        ``data`` is ``(569, 30)``; class 0 is malignant (212 rows), class 1 benign (357).
    """
    from sklearn.datasets import load_breast_cancer  # slow to import, and only needed here

    bunch: Any = load_breast_cancer()
    return Dataset(
        data=_read_only(bunch.data, np.float64),
        target=_read_only(bunch.target, np.int64),
        feature_names=tuple(str(name) for name in bunch.feature_names),
        target_names=tuple(str(name) for name in bunch.target_names),
        description=str(bunch.DESCR),
        citation=(
            "W. N. Street, W. H. Wolberg, O. L. Mangasarian (1993). Nuclear feature extraction "
            "for breast tumor diagnosis. Biomedical Image Processing and Biomedical "
            "Visualization, SPIE 1905, 861-870."
        ),
    )


def _read_only(array: NDArray[Any], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Copy `array` as `dtype`, and refuse writes to the copy."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
