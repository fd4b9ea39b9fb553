"""A progress bar over model rows that shows itself only where it helps."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

SHOW_AFTER = 3.0
"""Expected seconds of work from which a bar appears by itself."""


def _watched() -> bool:
    """Whether somebody is looking: a terminal, or a notebook's kernel."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _bar(**options: Any) -> Any:
    """A bar for where somebody is looking; tqdm's own choice warns in notebooks without widgets."""
    if "ipykernel" in sys.modules and find_spec("ipywidgets") is None:
        from tqdm.std import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(**options)


class Progress:
    """Counts model rows; `show` None means: when the work is long and somebody is looking.

    Raises
    ------
    TypeError
        `show` is something else.
    """

    def __init__(self, show: bool | None, label: str = "") -> None:
        if not (show is None or isinstance(show, bool)):
            raise TypeError(f"progress must be True, False or None, not {show!r}")
        self.show = show
        self._begin(label)

    def _begin(self, label: str) -> None:
        self.label = label
        self.total: int | None = None
        self.done = 0
        self._start: float | None = None
        self._before = 0
        self._bar: Any = None

    @contextmanager
    def of(self, label: str) -> Iterator[None]:
        """One piece of work after another, each with a bar of its own."""
        self._begin(label)
        try:
            yield
        finally:
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Without the bar: what goes to other processes shows nothing there."""
        return self.__dict__ | {"show": False, "_bar": None}

    def expect(self, rows: int) -> None:
        """Announce the model rows planned in all."""
        self.total = rows
        if self._bar is not None:
            self._bar.total = rows

    def expect_more(self, rows: int) -> None:
        """Announce rows that follow what is done."""
        self.expect(self.done + rows)

    def update(self, rows: int) -> None:
        """Report model rows just evaluated."""
        self.done += rows
        if self._bar is None and self._due():
            self._bar = _bar(total=self.total, desc=self.label, unit="row", unit_scale=True)
            self._bar.update(self.done)
        elif self._bar is not None:
            self._bar.update(rows)

    def _due(self) -> bool:
        if self.show is not None:
            return self.show
        if not _watched() or not self.total:
            return False
        if self._start is None:  # the first rows compile and warm up: they tell nothing of the rest
            self._start, self._before = time.perf_counter(), self.done
            return False
        elapsed = time.perf_counter() - self._start
        share = (self.done - self._before) / max(self.total - self._before, 1)
        return elapsed > 0.5 and elapsed > SHOW_AFTER * share

    def close(self) -> None:
        """Finish the bar; early stopping may leave planned rows unspent."""
        if self._bar is not None:
            self._bar.total = self.done
            self._bar.close()


QUIET = Progress(False)
"""Shows nothing, and nobody reads what it counts: for work that nobody asked a bar of."""
