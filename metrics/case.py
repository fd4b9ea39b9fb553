"""What metrics score: a model and its rows (a `Scene`), and one attribution of them (a `Case`).

A metric is a function of a case. The decorator `metric` makes the public one of it,
``metric(model, x, explanation, *, …) -> Score``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, wraps
from inspect import Parameter, cleandoc, signature
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xai import streams
from xai.batches import batch_rows
from xai.explanation import Explanation
from xai.finite import named_by, refuse_predictions
from xai.foreign import converted
from xai.game import Game
from xai.inputs import is_whole
from xai.known import Keys, Known
from xai.metrics.attributed import (
    Named,
    by_place,
    fits,
    in_columns_of,
    in_elements,
    numbers_of,
    of_output,
    of_players,
    own_keywords,
    per_player,
)
from xai.metrics.registry import find
from xai.metrics.score import Floats, Score
from xai.model import Rehearsed, check_width, uncalled
from xai.progress import Progress
from xai.setting import Setting, check_axis, check_counts, names_columns, open_setting, padded
from xai.streams import as_seed
from xai.suggest import unknown
from xai.targets import keeps_axis

Indices = NDArray[np.intp]
Made = TypeVar("Made")

APART = 2**48
"""First number of samples and draws that no explanation is fitted to: theirs begin at 0."""
COMMON = """
Other Parameters
----------------
model, x : as for `xai.explain`
explanation : Explanation, shap's too, or an array shaped like x or like its players
    The columns of a DataFrame go by name, as those of masks and references do.
{options}target : as for `xai.explain`
    None: the explanation's, else "predicted". Of several explained outputs it names the one
    that is scored.
y : (n,) true labels, where `behavior` needs them
data : background rows
    None: those the explanation was made with.
players : what is removed together
    None: the explanation's own players; every element (pixel) for an array.
removal : how features are removed; a part or its name
    None: by the rows of `data`; without any as the explanation was asked to, where it was, else
    of images by their mean colour.
behavior : which output of the model
    None: the explanation's, else `Prediction()`.
batch_size, n_jobs, feature_names, categorical, channel_axis : as for `xai.explain`
    None: the explanation's.
seed, progress : as for `xai.explain`
"""
OPTIONS = {
    "k": """a number of players, a fraction of them (rounded up), or several, which are averaged""",
    "steps": """int
    Of the curve, at most one for each player. None: so many for tables and for parts that the
    metric itself makes of images, 32 for other images and texts.""",
    "subset_size": """a number of players, a fraction of them (rounded up), or several""",
    "samples": """int
    How many are drawn: subsets (all of them where they are no more), or copies of each row.""",
    "radius": """number, or one for each column
    How far copies of a row are moved at most, up and down, in x's own units; a Series by its
    names.""",
    "mask": """bool array, or numbers, of which those other than 0 count as True
    Which features (pixels) matter: shaped like the attributions, like x, or like images without
    their channels; for every row, or one for all.""",
    "reference": """Explanation or array, shaped as `explanation`; one row serves for all""",
    "explain": """function (model, x, target) -> array or Explanation
    How to explain again; None: by the Explanation's own recipe.""",
}
"""What several metrics ask for; one that means something else by it says so under Parameters."""


def _once(store: dict[Any, Any], key: Hashable, make: Callable[[], Made], of: object) -> Made:
    """The value kept under a key; with an object, which is kept as well so that its id stays."""
    if (key, id(of)) not in store:
        store[key, id(of)] = make(), of
    made: Made = store[key, id(of)][0]
    return made


