"""One feature's effect as a curve, beside the attributions that single rows give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import category_name, in_days, in_numbers
from xai.plots.many import read_many
from xai.plots.style import (
    LINE,
    SERIES,
    Z95,
    attribution,
    category_ticks,
    in_lines,
    ink,
    legend_label,
    new_axes,
    title,
    two_lines,
)
from xai.plots.swarm import line_notes, scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation
    from xai.overview import Effect

STYLES = ("-", "--", ":", "-.")


def dependence(
    effects: Effect | Sequence[Effect],
    explanation: Explanation | None = None,
    output: int | str | None = None,
    *,
    color: int | str | None = None,
    individual: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw partial dependence and ALE curves of one feature, over its attributions.

    Curves are centred, as attributions are: a partial dependence less the mean prediction. One of
    another output than the title's is named after it.
    Bands are their 95 % intervals over the rows averaged over.

    Parameters
    ----------
    effects
        `xai.overview.partial_dependence`, `accumulated_local_effects`, or several of one feature.
    explanation
        Of the same feature, whose attributions are drawn as dots.
    output, color, ax
        As in `scatter`.
    individual
        Draw each row's own curve, too, faintly and with the same centre (ICE).

    Raises
    ------
    ValueError
        There is no effect, effects are of several features, or of one that the explanation does
        not know by this name, or `individual` is asked of effects that have no curve of each row.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: 2 * x[:, 0] + x[:, 1]
    >>> x = np.array([[0.0, 1.0], [1.0, 3.0]])
    >>> effect = xai.overview.partial_dependence(f, x, 0)
    >>> axes = dependence(effect, xai.explain(f, x, "exact_shapley", data=x))
    >>> axes.lines[-1].get_ydata().tolist()
    [-1.0, 1.0]
    """
    curves = list(effects) if isinstance(effects, Sequence) else [effects]
    if not curves:
        raise ValueError("there is nothing to draw: pass at least one effect")
    features = {curve.feature for curve in curves}
    if len(features) > 1:
        raise ValueError(f"one picture shows one feature, not {', '.join(sorted(features))}")
    if individual and all(curve.individual is None for curve in curves):
        raise ValueError(f"individual=True: {curves[0].kind} have no curve of each row")
    dated = all(in_days(curve.grid) is not None for curve in curves)
    if explanation is None:
        known, told = list[str](), curves[0].output
        axes = new_axes(ax, 6.5, 4.0)
        axes.axhline(0, color=ink(axes), linewidth=0.8, zorder=0)
        title(axes, [f"effect on {told}"])
        axes.set_xlabel(two_lines(curves[0].feature), parse_math=False)
        axes.set_ylabel("effect less its mean")
    else:
        many = read_many(explanation, output)
        _check_feature(curves[0].feature, many.names)
        player = many.player(curves[0].feature)
        known, told, dated = many.categories[player], many.output, dated and player in many.days
        axes = scatter(explanation, player, output, color=color, ax=ax)
        both = in_lines(f"{attribution(many.unit)}, or effect less its mean", LINE)
        axes.set_ylabel("\n".join([both, *line_notes(many)]), parse_math=False)
    kinds = None if dated else _kinds(curves, known)
    for place, curve in enumerate(curves):
        colour, line = SERIES[(place + 1) % len(SERIES)], STYLES[place % len(STYLES)]
        at, y, reach = _places(curve, kinds, dated=dated), curve.centred, Z95 * curve.std_error
        other = "" if curve.output == told else f", of {curve.output}"
        label = legend_label(f"{curve.kind}{other}")
        joined = kinds is None and len(at) > 1  # of one value, as of categories, there is no line
        if individual and curve.individual is not None:
            rows, form = curve.individual.T - curve.base, "-" if joined else "."
            alpha = max(0.05, min(0.5, 15 / len(curve.individual)))  # fainter the more there are
            axes.plot(at, rows, form, color=colour, alpha=alpha, linewidth=0.7, zorder=1)
        if kinds is not None:
            axes.errorbar(at, y, reach, fmt="D", color=colour, capsize=3, label=label, zorder=3)
            continue
        dot = "" if joined else "D"
        axes.plot(at, y, line, color=colour, linewidth=1.8, marker=dot, label=label, zorder=3)
        axes.fill_between(at, y - reach, y + reach, color=colour, alpha=0.18, lw=0)
    if dated:
        axes.xaxis_date()
    if kinds is not None and kinds != known:
        category_ticks(axes, kinds)
    note = f"{'bands' if kinds is None else 'whiskers'}: ±{Z95} standard errors over rows (95 %)"
    axes.set_xlabel(f"{axes.get_xlabel()}\n{note}", parse_math=False)
    axes.legend(frameon=False, fontsize="small")
    return axes


def _places(curve: Effect, kinds: list[str] | None, *, dated: bool) -> NDArray[Any]:
    """Where the values of a curve's grid lie on the axis."""
    if kinds is not None:
        return np.array([kinds.index(category_name(value)) for value in curve.grid])
    days = in_days(curve.grid) if dated else None
    return in_numbers(curve.grid)[0] if days is None else days


def _check_feature(name: str, names: Sequence[str]) -> None:
    """Refuse an effect of a feature that the explanation does not know by this name."""
    if name not in names:
        raise ValueError(
            f"the effect is of {name!r}, which is no feature of the explanation: it names "
            f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}. Give both the same names: "
            "pass a DataFrame or feature_names= to the effect, too"
        )


def _kinds(curves: Sequence[Effect], known: list[str]) -> list[str] | None:
    """The categories on the axis: those `known`, then others of the grids; None of numbers."""
    if not known and not any(in_numbers(curve.grid)[1] for curve in curves):
        return None
    found = {category_name(value) for curve in curves for value in curve.grid}
    return [*known, *sorted(found - set(known))]
