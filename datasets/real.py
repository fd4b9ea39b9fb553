"""Real data that scikit-learn ships: nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai.datasets.dataset import Dataset


def breast_cancer() -> Dataset:
    """Breast tumours, malignant or benign: 569 rows, 30 measurements of cell nuclei.

    Returns
    -------
    Dataset
        ``data`` is ``(569, 30)``; class 0 is malignant (212 rows), class 1 benign (357).

    Examples
    --------
    >>> breast_cancer().target_names
    ('malignant', 'benign')
    """
    from sklearn.datasets import load_breast_cancer  # slow to import, and only needed here

    return _table(
        load_breast_cancer(),
        "W. N. Street, W. H. Wolberg, O. L. Mangasarian (1993). Nuclear feature extraction "
        "for breast tumor diagnosis. Biomedical Image Processing and Biomedical "
        "Visualization, SPIE 1905, 861-870.",
    )


def wine() -> Dataset:
    """Wines of three cultivars: 178 rows, 13 chemical measurements.

    Returns
    -------
    Dataset
        ``data`` is ``(178, 13)``; classes of 59, 71 and 48 rows.

    Examples
    --------
    >>> wine().feature_names[0]
    'alcohol'
    """
    from sklearn.datasets import load_wine

    return _table(
        load_wine(),
        "M. Forina et al. (1991). PARVUS: an extendible package for data exploration, "
        "classification and correlation. UCI Machine Learning Repository: Wine.",
    )


def digits() -> Dataset:
    """Handwritten digits: 1,797 images of 8 × 8 pixels, as a table of 64 columns.

    Returns
    -------
    Dataset
        ``data`` is ``(1797, 64)`` with values 0 to 16; ``data.reshape(-1, 1, 8, 8)`` are images.

    Examples
    --------
    >>> digits().data.reshape(-1, 1, 8, 8).shape
    (1797, 1, 8, 8)
    """
    from sklearn.datasets import load_digits

    return _table(
        load_digits(),
        "E. Alpaydin, C. Kaynak (1998). Optical recognition of handwritten digits. UCI Machine "
        "Learning Repository.",
    )


def photographs() -> Dataset:
    """Two colour photographs: a temple in China and a flower.

    Returns
    -------
    Dataset
        ``data`` is ``(2, 427, 640, 3)``, channels last, in [0, 1].

    Examples
    --------
    >>> photographs().data.shape
    (2, 427, 640, 3)
    """
    from sklearn.datasets import load_sample_images

    bunch: Any = load_sample_images()
    return Dataset(
        data=np.stack(bunch.images) / 255.0,
        target=np.arange(2),
        feature_names=(),
        target_names=("china", "flower"),
        description=str(bunch.DESCR),
        citation=(
            "Photographs by danielbuechele (china.jpg) and vultilion (flower.jpg), Creative "
            "Commons BY 2.0, as shipped with scikit-learn: F. Pedregosa et al. (2011), JMLR 12, "
            "2825-2830."
        ),
    )


def _table(bunch: Any, citation: str) -> Dataset:
    return Dataset(
        data=bunch.data,
        target=bunch.target,
        feature_names=tuple(str(name) for name in bunch.feature_names),
        target_names=tuple(str(name) for name in bunch.target_names),
        description=str(bunch.DESCR),
        citation=citation,
    )
