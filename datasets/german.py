"""German credit: who is a good credit risk."""

from __future__ import annotations

import os

import numpy as np

from xai.datasets.cache import obtain
from xai.datasets.columns import Table, read_text
from xai.datasets.dataset import Dataset

SOURCES = {
    "german.data": "https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/"
    "german.data"
}

CODES: dict[str, dict[str, str] | None] = {
    "checking_status": {
        "A11": "< 0 DM", "A12": "0 to 200 DM", "A13": ">= 200 DM or salary for a year",
        "A14": "no checking account",
    },
    "duration": None,
    "credit_history": {
        "A30": "no credits taken, or all paid back duly",
        "A31": "all credits at this bank paid back duly",
        "A32": "existing credits paid back duly till now", "A33": "delay in paying off in the past",
        "A34": "critical account, or other credits elsewhere",
    },
    "purpose": {
        "A40": "new car", "A41": "used car", "A42": "furniture or equipment",
        "A43": "radio or television", "A44": "domestic appliances", "A45": "repairs",
        "A46": "education", "A47": "vacation", "A48": "retraining", "A49": "business",
        "A410": "others",
    },
    "credit_amount": None,
    "savings": {
        "A61": "< 100 DM", "A62": "100 to 500 DM", "A63": "500 to 1000 DM", "A64": ">= 1000 DM",
        "A65": "unknown or none",
    },
    "employment": {
        "A71": "unemployed", "A72": "< 1 year", "A73": "1 to 4 years", "A74": "4 to 7 years",
        "A75": ">= 7 years",
    },
    "installment_rate": None,
    "personal_status": {
        "A91": "male, divorced or separated", "A92": "female, divorced, separated or married",
        "A93": "male, single", "A94": "male, married or widowed", "A95": "female, single",
    },
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "residence_since": None,
    "property": {
        "A121": "real estate", "A122": "building society savings or life insurance",
        "A123": "car or other", "A124": "unknown or none",
    },
    "age": None,
    "other_installments": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "existing_credits": None,
    "job": {
        "A171": "unemployed, or unskilled non-resident", "A172": "unskilled resident",
        "A173": "skilled employee or official",
        "A174": "management, self-employed, highly qualified or officer",
    },
    "dependents": None,
    "telephone": {"A191": "none", "A192": "registered"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}  # fmt: skip
"""The columns in the file's order, with what UCI says that their codes mean."""


def fetch_german_credit(
    *, data_home: str | os.PathLike[str] | None = None, redownload: bool = False
) -> Dataset:
    """German credit (Statlog): 1,000 applicants of a bank, and who is a good risk.

    Parameters
    ----------
    data_home, redownload
        As for `fetch_adult`, and so are the errors.

    Returns
    -------
    Dataset
        20 columns, 13 of them categories with UCI's names; class 1 is a good risk (700 rows).
        Nothing is NaN: what the bank did not know is a category.

    Notes
    -----
    UCI's code tables are wrong in places: personal_status does not tell the sexes apart, and some
    categories have each other's names (Grömping 2019). A benchmark, not evidence about people.
    Bad risks were oversampled.

    Examples
    --------
    >>> credit = fetch_german_credit()  # doctest: +SKIP
    >>> X, y = credit.to_frame(), credit.labels  # doctest: +SKIP
    """
    [path] = obtain(SOURCES, data_home=data_home, redownload=redownload)
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    table = Table.of(path, [*CODES, "risk"], lines)
    columns, categories = [], {}
    for name, meanings in CODES.items():
        if meanings is None:
            columns.append(table.numbers(name))
        else:
            columns.append(table.codes(name, [*meanings])[0])
            categories[name] = tuple(meanings.values())
    good, _ = table.codes("risk", ("2", "1"))  # the file says 1 for good and 2 for bad
    return Dataset(
        data=np.stack(columns, axis=1),
        target=good.astype(np.int64),
        feature_names=tuple(CODES),
        target_names=("bad", "good"),
        description=f"{len(lines)} applicants for credit in southern Germany, 1973 to 1975 (UCI "
        "Statlog German Credit); class 1 is a good risk. Several codes are mislabelled at UCI.",
        citation="H. Hofmann (1994). Statlog (German Credit Data). UCI Machine Learning "
        "Repository. U. Grömping (2019). South German credit data: correcting a widely used data "
        "set. Reports in Mathematics, Physics and Chemistry 4, Beuth Hochschule Berlin.",
        categories=categories,
        protected=("personal_status", "age", "foreign_worker"),
    )
