"""ProPublica's COMPAS data: who was charged again within two years."""

from __future__ import annotations

import os

import numpy as np

from xai.datasets.cache import obtain
from xai.datasets.columns import Table, read_csv
from xai.datasets.dataset import Dataset

SOURCES = {
    "compas-scores-two-years.csv": "https://raw.githubusercontent.com/propublica/compas-analysis/"
    "master/compas-scores-two-years.csv"
}
CATEGORIES = ("sex", "race", "c_charge_degree")
FEATURES = (
    "sex", "age", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count",
    "c_charge_degree",
)  # fmt: skip


def fetch_compas(
    *, data_home: str | os.PathLike[str] | None = None, redownload: bool = False
) -> Dataset:
    """COMPAS: defendants in Broward County, Florida, and who was charged again in two years.

    Rows are those that ProPublica keeps: screened within 30 days of the arrest, no ordinary
    traffic offence, with a score and a known outcome (6,172 of 7,214).

    Parameters
    ----------
    data_home, redownload
        As for `fetch_adult`, and so are the errors.

    Returns
    -------
    Dataset
        8 columns, 3 of them categories; class 1 was charged again. ``info["decile_score"]`` is
        COMPAS's own score, 1 to 10, to hold a model against.

    Notes
    -----
    The outcome is an arrest, not an offence; and the two-year sample keeps more of those who were
    charged again than of the others (Barenstein 2019). A benchmark, not evidence about people.

    Examples
    --------
    >>> compas = fetch_compas()  # doctest: +SKIP
    >>> X, y = compas.to_frame(), compas.labels  # doctest: +SKIP
    """
    [path] = obtain(SOURCES, data_home=data_home, redownload=redownload)
    names, *lines = read_csv(path)
    table = Table.of(path, names, lines)
    table = table.where(_propublicas_rows(table))
    data, categories = table.encoded(FEATURES, CATEGORIES)
    target, _ = table.codes("two_year_recid", ("0", "1"))
    return Dataset(
        data=data,
        target=target.astype(np.int64),
        feature_names=FEATURES,
        target_names=("not charged again", "charged again"),
        description=f"{len(data)} defendants of Broward County, Florida, scored in 2013 and 2014; "
        "class 1 was charged again within two years.",
        citation="J. Larson, S. Mattu, L. Kirchner, J. Angwin (2016). How we analyzed the COMPAS "
        "recidivism algorithm. ProPublica.",
        info={"decile_score": table.numbers("decile_score")},
        categories=categories,
        protected=("sex", "age", "race"),
    )


def _propublicas_rows(table: Table) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The filter of ProPublica's own analysis."""
    days = table.numbers("days_b_screening_arrest")  # NaN lies within no bounds
    near = (days >= -30) & (days <= 30)
    known = table.numbers("is_recid") != -1
    graver = np.array([degree != "O" for degree in table["c_charge_degree"]], bool)
    scored = np.array([text != "N/A" for text in table["score_text"]], bool)
    return np.asarray(near & known & graver & scored)
