"""The Adult census data: who earns more than $50,000 a year."""

from __future__ import annotations

import os

import numpy as np

from xai.datasets.cache import obtain
from xai.datasets.columns import Table, read_csv
from xai.datasets.dataset import Dataset

UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
SOURCES = {"adult.data": UCI + "adult.data", "adult.test": UCI + "adult.test"}
COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country", "income",
)  # fmt: skip
CATEGORIES = (
    "workclass", "education", "marital-status", "occupation", "relationship", "race", "sex",
    "native-country",
)  # fmt: skip
CLASSES = ("<=50K", ">50K")


def fetch_adult(
    *, data_home: str | os.PathLike[str] | None = None, redownload: bool = False
) -> Dataset:
    """Adult (Census Income): 48,842 people of the 1994 US census, and who earns > $50,000.

    Parameters
    ----------
    data_home : folder to keep the files in
        None: what the environment variable XAI_DATA_HOME names, else ``xai`` in the platform's
        cache folder.
    redownload : bool
        Fetch anew what is there.

    Returns
    -------
    Dataset
        13 columns, 8 of them categories; NaN where the files have "?". Class 1 earns more.
        ``info["test"]`` tells the rows of adult.test, ``info["weight"]`` is each row's census
        weight (fnlwgt): how many people it stands for, which is no trait of theirs.

    Raises
    ------
    ConnectionError
        There is no network: the message says which files to put where.
    ValueError
        A file is not the one that was first seen, or not what it should be.

    Notes
    -----
    ``data.to_frame()`` is what to fit and explain: its columns have names and categories, which
    pipelines can encode and pictures show. `data` itself, without pandas, holds codes, for models
    that take these as categories.

    Examples
    --------
    >>> adult = fetch_adult()  # doctest: +SKIP
    >>> X, y = adult.to_frame(), adult.labels  # doctest: +SKIP
    """
    paths = obtain(SOURCES, data_home=data_home, redownload=redownload)
    parts = [read_csv(path) for path in paths]
    train, test = ([line for line in part if not line[0].startswith("|")] for part in parts)
    table = Table.of(paths[0].parent, COLUMNS, [*train, *test])
    incomes = [text.removesuffix(".") for text in table["income"]]  # adult.test ends in full stops
    target, _ = Table(table.file, {"income": incomes}).codes("income", CLASSES)
    names = tuple(name for name in COLUMNS if name not in ("fnlwgt", "income"))
    data, categories = table.encoded(names, CATEGORIES)
    return Dataset(
        data=data,
        target=target.astype(np.int64),
        feature_names=names,
        target_names=CLASSES,
        description=f"{len(data)} people of the 1994 census of the United States (UCI Adult); "
        "class 1 earns more than $50,000 a year. education-num is the rank of education.",
        citation="R. Kohavi (1996). Scaling up the accuracy of naive-Bayes classifiers: a "
        "decision-tree hybrid. KDD, 202-207. UCI Machine Learning Repository: Adult.",
        info={
            "test": np.arange(len(data)) >= len(train),
            "weight": table.numbers("fnlwgt"),
        },
        categories=categories,
        protected=("age", "race", "sex", "native-country"),
    )
