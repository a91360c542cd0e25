"""Pictures beside the tables, as SVG: bars of what a request costs each system, curves of how a price grows."""

from html import escape
from math import log10

from report import DIRECT, OURS, Medians, number
from systems import SYSTEMS
from workloads import WORKLOADS

__all__ = ["chart", "curves"]

WIDTH, LABEL, BAR, GAP, TITLE = 760, 200, 16, 4, 30  # pixels
SCALE = 440  # pixels of the longest bar
COLOURS = {"asgi-llm": "#2f6fde", "nginx": "#4d9a5b", "smg": "#c2762b", "litellm": "#a8434f"}
OTHER = "#7d8590"


def chart(results: Medians, titles: dict[str, str], *, hosted: bool) -> str:
    """A group of bars for each workload, on a logarithmic scale of microseconds; of the peers, or of the ``hosted``."""
    shown = [name for name in titles if name == OURS or (name != DIRECT and SYSTEMS[name].hosted is hosted)]
    groups = [
        (WORKLOADS[name], [(system, found[system]["cpu_us"]) for system in shown if "cpu_us" in found.get(system, {})])
        for name, found in results.items()
        if not WORKLOADS[name].idle
    ]
    groups = [(workload, bars) for workload, bars in groups if len(bars) > 1]
    if not groups:
        return ""
    most = max(cost for _, bars in groups for _, cost in bars)
    lines: list[str] = []
    top = 10
    for workload, bars in groups:
        lines.append(
            f'<text x="0" y="{top + 16}" font-weight="bold">{escape(workload.title)}, us/{workload.unit}</text>'
        )
        top += TITLE
        for system, cost in bars:
            lines.append(_bar(titles[system], COLOURS.get(system, OTHER), cost, most, top))
            top += BAR + GAP
        top += GAP
    style = "text{font:13px system-ui,sans-serif;fill:#57606a}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">'
    return "\n".join([head, f"<style>{style}</style>", *lines, "</svg>"]) + "\n"


def _bar(title: str, colour: str, cost: float, most: float, top: int) -> str:
    length = max(2.0, SCALE * log10(max(cost, 1.0)) / log10(max(most, 10.0)))
    middle = top + BAR - 3
    return (
        f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(title)}</text>'
        f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        f'<text x="{LABEL + length + 6:.1f}" y="{middle}">{number(cost)}</text>'
    )


PLOT, LEFT, COLUMNS = 200, 46, 3  # pixels, pixels, plots beside each other


def curves(series: dict[str, list[tuple[int, float]]]) -> str:
    """A small plot of each series of (amount, microseconds), both on logarithmic scales."""
    wide, high = PLOT + LEFT + 20, PLOT + 60
    rows = -(-len(series) // COLUMNS)
    drawn = []
    for place, (title, points) in enumerate(series.items()):
        left, top = place % COLUMNS * wide, place // COLUMNS * high
        drawn.append(f'<g transform="translate({left},{top})">{_plot(title, points)}</g>')
    width, height = COLUMNS * wide, rows * high
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    style = "<style>text{font:11px system-ui,sans-serif;fill:#57606a}</style>"
    return "\n".join([head, style, *drawn, "</svg>"]) + "\n"


def _plot(title: str, points: list[tuple[int, float]]) -> str:
    most, least = max(cost for _, cost in points), min(cost for _, cost in points)
    # At least a hundredfold from bottom to top, so that what is flat looks flat.
    low, high = log10(least) - 0.2, max(log10(most) + 0.2, log10(least) + 1.8)
    far = log10(points[-1][0]) or 1
    dots = [
        (LEFT + log10(amount) / far * PLOT, 20 + PLOT * (1 - (log10(cost) - low) / (high - low)))
        for amount, cost in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[OURS]}"/>'
        f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle">{number(cost)}</text>'
        f'<text x="{x:.1f}" y="{PLOT + 36}" text-anchor="middle">{amount:,}</text>'
        for (x, y), (amount, cost) in zip(dots, points, strict=True)
    )
    return (
        f'<text x="0" y="12" font-weight="bold">{escape(title)}</text>'
        f'<path d="M{LEFT},20V{PLOT + 20}H{LEFT + PLOT}" fill="none" stroke="{OTHER}"/>'
        f'<polyline points="{line}" fill="none" stroke="{COLOURS[OURS]}" stroke-width="2"/>{marks}'
    )
