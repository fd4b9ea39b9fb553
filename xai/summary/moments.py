"""Running moments of sampled derivatives, on the device where they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai.game import Floats, Indices

if TYPE_CHECKING:
    from torch import Tensor

REPLICATES = 8
"""Independent replicates of samples on a path."""


def replicate_of(sample: Indices) -> tuple[Indices, Indices]:
    """The replicate of each sample on a path, and its pair's number in there."""
    index, replicate = np.divmod(sample // 2, REPLICATES)
    return replicate, index


class Moments:
    """Running sums of derivatives (b, d, k) for each row, where they live.

    Sums are of differences from a row's first sample, so that large means lose no digits. Of
    `draws` that there are, a row's samples are different ones.
    """

    def __init__(
        self, rows: int, *, powers: int, moment: str = "mean", draws: float = np.inf
    ) -> None:
        self.rows, self.powers, self.moment, self.draws = rows, powers, moment, draws
        self.count = np.zeros(rows, int)
        self.sums: list[Tensor] = []
        self.first: Tensor | None = None

    def add(self, at: Indices, g: Tensor, sample: Indices) -> None:
        """Take in derivatives of rows `at` (b,), each row's one after the other."""
        import torch

        if not self.sums:
            shape = (self.rows, *g.shape[1:])
            self.sums = [g.new_zeros(shape) for _ in range(self.powers)]
            self.first = g.new_zeros(shape)
        assert self.first is not None
        fresh, where = np.unique(at, return_index=True)
        new = self.count[fresh] == 0
        if new.any():
            into, source = (torch.as_tensor(i[new], device=g.device) for i in (fresh, where))
            self.first[into] = g[source]
        np.add.at(self.count, at, 1)
        own = torch.as_tensor(at, device=g.device)
        shifted = g - self.first.index_select(0, own)
        power = shifted
        for total in self.sums:
            total.index_add_(0, own, power)
            power = power * shifted

    def means(self) -> list[Floats]:
        """Raw moments around the first samples, (R, d, k) each; NaN where there is no sample."""
        with np.errstate(invalid="ignore"):
            return [host(s) / self.count[:, None, None] for s in self.sums]

    def result(self) -> tuple[Floats, Floats]:
        """The moment (R, d, k), of all there is or of a sample, and its standard error."""
        assert self.first is not None
        first, raw = host(self.first), self.means()
        if self.powers == 1:
            return first + raw[0], np.zeros_like(first)
        n = self.count[:, None, None].astype(np.float64)
        return _moment(self.moment, first, raw, n, self.draws)


class Replicates(Moments):
    """Means of a few independent replicates, whose spread is the error."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows * REPLICATES, powers=1)

    def add(self, at: Indices, g: Tensor, sample: Indices) -> None:
        """Sort samples by replicate."""
        super().add(at * REPLICATES + replicate_of(sample)[0], g, sample)

    def result(self) -> tuple[Floats, Floats]:
        """The mean of all samples, and its error, NaN of one replicate alone."""
        assert self.first is not None
        means = host(self.first) + np.nan_to_num(self.means()[0])
        means = means.reshape(-1, REPLICATES, *means.shape[1:])
        n = self.count.reshape(-1, REPLICATES, 1, 1).astype(np.float64)
        mean = (n * means).sum(axis=1) / n.sum(axis=1)
        used = (n > 0).sum(axis=1)
        share = n / n.sum(axis=1, keepdims=True)
        spread = (share**2 * (means - mean[:, None]) ** 2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return mean, np.sqrt(np.where(used > 1, spread * used / (used - 1), np.nan))


def host(sums: Tensor) -> Floats:
    """A tensor as a float64 array."""
    return np.asarray(sums.cpu().double().numpy())  # not all devices have it


def _moment(
    moment: str, first: Floats, raw: list[Floats], n: Floats, draws: float
) -> tuple[Floats, Floats]:
    """Mean, mean square or variance over all draws, and its error, from n of them, all different.

    Raw moments are around `first`. Squares of deviations from the sample's own mean are too small
    by (n − 1)/n.
    """
    m1, m2, m3, m4 = raw
    mean = first + m1
    variance = np.maximum(m2 - m1**2, 0)  # central moments, of the sample
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = np.maximum(m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wider = np.where(n < draws, n / (n - 1), 1.0)
        left = np.sqrt((1 - n / draws) / n)
        if moment == "mean":
            return mean, np.sqrt(variance * wider) * left
        if moment == "variance":
            of_all = variance * wider * np.where(n < draws, 1 - 1 / draws, 1.0)
            spread = np.maximum(fourth - variance**2 * (n - 3) / (n - 1), 0)
            return of_all, np.sqrt(spread) * wider * left
        spread = fourth - variance**2 + 4 * mean * third + 4 * mean**2 * variance
        return mean**2 + variance, np.sqrt(np.maximum(spread, 0) * wider) * left