@dataclass(eq=False)
class Scene:
    """A model, its rows and a removal: what all attributions of these rows are held against.

    Opened when a metric first looks at the model; `close` restores a module's mode.

    Parameters
    ----------
    model, x, target, y, data, players, removal, behavior, … : as for the metrics
    """

    model: Any
    x: Any
    target: Any = None
    y: ArrayLike | None = None
    data: Any = None
    players: Any = None
    removal: Any = None
    behavior: Any = None
    batch_size: int | None = None
    n_jobs: int | None = None
    seed: int = 0
    progress: bool | None = None
    feature_names: Any = None
    categorical: Any = None
    channel_axis: int | None = None
    bar: Progress = field(init=False, repr=False)
    shares: bool = field(default=False, init=False)  # among several scores: values are looked up
    apart: bool = field(default=False, init=False)  # endless draws that no explanation is made of
    rehearses: bool = field(default=False, init=False)  # nothing but x itself is evaluated
    spent_elsewhere: int = field(default=0, init=False)  # model rows of explanations
    used: set[str] = field(default_factory=set, init=False)  # "output", "removal": by a metric
    _opened: list[Setting] = field(default_factory=list, init=False, repr=False)
    _kin: list[Setting] = field(default_factory=list, init=False, repr=False)  # other scenes', too
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __post_init__(self) -> None:
        self.seed = as_seed(self.seed)
        self.bar = Progress(self.progress)
        self.batch_size, self.n_jobs = check_counts(batch_size=self.batch_size, n_jobs=self.n_jobs)
        check_axis(self.channel_axis)

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def enter(self, opened: AbstractContextManager[Made]) -> Made:
        """What a context gives; it stays open as long as the scene does."""
        return self._stack.enter_context(opened)

    @property
    def sizes(self) -> dict[str, int]:
        """What was asked for of `batch_size` and `n_jobs`: of what explains again, too."""
        given = {"batch_size": self.batch_size, "n_jobs": self.n_jobs}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def setting(self) -> Setting:
        """Model, rows, players, removal and output, bound; x is predicted, or waits for a call."""
        self.used.add("output")
        return self._setting

    @property
    def seen(self) -> Setting:
        """The same for metrics that remove nothing, and so need no removal: of x itself."""
        self.used.add("output")
        return self._untouched if self.inside else self._seen

    @cached_property
    def _setting(self) -> Setting:
        return self._open(self.removal, self.players)

    @property
    def _seen(self) -> Setting:
        """Whichever is open."""
        return self._setting if "_setting" in vars(self) else self._untouched

    @cached_property
    def _untouched(self) -> Setting:
        return self._open(_untouched, None if self.inside else self.players)

    @property
    def inside(self) -> bool:
        """Whether the rows of `setting` are a layer's, because players are inside a network."""
        return getattr(self.players, "layer", None) is not None

    @property
    def own_model(self) -> Any:
        """The model as the caller gave it, to be called; a rehearsal is over here."""
        if self.rehearses:
            raise Rehearsed
        return self.model

    def take(self, like: Setting | None) -> None:
        """Take x's own predictions from another setting of the same model, and count them."""
        if like is not None:
            self._kin.append(like)
            self.spent_elsewhere += like.inputs.n

    def rehearsal(self) -> Scene:
        """The same, but `Rehearsed` is raised where more than x itself is to be evaluated."""
        _ = self._kin or self.seen.predictions.known
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        made = Scene(**(own | {"progress": False}))
        made.rehearses, made.apart, made._kin = True, self.apart, self._kin
        return made

    def _open(self, removal: Any, players: Any) -> Setting:
        if isinstance(self.behavior, Named):
            raise ValueError(
                f"the explanation is of {self.behavior.name}, and holds no more of it than the "
                "name (it was loaded, or aggregated): pass behavior="
            )
        if keeps_axis(self.target):
            raise ValueError("a metric scores one output at a time: pass target=an index")
        like = next((s for s in self._kin if s.cut is None and not s.predictions.pending), None)
        opened = open_setting(
            self.model, self.x, "shapley", y=self.y, data=self.data, players=players,
            target="predicted" if self.target is None else self.target,
            removal=removal, behavior=self.behavior, batch_size=self.batch_size,
            seed=self.seed, feature_names=self.feature_names,
            categorical=self.categorical, options={"channel_axis": self.channel_axis},
            bar=self.bar, wait=True, like=like,
        )  # fmt: skip
        setting = self.enter(opened)
        if self.apart and setting.draws.endless:
            setting = replace(setting, draws=setting.draws.later(APART))
        if self.rehearses:
            return replace(setting, model=uncalled(setting.model))
        if like is None or setting.cut is not None:
            self._opened.append(setting)
            self._kin.append(setting)
        if setting.recipe.of_data_set:
            raise ValueError(
                "a metric scores rows one by one, but the behavior is of a data set: pass "
                "behavior=, such as 'prediction'"
            )
        return setting

    @property
    def games(self) -> list[tuple[Indices, Game]]:
        """One game for each kind of row, with the rows it plays."""
        self.used |= {"output", "removal"}
        return self._games

    @cached_property
    def _games(self) -> list[tuple[Indices, Game]]:
        return self._setting.games(self.batch_size, self.n_jobs, self.bar)

    @property
    def n(self) -> int:
        """Number of explained rows."""
        self.used.add("output")
        return self._seen.inputs.n

    @property
    def column_names(self) -> Any:
        """Columns' names, of `feature_names` or of x, as `categorical` may have them."""
        inputs = self.seen.inputs
        return self.feature_names if names_columns(self.feature_names, inputs) else inputs.names

    @property
    def removals(self) -> list[str]:
        """The removals that have been used since `forget`."""
        own = [repr(self._setting.recipe.removal)] if "removal" in self.used else []
        return sorted({*own, *(name for scene in self._others for name in scene.removals)})

    @property
    def output(self) -> str:
        """The behavior that has been looked at since `forget`; "" for none."""
        looked = "output" in self.used or any(scene.output for scene in self._others)
        return repr(self._seen.recipe.behavior) if looked else ""

    def forget(self) -> None:
        """Forget what has been used: another metric is computed."""
        self.used.clear()
        for scene in self._others:
            scene.forget()

    @property
    def _others(self) -> list[Scene]:
        """The same with something changed, as far as they were made."""
        return [made for made, _ in self._made.values() if isinstance(made, Scene)]

    @property
    def spent(self) -> int:
        """Model rows spent so far, over all rows."""
        opened = sum(s.inputs.n for s in self._opened if not s.predictions.pending)
        games = self._games if "_setting" in vars(self) else []  # they know what a layer has cost
        played = sum(game.evaluations for _, game in games)
        return opened + played + self.spent_elsewhere + sum(scene.spent for scene in self._others)

    def once(self, key: Hashable, make: Callable[[], Made], of: object = None) -> Made:
        """What `make` gives, made when it is first asked for under this key (of this object)."""
        return _once(self._made, key, make, of)

    def values(
        self, place: int, keys: Keys, kept: Callable[[Indices], NDArray[np.bool_]]
    ) -> Floats:
        """Values (C, rows) of coalitions in the game at `place`; each row's are evaluated once.

        Parameters
        ----------
        keys : (C, rows), or (C, 1) of coalitions that rows share, as `xai.known` makes them
        kept : places (B,) in the flat (C, rows) -> coalitions (B, d)
        """
        game = self.games[place][1]
        keys = keys + streams.bits(0, streams.DRAW, np.arange(game.n_rows), 1)[:, 0]

        def evaluate(new: Indices) -> Floats:
            self.bar.expect_more(len(new) * game.value_cost)
            out = np.empty(len(new))
            for start in range(0, len(new), game.room):
                part = new[start : start + game.room]
                out[start : start + game.room] = game.value(part % game.n_rows, kept(part))[:, 0]
            return out[None, :, None]

        known = self.once(("known", place), lambda: Known(1, 1))
        return known.look(keys.ravel(), evaluate).reshape(keys.shape)

    def changed(self, key: Hashable, **parts: Any) -> Scene:
        """The same with another removal or other players."""

        def make() -> Scene:
            common = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
            made = self.enter(Scene(**(common | parts)))
            made.bar, made.shares, made._kin = self.bar, self.shares, self._kin
            made.rehearses, made.apart = self.rehearses, self.apart
            return made

        return self.once(("changed", key), make)

    @property
    def predictions(self) -> Floats:
        """The explained output of each unmasked row, (n,)."""
        self.used |= {"output", "removal"}
        return self._predictions

    @cached_property
    def _predictions(self) -> Floats:
        out = np.empty(self.n)
        for rows, game in self.games:
            every = np.arange(game.n_rows)
            out[rows] = game.value(every, np.ones((game.n_rows, game.n_players), bool))[:, 0]
        return out


