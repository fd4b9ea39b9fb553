"""The data sets: shapes, names, and arrays that nobody can change."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images, load_wine

from xai.datasets import Dataset, breast_cancer, digits, photographs, suppressor2d, wine


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


@pytest.mark.parametrize(("ours", "theirs"), [(wine, load_wine), (digits, load_digits)])
def test_the_other_tables_are_scikit_learns(ours, theirs) -> None:
    data, bunch = ours(), theirs()
    np.testing.assert_array_equal(data.data, bunch.data)
    np.testing.assert_array_equal(data.target, bunch.target)
    assert data.feature_names == tuple(bunch.feature_names)
    assert data.target_names == tuple(map(str, bunch.target_names))


def test_photographs_are_scikit_learns_in_unit_range() -> None:
    for ours, theirs in zip(photographs().data, load_sample_images().images, strict=True):
        np.testing.assert_array_equal(ours, theirs / 255)
    assert photographs().target_names == ("china", "flower")
    assert photographs().labels.tolist() == ["china", "flower"]


def test_a_dataset_holds_copies_of_what_it_is_made_of() -> None:
    given = {"data": np.ones((3, 2)), "target": np.zeros(3, np.int64), "truth": np.ones((3, 2))}
    dataset = Dataset(
        feature_names=("a", "b"), target_names=("c",), description="", citation="", **given
    )
    for name, array in given.items():
        array[:] = 7
        assert (getattr(dataset, name) != 7).all()


def test_dataset_cannot_be_changed() -> None:
    dataset = breast_cancer()
    for array in (dataset.data, dataset.target):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.data = np.zeros((1, 1))  # type: ignore[misc]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))]
)
def test_a_dataset_goes_through_pickle_and_copy(copied) -> None:
    made = suppressor2d(5)
    same = copied(made)
    np.testing.assert_array_equal(same.data, made.data)
    np.testing.assert_array_equal(same.info["weights"], made.info["weights"])
    np.testing.assert_array_equal(same.model(same.data), made.model(made.data))
    with pytest.raises(ValueError, match="read-only"):
        same.data[0] = 0


def test_repr_leaves_the_numbers_out() -> None:
    assert "mean radius" in repr(breast_cancer())
    assert "array" not in repr(breast_cancer())
