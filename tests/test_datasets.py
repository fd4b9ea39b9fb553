"""The data sets: shapes, names, and arrays that nobody can change."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from xai.datasets import breast_cancer


def test_breast_cancer_is_the_copy_of_scikit_learn() -> None:
    ours, theirs = breast_cancer(), load_breast_cancer()
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.target, theirs.target)
    assert ours.data.shape == (569, 30)
    assert np.bincount(ours.target).tolist() == [212, 357]
    assert ours.feature_names == tuple(theirs.feature_names)
    assert ours.target_names == ("malignant", "benign")
    assert ours.citation
    assert ours.description


def test_dataset_cannot_be_changed() -> None:
    dataset = breast_cancer()
    for array in (dataset.data, dataset.target):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.data = np.zeros((1, 1))  # type: ignore[misc]


def test_repr_leaves_the_numbers_out() -> None:
    assert "mean radius" in repr(breast_cancer())
    assert "array" not in repr(breast_cancer())