SCENE_OPTIONS = [f.name for f in fields(Scene) if f.init and f.name not in ("model", "x")]
"""Options that all metrics have: a scene's."""


def _untouched(x: Any, kept: Any) -> Any:
    raise AssertionError("this metric removes nothing")


def outputs(
    x: Any, like: Scene, index: Indices | None = None, of: str = "x"
) -> NDArray[np.floating]:
    """The model's outputs (m, K) on other rows than the scene's.

    Where it gives NaN or inf, rows are named: `index` (m,), which x are copies of; or rows `of` x.
    """
    with named_by(index, of):
        return _of_others(x, like) if index is None else _of_copies(x, like)


def predicted(model: Any, x: Any, keywords: Mapping[str, Any]) -> AbstractContextManager[Setting]:
    """A model's predictions of rows; of `explain`'s keywords only those on reading rows matter."""
    return open_setting(
        model, x, "shapley", removal=_untouched, target=0, batch_size=keywords.get("batch_size"),
        feature_names=keywords.get("feature_names"), categorical=keywords.get("categorical"),
        options={"channel_axis": keywords.get("channel_axis")},
    )  # fmt: skip


def _of_others(x: Any, like: Scene) -> NDArray[np.floating]:
    keywords = {name: getattr(like, name) for name in SCENE_OPTIONS}
    with predicted(like.own_model, x, keywords | {"feature_names": like.column_names}) as setting:
        like.spent_elsewhere += setting.inputs.n
        return setting.outputs


