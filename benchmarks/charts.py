"""Bars from the medians: what a request or a chunk costs each system, as an SVG beside the tables."""

from html import escape
from math import log10

from report import DIRECT, OURS, Medians, number
from systems import SYSTEMS
from workloads import WORKLOADS

__all__ = ["chart"]

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
