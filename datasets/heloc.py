"""FICO's HELOC data: who repays a home equity line of credit."""

from __future__ import annotations

import os

import numpy as np

from xai.datasets.cache import obtain
from xai.datasets.columns import Table, read_csv
from xai.datasets.dataset import Dataset

OPENML = 45553
"""The data set's number at OpenML: "FICO-HELOC-cleaned"."""
FILE = "heloc_dataset_v1.csv"
FICO = "https://community.fico.com/s/explainable-machine-learning-challenge"
"""Where FICO gives the file to those who accept its terms."""
CLASSES = ("Bad", "Good")
FEATURES = (
    "ExternalRiskEstimate", "MSinceOldestTradeOpen", "MSinceMostRecentTradeOpen", "AverageMInFile",
    "NumSatisfactoryTrades", "NumTrades60Ever2DerogPubRec", "NumTrades90Ever2DerogPubRec",
    "PercentTradesNeverDelq", "MSinceMostRecentDelq", "MaxDelq2PublicRecLast12M", "MaxDelqEver",
    "NumTotalTrades", "NumTradesOpeninLast12M", "PercentInstallTrades",
    "MSinceMostRecentInqexcl7days", "NumInqLast6M", "NumInqLast6Mexcl7days",
    "NetFractionRevolvingBurden", "NetFractionInstallBurden", "NumRevolvingTradesWBalance",
    "NumInstallTradesWBalance", "NumBank2NatlTradesWHighUtilization", "PercentTradesWBalance",
)  # fmt: skip
SPECIAL = (-9, -8, -7)


def fetch_heloc(
    *, data_home: str | os.PathLike[str] | None = None, redownload: bool = False
) -> Dataset:
    """HELOC (FICO): applicants for a home equity line of credit, and who repays it duly.

    FICO gives its file, heloc_dataset_v1.csv, to those who accept its terms; put it in
    `data_home`. Where it is not there, OpenML's copy of it is fetched through scikit-learn.

    Parameters
    ----------
    data_home, redownload
        As for `fetch_adult`, and so are the errors.

    Returns
    -------
    Dataset
        23 columns of numbers; class 1 repaid ("Good"). Values that FICO marks as special are NaN,
        and ``info["special"]`` (n, 23) tells why: −9 no bureau record, −8 no usable trades or
        inquiries, −7 the condition was never met; 0 elsewhere. Rows without any bureau record
        (588 of FICO's 10,459) are left out, as usual.

    Examples
    --------
    >>> heloc = fetch_heloc()  # doctest: +SKIP
    >>> X, y = heloc.to_frame(), heloc.labels  # doctest: +SKIP
    """
    [path] = obtain({FILE: FICO}, data_home=data_home, redownload=redownload, download=_from_openml)
    names, *lines = read_csv(path)
    table = Table.of(path, names, lines)
    data, _ = table.encoded(FEATURES, ())
    target, _ = table.codes("RiskPerformance", CLASSES)
    recorded = (data != -9).any(axis=1)
    data, target = data[recorded], target[recorded]
    special = np.isin(data, SPECIAL)
    return Dataset(
        data=np.where(special, np.nan, data),
        target=target.astype(np.int64),
        feature_names=FEATURES,
        target_names=CLASSES,
        description=f"{len(data)} applicants for a home equity line of credit, from their bureau "
        "records (FICO); class 1 was never 90 days late in two years.",
        citation="FICO (2018). Explainable machine learning challenge: home equity line of credit "
        "data set.",
        info={"special": np.where(special, data, 0).astype(np.int8)},
    )


def _from_openml(_: str) -> bytes:
    """OpenML's copy, compared with OpenML's own digest, as FICO's file is written."""
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml(
            data_id=OPENML, as_frame=False, parser="liac-arff", cache=False, n_retries=1
        )
    except ValueError as error:  # so it says that it has no such data, or that they are damaged
        raise OSError(f"OpenML: {error}") from error
    labels = [str(label) for label in bunch.target]
    if {*bunch.feature_names} != {*FEATURES} or not {*labels} <= {*CLASSES}:
        raise OSError(
            f"OpenML's data set {OPENML} is not FICO's: it has the columns "
            f"{', '.join(bunch.feature_names)} and the classes {', '.join(sorted({*labels}))}"
        )
    header = ",".join(["RiskPerformance", *bunch.feature_names])
    rows = (
        ",".join([label, *("" if np.isnan(v) else f"{v:g}" for v in values)])
        for label, values in zip(labels, bunch.data, strict=True)
    )
    return "\n".join([header, *rows, ""]).encode()