def _of_copies(x: Any, like: Scene) -> NDArray[np.floating]:
    """Of rows that are encoded as the scene's are: the open model runs them."""
    seen = like.seen
    inputs = seen.inputs
    if x is not like.x:
        inputs = replace(inputs, block=inputs.encode(x, "x"))
    size = like.batch_size or batch_rows(seen.model, inputs, seen.outputs.shape[1])
    starts = range(0, inputs.n, size)
    like.bar.expect_more(inputs.n)
    parts = []
    for start in starts:
        parts.append(seen.model(inputs.part(start, start + size)))
        check_width(parts[-1].shape[1], seen.outputs.shape[1])
        like.bar.update(len(parts[-1]))
    out = np.concatenate(parts)
    like.spent_elsewhere += inputs.n
    refuse_predictions(out)
    return out


@dataclass(eq=False)
class Case:
    """One attribution in a scene.

    Parameters
    ----------
    scene : Scene
    explanation : Explanation or array
    """

    scene: Scene
    explanation: Any
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def flat(self) -> Floats:
        """The attributions as they were given, (n, d); no model is needed. Padding is NaN."""
        given = numbers_of(self.explanation)
        return given.reshape(len(given), -1)

    @cached_property
    def map(self) -> Floats:
        """Attributions over the input's shape, (n, *shape) or images' (n, H, W)."""
        if isinstance(self.explanation, Explanation):
            return np.asarray(self.explanation.map(), np.float64)
        return numbers_of(self.explanation)

    @cached_property
    def values(self) -> Floats:
        """Attributions of the scene's players, (n, d); NaN where a row has fewer."""
        return per_player(self.explanation, self.scene.setting)

    def check_rows(self) -> None:
        """Refuse attributions of more or fewer rows than x has."""
        if len(self.flat) != self.scene.n:
            raise ValueError(f"the attribution has {len(self.flat)} rows, and x has {self.scene.n}")

    def games(self) -> Iterator[tuple[Indices, Game, Floats]]:
        """For each kind of row: the rows, their game, and their attributions (R, d)."""
        for rows, game in self.scene.games:
            yield rows, game, self.values[rows][:, : game.n_players]

    def per_row(self, score: Callable[[Game, Floats], Any]) -> Any:
        """Results of ``score(game, attributions)`` of every kind of row as arrays of n rows."""
        parts = [(rows, np.asarray(score(game, a))) for rows, game, a in self.games()]
        return padded(parts, self.scene.n)

    def once(self, key: Hashable, make: Callable[[], Made], of: object = None) -> Made:
        """What `make` gives, made when it is first asked for under this key (of this object)."""
        return _once(self._made, key, make, of)

    def changed(self, key: Hashable, **parts: Any) -> Case:
        """The same attribution with another removal, or summed over other players."""
        scene = self.scene.changed(key, **parts)

        def make() -> Case:
            given, own = self.explanation, self.scene
            if own.players is None or (
                not of_players(given, own.setting) and fits(given, scene.setting)
            ):
                return Case(scene, given)
            return Case(scene, in_elements(given, own.setting))

        return self.once(("changed", key), make)


@dataclass(frozen=True)
class Result:
    """What a metric computes: values (n,), and a curve or more where it has them.

    `removal` and `output` are stated where they are not the scene's.
    """

    values: Any
    curve: Floats | None = None
    info: dict[str, Any] = field(default_factory=dict)
    removal: str = ""
    output: str = ""


