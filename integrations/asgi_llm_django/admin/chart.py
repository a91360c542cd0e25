"""A chart of stacked bars, as SVG that needs no script and no style: values in, markup out."""

from collections.abc import Callable, Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from msgspec import Struct

__all__ = ["Chart", "chart"]

_COLOURS = ("#3b78c3", "#e08e2b", "#4c9f6b", "#b5527a", "#7a67b8", "#8c8c8c")
_WIDTH, _HEIGHT, _LEFT, _ABOVE, _BELOW = 900, 180, 70, 10, 22
_STEPS = 5
OTHERS = "others"


class Chart(Struct, frozen=True):
    """``legend`` is (colour, name, amount of all)."""

    title: str
    svg: SafeString
    legend: list[tuple[SafeString, str, str]]


def chart(
    title: str,
    places: Sequence[str],
    amounts: Mapping[tuple[str, str], int],
    shown: Callable[[int], str],
) -> Chart | None:
    """``amounts`` by (place, name): a bar for each place, cut by names, of which the largest have a colour of their
    own. None where there is nothing to show."""
    sums: dict[str, int] = {}
    for (_, name), amount in amounts.items():
        sums[name] = sums.get(name, 0) + amount
    ranked = sorted((name for name in sums if sums[name] > 0), key=lambda name: (-sums[name], name))
    if not ranked:
        return None
    own = ranked[: len(_COLOURS) - 1]
    series = [*own, *([OTHERS] if len(ranked) > len(own) else [])]
    merged: dict[tuple[str, str], int] = {}
    for (place, name), amount in amounts.items():
        key = (place, name if name in own else OTHERS)
        merged[key] = merged.get(key, 0) + amount
    top = max(sum(merged.get((place, name), 0) for name in series) for place in places)
    totals = {name: sum(merged.get((place, name), 0) for place in places) for name in series}
    legend = [(_square(number), name, shown(totals[name])) for number, name in enumerate(series)]
    return Chart(title, _svg(title, places, series, merged, top, shown), legend)


def _square(number: int) -> SafeString:
    return format_html(
        '<svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill="{}"/></svg>',
        _COLOURS[number],
    )


def _svg(
    title: str,
    places: Sequence[str],
    series: Sequence[str],
    amounts: Mapping[tuple[str, str], int],
    top: int,
    shown: Callable[[int], str],
) -> SafeString:
    step = (_WIDTH - _LEFT) / len(places)
    bars = []
    for index, place in enumerate(places):
        base = float(_HEIGHT)
        for number, name in enumerate(series):
            amount = amounts.get((place, name), 0)
            height = _HEIGHT * amount / top if top else 0
            if height > 0:
                base -= height
                where = (f"{_LEFT + index * step + 1:.1f}", f"{base:.1f}", f"{max(step - 2, 1):.1f}", f"{height:.1f}")
                bars.append((*where, _COLOURS[number], f"{place}: {name} {shown(amount)}"))
    return format_html(
        '<svg viewBox="0 -{} {} {}" role="img" aria-label="{}" class="asgi-llm-chart">{}{}{}</svg>',
        _ABOVE,
        _WIDTH,
        _ABOVE + _HEIGHT + _BELOW,
        title,
        format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>', bars),
        _lines(top, shown),
        _dates(places, step),
    )


def _step(highest: int) -> int:
    """A round number that goes into it at most so many times."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step * _STEPS >= highest:
                return step
        size *= 10


def _lines(top: int, shown: Callable[[int], str]) -> SafeString:
    rows = [(f"{_HEIGHT * (top - amount) / top:.1f}", shown(amount)) for amount in range(0, top + 1, _step(top))]
    return format_html_join(
        "",
        '<line x1="{0}" x2="{1}" y1="{2}" y2="{2}" stroke="currentColor" stroke-opacity="0.15"/>'
        '<text x="{3}" y="{2}" text-anchor="end" font-size="11" fill="currentColor" dominant-baseline="middle">'
        "{4}</text>",
        [(_LEFT, _WIDTH, y, _LEFT - 6, text) for y, text in rows],
    )


def _dates(places: Sequence[str], step: float) -> SafeString:
    every = -(-len(places) // 12)
    return format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle" font-size="11" fill="currentColor">{}</text>',
        [
            (f"{_LEFT + (index + 0.5) * step:.1f}", _HEIGHT + 15, place[5:])
            for index, place in enumerate(places)
            if index % every == 0
        ],
    )
