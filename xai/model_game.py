"""The game of a model: its value of a coalition is an expectation over the removal's draws.

`grid` evaluates rows × coalitions (× draws) as one stream of model rows, cut into batches that fit
memory; `DatasetGame` makes the rows of a data set draws of one game.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import proxy

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.batches import (
    AHEAD_BYTES,
    TOGETHER_BYTES,
    batch_rows,
    fair_share,
    in_a_thread,
    in_turn,
    in_workers,
)
from xai.behavior.base import Values
from xai.composition import Composer, Table, composer
from xai.finite import refuse_infinite
from xai.game import (
    GROUPS,
    ClosedForm,
    Floats,
    Game,
    Indices,
    Masks,
    as_coalitions,
    mean_of_draws,
    pairs_of,
    rounding_of,
)
from xai.inputs import Block, Inputs, is_tensor, on_host
from xai.model import Model, check_width
from xai.partition import Partition
from xai.predictions import BESIDE_ROWS, Predictions
from xai.progress import QUIET, Progress
from xai.removal.base import Draws, Regressors

if TYPE_CHECKING:
    from xai.gradients import Gradients, Wrt

T = TypeVar("T")

REMOVED = "with every feature removed, the model returned"
VALUES = "the behavior's values are"


@dataclass(eq=False)
class ModelGame(Game):
    """The game of a model: players → removal → model → output → mean over draws → reduce.

    Parameters
    ----------
    predictions : Predictions
        The model's outputs on the unmasked rows, which count, and the behavior bound to them.
        Where nobody has asked for them yet, one output is explained.
    paid : int
        Further model rows that each row has cost beforehand.
    shared : int
        Those that all rows together have: a background's, up to the players' layer.

    Attributes
    ----------
    explained : (n_rows,) the rows of `inputs` that are the game's
    """

    model: Model
    inputs: Inputs
    partition: Partition
    draws: Draws
    predictions: Predictions
    batch_size: int | None = None
    n_jobs: int | None = None
    progress: Progress = QUIET
    subset: Indices | None = None
    paid: int = 0
    shared: int = 0

    def __post_init__(self) -> None:
        self.explained = np.arange(self.inputs.n) if self.subset is None else self.subset
        self.n_rows, self.full_cost = len(self.explained), 1 + self.paid + self.shared
        self._spent = np.array([self.paid * self.n_rows + self.shared])  # copies share it
        self.n_players = int(self.partition.counts[self.explained[0]])
        self.player_names = self.partition.names
        self.pixels = None if self.model.by_row else self.partition.pixels
        self.n_draws = self.value_cost = self.draws.n_draws
        self.endless = self.sampled_draws = self.draws.endless
        self.has_regressors = self.draws.regressors is not None
        self._empty: dict[int, Floats] = {}
        everything = bool(self.partition.covers(self.explained).all())
        # the removal says which all-removed inputs are equal, and rows share players
        self.shares_empty = self.draws.key is not None and everything and self.model.alike
        self._has_base = np.zeros(self.inputs.n, bool)

    @property
    def full_outputs(self) -> Floats:
        """The model's outputs on the unmasked rows, (n, K)."""
        return self.predictions.known.outputs

    @property
    def values(self) -> Values:
        """The behavior, bound to the unmasked rows' outputs."""
        return self.predictions.known.values

    @cached_property
    def commutes(self) -> bool:  # type: ignore[override]
        """Whether `value` is the mean of `sample` over draws."""
        return self.values.reduce is None

    @cached_property
    def rounding(self) -> float:  # type: ignore[override]
        """The part of a value that the model's rounding may change."""
        return rounding_of(self.full_outputs.dtype)

    @cached_property
    def n_outputs(self) -> int:  # type: ignore[override]
        """Number of explained outputs."""
        one = self.explained[:1]
        return (1 + self.groups) * int(self._reduced(one, self._own[one]).shape[1])

    @cached_property
    def _own(self) -> Floats:
        """The behavior's outputs of x, (n, j); only of this game's rows."""
        values = self._output(self.explained, self.full_outputs[self.explained])
        out = np.empty((self.inputs.n, values.shape[1]), values.dtype)
        out[self.explained] = values
        return out

    @property
    def room(self) -> int:
        """(row, coalition) pairs in one block."""
        return self._room(1 if self.predictions.pending else self.n_outputs)

    @cached_property
    def _base(self) -> Floats:
        return np.empty((self.inputs.n, self.n_outputs))

    @property
    def _batch(self) -> int:
        """Most rows in one model call."""
        if not self.predictions.pending:
            return self._most
        k = len(self.model.labels)
        return self.batch_size or min(BESIDE_ROWS, batch_rows(self.model, self.inputs, k))

    @cached_property
    def _most(self) -> int:
        """The same once it is known how many outputs a row has."""
        k = int(self.full_outputs.shape[1])
        return self.batch_size or batch_rows(self.model, self.inputs, k)

    @cached_property
    def batch(self) -> int:
        """Most rows in one model call with gradients."""
        k = int(self.full_outputs.shape[1])
        return self.batch_size or batch_rows(self.model, self.inputs, k, with_gradients=True)

    def jackknifed(self, *, averages: bool) -> ModelGame | None:
        """Where draws are endless, and values means over the same of them."""
        if not self.sampled_draws or (self.commutes and not averages):
            return None
        wide = copy(self)
        wide.sampled_draws, wide.groups = False, _groups(self.n_draws)
        for name in ("n_outputs", "_base", "gradients"):
            wide.__dict__.pop(name, None)
        wide._has_base = np.zeros(self.inputs.n, bool)
        return wide

    def closed_form(self) -> ClosedForm | None:
        """As `xai.exact` finds it: of tree ensembles and linear models, where values commute."""
        if not self.commutes:
            return None
        from xai.exact import closed_form

        return closed_form(self)

    def null_players(self) -> NDArray[np.bool_] | None:
        """Players all of whose elements equal their replacement at every draw."""
        if self.endless or self.draws.inputs is not None or self.partition.atlas is not None:
            return None
        changed = self._changed_sparse() if sparse.issparse(self.inputs.block) else self._changed()
        if changed is None:
            return None
        owner = self.partition.owner
        owner = np.broadcast_to(owner, (len(owner), *self.inputs.shape))
        nulls = np.ones((self.n_rows, max(self.n_players, int(owner.max()) + 1) + 1), bool)
        for row, at in enumerate(self.explained):
            nulls[row, owner[0 if self.partition.shared else at][changed[row]]] = False
        nulls, overlap = nulls[:, :-1], self.partition.overlap
        nulls = nulls[:, : self.n_players] if overlap is None else overlap.windows(nulls)
        return nulls if nulls.any() else None

    def _changed(self) -> NDArray[np.bool_] | None:
        """Which elements of the rows some draw changes; None where all are."""
        changed: Any = False
        own = self.inputs.block[self.explained]
        for draw in range(self.n_draws):
            block, places = self.draws.source(self.explained, np.full(self.n_rows, draw))
            other = block[places]
            differs = (own != other) & ((own == own) | (other == other))  # NaN equals NaN
            changed = changed | differs  # where x lives
            if changed.all():
                return None
        return np.asarray(on_host(changed))

    def _changed_sparse(self) -> NDArray[np.bool_]:
        """As `_changed`, of sparse rows: a row's draws have one value, and it is another."""
        changed = np.empty((self.n_rows, *self.inputs.shape), bool)
        latest: tuple[Any, Any] = (None, None)  # most often all rows have the same draws
        low = high = np.empty(0)
        for row, at in enumerate(self.explained):
            block, places = self.draws.source(np.full(self.n_draws, at), np.arange(self.n_draws))
            if latest[0] is not block or not np.array_equal(latest[1], places):
                draws, latest = sparse.csr_array(block)[places], (block, places)
                low, high = draws.min(axis=0).toarray(), draws.max(axis=0).toarray()
            own = self.inputs.block[[at]].toarray()
            changed[row] = np.ravel((low != high) | (own != low))
        return changed

    # -- evaluation ---------------------------------------------------------------------------

    @cached_property
    def _composer(self) -> Composer:
        return composer(self.inputs, self.partition, self.draws, self.model.reads)

    def _table(self, coalitions: Any) -> Table:
        return Table(as_coalitions(coalitions), self._composer)

    def _output(self, rows: Indices, out: Floats) -> Floats:
        values: Floats = self.values.output(rows, out)
        refuse_infinite(values, rows, VALUES, self.values.remedy)
        return values

    def _reduced(self, rows: Indices, means: Floats) -> Floats:
        if self.values.reduce is None:
            return means
        values = cast(Floats, self.values.reduce(rows, means))
        refuse_infinite(values, rows, VALUES, self.values.remedy)
        return values

    def _model(
        self, rows: Indices, table: Table, which: Indices, draws: Indices, n_removed: int = 0
    ) -> tuple[Floats, Floats]:
        """Behavior outputs (B, j), in batches, in the order of the stream.

        And the model's outputs (n_removed, K) on the last, with everything removed.
        """
        alone = self.n_jobs in (None, 1)
        if not (alone and self.predictions.pending and len(rows) <= BESIDE_ROWS):
            _ = self._own  # before several workers ask, and what it refuses has cost more
        size = self._together if alone else fair_share(self._batch, len(rows), self.n_jobs)
        rest = len(rows) % size
        # the smallest first: nothing else runs while the inputs of the first are made
        batches = [slice(0, rest)] * bool(rest)
        batches += [slice(s, s + size) for s in range(rest, len(rows), size)]
        compose = table.compose

        def inputs_of(batch: slice) -> Block:
            return self.model.laid_out(compose(rows[batch], which[batch], draws[batch]))

        def outputs_of(batch: slice, block: Block) -> tuple[Floats, Floats]:
            out = self._call(block, rows[batch])
            last = out[max(0, len(rows) - n_removed - batch.start) :].copy()
            refuse_infinite(last, rows[batch][len(out) - len(last) :], REMOVED)
            refuse_infinite(out, rows[batch], "the model returned")
            return self._output(rows[batch], out), last

        if alone:
            # a user's function of rows and masks is called in this thread, as the model is
            blocks = (in_turn if self.draws.inputs else self.ahead)(inputs_of, batches)
            pairs = zip(batches, blocks, strict=True)
            return self._collect(outputs_of(batch, block) for batch, block in pairs)
        run = lambda batch: outputs_of(batch, inputs_of(batch))  # noqa: E731
        return self._collect(in_workers(run, batches, self.n_jobs))

    @property
    def _together(self) -> int:
        """Rows whose inputs are made together: a call's, or several calls' of narrow tensors."""
        here = is_tensor(self.inputs.block) and self.inputs.block.device.type == "cpu"
        if self.batch_size is not None or not here or self.model.by_row:
            return self._batch
        return self._batch * max(1, TOGETHER_BYTES // max(1, self._batch * self._row_bytes))

    @cached_property
    def _row_bytes(self) -> int:
        """Bytes of a row of x."""
        itemsize = int(getattr(self.inputs.block.dtype, "itemsize", 8))
        return int(np.prod(self.inputs.shape)) * itemsize

    def ahead(self, make: Callable[[slice], T], batches: list[slice]) -> Iterator[T]:
        """Batches' inputs in order; each made while the model is at the one before, if large."""
        block = self.inputs.block
        here = not is_tensor(block) or block.device.type == "cpu"
        small = self._batch * self._row_bytes < AHEAD_BYTES
        return in_turn(make, batches) if here and small else in_a_thread(make, batches)

    def _call(self, block: Any, rows: Indices) -> Floats:
        """Outputs (B, K) of inputs made together, a batch in each call."""
        if self.predictions.waits_for(block, self._batch):
            return self.predictions.beside(block)
        width = self.full_outputs.shape[1]  # whatever is refused of x is not the block's fault
        try:
            out = self.model(block, rows, self._batch)
        except Exception as error:
            if told := self.inputs.widened(block):
                error.add_note(told)
            raise
        check_width(out.shape[1], width)
        return out

    def _collect(self, results: Iterable[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        found, last = [], []
        for values, outputs in results:
            found.append(values)
            last.append(outputs)
            self.count(len(values))
        return np.concatenate(found, dtype=np.float64), np.concatenate(last)

    @property
    def evaluations(self) -> int:  # type: ignore[override] # a count that copies share
        """Model rows spent so far."""
        return int(self._spent[0])

    def count(self, rows: int) -> None:
        """Note model rows as spent."""
        self._spent += rows
        self.progress.update(rows)

    def _samples(self, rows: Indices, table: Table, which: Indices, draws: Indices) -> Floats:
        """Behavior outputs (B, j) of rows, coalitions and draws, all (B,).

        A coalition is its place `which` in `table`.
        """
        if len(which) and not (table.full.any() or table.empty.any()):
            return self._model(rows, table, which, draws)[0]
        kept = table.full[which]
        gone = table.empty[which] & self.shares_empty
        full, shared, rest = map(np.flatnonzero, (kept, gone, ~(kept | gone)))
        distinct, place, new = self._all_removed(rows[shared], draws[shared])
        first = shared[new]
        at = np.concatenate([rest, first])
        if len(at):  # before x is asked for, which may go with these
            values, outputs = self._model(rows[at], table, which[at], draws[at], len(first))
            self._empty.update(zip(distinct[place[new]].tolist(), outputs, strict=True))
        out = np.empty((len(rows), self._own.shape[1]))
        if len(rest):
            out[rest] = values[: len(rest)]
        if len(full):
            out[full] = self._own[rows[full]]
        if len(shared):
            outputs = np.stack([self._empty[key] for key in distinct.tolist()])
            step = pairs_of(8 * outputs.shape[1])  # a row may have many outputs
            for start in range(0, len(shared), step):
                at, each = shared[start : start + step], place[start : start + step]
                out[at] = self._output(rows[at], outputs.take(each, axis=0))
        return out

    def meet_nothing(self) -> None:
        """Evaluate the inputs with everything removed, in one call with the predictions of x.

        Where these wait for one, rows share such inputs, and one call takes all.
        """
        n, m = self.n_rows, self.n_draws
        if not (self.predictions.pending and self.shares_empty and n * m <= BESIDE_ROWS):
            return
        rows, draws = np.divmod(np.arange(n * m), m)
        _, _, new = self._all_removed(self.explained[rows], draws)
        if self.inputs.n + len(new) <= self._batch:
            nothing = self._table(np.zeros((1, self.n_players), bool))
            self._samples(self.explained[rows[new]], nothing, np.zeros_like(new), draws[new])

    def _all_removed(self, rows: Indices, draws: Indices) -> tuple[Indices, Indices, Indices]:
        """Keys of inputs with everything removed, each one's place among them, and new ones.

        Equal inputs are evaluated once, for all rows: new are the first whose outputs are unknown.
        """
        if not len(rows):
            return rows, rows, rows
        assert self.draws.key is not None
        keys = self.draws.key(rows, draws)
        distinct, first, place = np.unique(keys, return_index=True, return_inverse=True)
        unknown = np.array([key not in self._empty for key in distinct.tolist()], bool)
        return distinct, place, first[unknown]

    def _means(self, rows: Indices, table: Table, which: Indices) -> Floats:
        """Outputs averaged over all draws, then reduced: (B, k)."""
        if self.n_draws == 1 and (self.shares_empty or not table.empty.any()):
            return self._averaged(rows, table, which)
        full, empty = table.full[which], table.empty[which]
        known = empty & self._has_base[rows]
        rest = np.flatnonzero(~(full | known))
        # before x is asked for, which may go with these
        values = self._averaged(rows[rest], table, which[rest]) if len(rest) else None
        out = np.empty((len(rows), self.n_outputs))
        if values is not None:
            out[rest] = values
        if full.any():
            own = self._reduced(rows[full], self._own[rows[full]])
            out[full] = np.tile(own, 1 + self.groups)
        out[known] = self._base[rows[known]]
        self._base[rows[empty]], self._has_base[rows[empty]] = out[empty], True
        return out

    def _averaged(self, rows: Indices, table: Table, which: Indices) -> Floats:
        """The same, whether or not some are known; of some pairs at a time."""
        m, parts = self.n_draws, []
        step = max(1, self._unreduced // m)
        for start in range(0, max(1, len(rows)), step):
            part = slice(start, start + step)
            each, at = np.repeat(rows[part], m), np.repeat(which[part], m)
            draws = np.tile(np.arange(m), len(each) // m)
            values = self._samples(each, table, at, draws)
            by_draw = values.reshape(len(each) // m, m, values.shape[1])
            means = _left_out(by_draw, self.groups)
            parts.append(np.concatenate([self._reduced(rows[part], v) for v in means], axis=1))
        return np.concatenate(parts)

    @property
    def _unreduced(self) -> int:
        """(row, coalition, draw) triples whose outputs are held until they are averaged.

        A margin or a loss is of all of a model's outputs.
        """
        j = 1 if self.predictions.pending else self._own.shape[1]
        return pairs_of(8 * j)

    # -- the public forms ---------------------------------------------------------------------

    def value(self, rows: Any, coalitions: Any) -> Floats:
        """Mean over the removal's draws: rows (B,), coalitions (B, d) -> (B, k).

        Float coalitions are soft masks in [0, 1]; a tensor of them gives a tensor with gradients.
        """
        if is_tensor(coalitions):
            return cast(Floats, self.gradients.value(np.asarray(rows), coalitions))
        table = self._table(coalitions)
        which = np.arange(len(table.coalitions))
        return self._means(self.explained[np.asarray(rows)], table, which)

    def sample(self, rows: Any, coalitions: Any, draws: Any) -> Floats:
        """Value at one draw each: (B, k)."""
        rows, table = self.explained[np.asarray(rows)], self._table(coalitions)
        which = np.arange(len(table.coalitions))
        values = self._samples(rows, table, which, np.asarray(draws))
        return self._reduced(rows, values)

    @cached_property
    def gradients(self) -> Gradients:
        """Values and gradients batch by batch, as tensors where the model lives; torch only."""
        from xai.gradients import Gradients

        return Gradients(proxy(self))  # else both, and all they hold, stayed until a collection

    def gradient(self, rows: Any, masks: Any, draws: Any, wrt: Wrt = "mask") -> Floats:
        """Gradients of `sample` in each player's mask, (B, d, k); of a torch module.

        Parameters
        ----------
        rows, draws : (B,) int
        masks : (B, d) floats in [0, 1]; or (B, 1), where all players share one
        wrt : "mask", or "input": (B, *x.shape[1:], k), at the input that the mask gives
        """
        rows, draws = np.asarray(rows), np.asarray(draws)
        stream = self.gradients.stream(rows, masks, draws, wrt)
        return np.concatenate([on_host(g) for _, _, g in stream])

    def grid(self, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
        """Values of rows × coalitions: (R, C, k)."""
        r, c = len(rows), len(coalitions)
        which = np.tile(np.arange(c), r)
        each, table = np.repeat(self.explained[np.asarray(rows)], c), self._table(coalitions)
        if draws is None:
            flat = self._means(each, table, which)
        else:
            own = draws[which] if draws.ndim == 1 else draws.reshape(-1)
            flat = self._reduced(each, self._samples(each, table, which, own))
        return flat.reshape(r, c, flat.shape[1])

    @property
    def base_cost(self) -> int:
        """Distinct all-removed inputs of one row."""
        if self.draws.key is None or not self.shares_empty:
            return self.n_draws
        row = np.zeros(self.n_draws, np.intp)
        return len(np.unique(self.draws.key(row, np.arange(self.n_draws))))

    def regressors(self, rows: Indices, draws: Indices) -> Regressors | None:
        """The removal's own regressors per player; groups are the same when all members are."""
        if self.draws.regressors is None:
            return None
        columns, here = self.draws.regressors(self.explained[rows], draws)
        owner = self.partition.owner
        owner = owner if self.partition.shared else owner[self.explained[rows]]
        d = self.n_players
        if ((owner >= 0).sum(axis=1) == d).all():  # a column for each player
            place = np.argsort(owner, axis=1)[:, -d:]
            return columns[np.arange(len(rows))[:, None], place], here[place]
        if not here.all():
            raise ValueError("a continuous neighbourhood fits columns, not groups of them")
        same = [np.where((owner == i)[..., None], columns, True).all(axis=1) for i in range(d)]
        return np.stack(same, axis=1), np.ones((1, d), bool)


def _groups(draws: int) -> int:
    """How many groups to leave out, one at a time; one draw is never left out."""
    return min(GROUPS, draws) if draws > 1 else 0


def _left_out(values: Floats, groups: int) -> list[Floats]:
    """Means over axis 1, of all draws and without each group, exact where values are equal."""
    if groups == 0:
        return [mean_of_draws(values)]
    first, m = values[:, 0], values.shape[1]
    moved = values - values[:, :1]
    total = moved.sum(axis=1)
    parts = [moved[:, g::groups] for g in range(groups)]
    without = [first + (total - own.sum(axis=1)) / (m - own.shape[1]) for own in parts]
    return [mean_of_draws(values), *without]


@dataclass(eq=False)
class DatasetGame(Game):
    """The mean of a game over its rows: the rows of a data set become draws.

    Parameters
    ----------
    inner : the game whose rows are averaged
    """

    inner: ModelGame

    def __post_init__(self) -> None:
        self.n_players, self.n_outputs = self.inner.n_players, self.inner.n_outputs
        self.n_draws = self.inner.n_rows
        # of each data row its prediction, and what finding a layer has cost
        self.full_cost = self.n_draws * (1 + self.inner.paid) + self.inner.shared
        self.sample_cost = self.inner.n_draws  # a data row at every draw of the removal
        self.value_cost = self.n_draws * self.sample_cost
        self.rounding, self.sampled_draws = self.inner.rounding, True
        self.progress, self.player_names = self.inner.progress, self.inner.player_names
        self.pixels = self.inner.pixels

    @property
    def evaluations(self) -> int:  # type: ignore[override] # a count that lives in the inner game
        """Model rows spent by the inner game."""
        return self.inner.evaluations

    def jackknifed(self, *, averages: bool) -> DatasetGame | None:
        """Where values are means over all rows, or all rows share draws that have no end.

        Where both, no outputs are left out: an error would have two parts.
        """
        inner = self.inner.jackknifed(averages=True)
        if inner is None and not averages:
            return None
        wide = copy(self)
        if inner is None:
            wide.sampled_draws, wide.groups = False, _groups(self.n_draws)
            wide.n_outputs *= 1 + wide.groups
        elif not averages:
            wide.inner, wide.groups, wide.n_outputs = inner, inner.groups, inner.n_outputs
        return wide

    def value(self, rows: Any, coalitions: Any) -> Floats:
        """Mean over all data rows: (B, k)."""
        coalitions = as_coalitions(coalitions)
        every, parts = np.arange(self.inner.n_rows), []
        groups = 0 if self.inner.groups else self.groups  # or draws are what is left out
        step = max(1, self.inner.room // self.value_cost)
        for start in range(0, len(coalitions), step):
            each = self.inner.grid(every, coalitions[start : start + step], None)
            parts.append(np.concatenate(_left_out(each.swapaxes(0, 1), groups), axis=1))
        return np.concatenate(parts)

    def sample(self, rows: Any, coalitions: Any, draws: Any) -> Floats:
        """Value at one data row each: (B, k)."""
        return self.inner.value(draws, coalitions)

    def grid(self, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
        """Values (1, C, k)."""
        if draws is None:
            return self.value(rows, coalitions)[None]
        return self.sample(rows, coalitions, draws.reshape(-1))[None]

    @cached_property
    def base_cost(self) -> int:
        """Distinct all-removed inputs over all data rows."""
        inner, keys = self.inner, np.empty(0, np.intp)
        n, m = inner.n_rows, inner.n_draws
        if inner.draws.key is None or not inner.shares_empty:
            return n * m
        step = max(1, pairs_of(8) // m)
        for start in range(0, n, step):
            rows = np.repeat(inner.explained[start : start + step], m)
            found = np.unique(inner.draws.key(rows, np.tile(np.arange(m), len(rows) // m)))
            keys = np.union1d(keys, found)
        return len(keys)