def one_output(explanation: Any, target: Any, x: Any) -> Any:
    """What is scored: shap's explanation as ours, and of several outputs the one of `target`.

    A DataFrame's columns are those of x by name.
    """
    ours = converted(explanation)
    return of_output(ours, target) if isinstance(ours, Explanation) else in_columns_of(x, ours)


def scene_of(model: Any, x: Any, explanation: Any, common: dict[str, Any]) -> Scene:
    """The scene that an explanation is scored in: what is not given is the explanation's own."""
    given = {name: value for name, value in common.items() if value is not None}
    if isinstance(explanation, Explanation):
        given = own_keywords(explanation, given, x) | given
        given["target"] = by_place(given.get("target"), explanation)
    scene = Scene(model, x, **given)
    scene.apart = True
    return scene


def score(
    name: str, case: Case, core: Callable[..., Any], options: dict[str, Any], label: str = ""
) -> Score:
    """Score one case; what the scene already knows is not spent again."""
    record, before = find(name), case.scene.spent
    case.scene.forget()
    with case.scene.bar.of(label or name):
        made = core(case, **options)
    result = made if isinstance(made, Result) else Result(made)
    scene, spent = case.scene, case.scene.spent - before
    return Score(
        result.values, name, record.better, record.category,
        removal=result.removal or ", ".join(scene.removals),
        output=result.output or scene.output,
        evaluations=-(-spent // max(1, len(result.values))),
        curve=result.curve, info=result.info,
    )  # fmt: skip


def metric(core: Callable[..., Any]) -> Callable[..., Score]:
    """The public metric of a function ``core(case, *, …) -> (n,) or Result``.

    Its direction and category stand in `registry.RECORDS` under its name. Options of its own are
    core's keywords; those that all metrics share are `Scene`'s. ``metric.core`` is `core`.
    """
    name = core.__name__
    own = [p for p in signature(core).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]

    @wraps(core)
    def public(model: Any, x: Any, explanation: Any, **keywords: Any) -> Score:
        options, common = split(name, own_names, keywords)
        for needed in required:
            if needed not in options:
                raise TypeError(f"{name} needs {needed}=")
        explanation = one_output(explanation, common.get("target"), x)
        with scene_of(model, x, explanation, common) as scene:
            return score(name, Case(scene, explanation), core, options)

    own_names = [p.name for p in own]
    required = [p.name for p in own if p.default is Parameter.empty]
    keyword = Parameter.KEYWORD_ONLY
    public.__signature__ = signature(core).replace(  # type: ignore[attr-defined] # for help()
        parameters=[
            *(Parameter(n, Parameter.POSITIONAL_OR_KEYWORD) for n in ("model", "x", "explanation")),
            *own,
            *(Parameter(n, keyword, default=0 if n == "seed" else None) for n in SCENE_OPTIONS),
        ],
        return_annotation=Score,
    )
    public.__doc__ = _documented(core.__doc__ or "", own_names)
    public.options = own_names  # type: ignore[attr-defined] # its own keywords
    public.needed = required  # type: ignore[attr-defined] # those without a default
    public.core = core  # type: ignore[attr-defined] # for `evaluate`, which shares scenes
    public.__annotations__ = {}
    return public


def _documented(doc: str, own: list[str]) -> str:
    """A metric's docstring with what others share with it, before its errors and examples."""
    parts = re.split(r"\n(?=(?:Raises|Notes|Examples)\n-)", cleandoc(doc), maxsplit=1)
    told = [
        name for line in re.findall(r"^([\w, ]+) : ", parts[0], re.M) for name in line.split(", ")
    ]
    asked = [name for name in own if name in OPTIONS and name not in told]
    common = COMMON.format(options="".join(f"{n} : {OPTIONS[n]}\n" for n in asked))
    return "\n".join([parts[0].rstrip(), common, *parts[1:]])


def split(
    name: str, own: list[str], keywords: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A metric's own options, and those of its scene; an unknown one is refused.

    Whole numbers of NumPy's become Python's, which its small ones would overflow among.
    """
    for key in keywords:
        if key not in own and key not in SCENE_OPTIONS:
            raise TypeError(unknown(f"option of {name}", key, [*own, *SCENE_OPTIONS]))
    options = {k: int(v) if is_whole(v) else v for k, v in keywords.items() if k in own}
    return options, {key: value for key, value in keywords.items() if key not in own}


__all__ = ["Case", "Result", "Scene", "metric", "scene_of", "score", "split"]
