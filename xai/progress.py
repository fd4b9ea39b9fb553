"""A progress bar over model rows that shows itself only where it helps."""

from __future__ import annotations

import sys
import time

from tqdm.auto import tqdm

SHOW_AFTER = 3.0
"""Expected seconds of work from which a bar appears by itself."""


def _watched() -> bool:
    """Whether somebody is looking: a terminal, or a notebook's kernel."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Progress:
    """Counts model rows; `show` None means: when the work is long and somebody is looking."""

    def __init__(self, show: bool | None, label: str) -> None:
        self.show, self.label = show, label
        self.total: int | None = None
        self.done = 0
        self._start = time.perf_counter()
        self._bar: tqdm | None = None

    def expect(self, rows: int) -> None:
        """Announce the model rows planned in all."""
        self.total = rows

    def update(self, rows: int) -> None:
        """Report model rows just evaluated."""
        self.done += rows
        if self._bar is None and self._due():
            self._bar = tqdm(total=self.total, desc=self.label, unit="row", unit_scale=True)
            self._bar.update(self.done)
        elif self._bar is not None:
            self._bar.update(rows)

    def _due(self) -> bool:
        if self.show is not None:
            return self.show
        if not _watched() or not self.total:
            return False
        elapsed = time.perf_counter() - self._start
        return elapsed > 0.5 and elapsed * self.total / self.done > SHOW_AFTER

    def close(self) -> None:
        """Finish the bar; early stopping may leave planned rows unspent."""
        if self._bar is not None:
            self._bar.total = self.done
            self._bar.close()
