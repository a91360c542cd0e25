"""From rounds to medians, and from medians to tables."""

from collections.abc import Callable
from statistics import median

from measure import Metrics
from systems import SYSTEMS
from workloads import MESSAGES, WORKLOADS, Workload

DIRECT = "direct"
OURS = "asgi-llm"
SATURATED = 0.9  # below this share of its core a system was waiting for the driver, and its rate says nothing

Medians = dict[str, dict[str, Metrics]]  # workload -> system -> metrics


def medians(rounds: list[Medians]) -> Medians:
    """The median over the rounds, metric by metric; of errors and of streams left open, the worst."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for one in rounds:
        for workload, systems in one.items():
            for system, metrics in systems.items():
                for name, value in metrics.items():
                    found.setdefault(workload, {}).setdefault(system, {}).setdefault(name, []).append(value)
    return {
        workload: {system: {name: summary(name, v) for name, v in m.items()} for system, m in systems.items()}
        for workload, systems in found.items()
    }


def summary(name: str, values: list[float]) -> float:
    return max(values) if name in {"errors", "rate_errors", "left_open", "disturbed"} else median(values)


def number(value: float) -> str:
    """Three figures, no more than a measurement on a shared machine can bear."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


Cell = Callable[[Metrics], str]


def grid(results: Medians, titles: dict[str, str], columns: list[tuple[Workload, str, Cell]]) -> str:
    """A row for each system, a column for each workload; a cell that a system has no value for stays empty."""
    columns = [column for column in columns if column[0].name in results]
    rows = []
    for system, title in titles.items():
        cells = []
        for workload, _, cell in columns:
            metrics = results[workload.name].get(system)
            try:
                cells.append(cell(metrics) if metrics else "")
            except KeyError:
                cells.append("")
        if any(cells):
            rows.append([title, *cells])
    return table(["", *(head for _, head, _ in columns)], rows) if rows else ""


def cpu_cell(metrics: Metrics) -> str:
    if not metrics["rate"]:
        return "failed"
    return number(metrics["cpu_us"]) + (" (!)" if metrics["errors"] or metrics.get("left_open") else "")


def rate_cell(metrics: Metrics) -> str:
    return number(metrics["rate"]) + ("*" if metrics.get("busy", 1) < SATURATED else "")


def markdown(results: Medians, titles: dict[str, str]) -> str:
    """All tables, as Markdown."""
    every = list(WORKLOADS.values())
    closed = [w for w in every if not w.ramp_ms]
    timed = [w for w in every if w.normal.rate]
    spaced = [w for w in every if w.ramp_ms]
    slow = WORKLOADS["slow"]
    sections = {
        "CPU, microseconds per request or chunk": grid(
            results, titles, [(w, f"{w.title} (per {w.unit})", cpu_cell) for w in every]
        ),
        "CPU of the others, as a multiple of asgi-llm's": ratios(results, titles),
        "Requests or chunks per second on one core": grid(
            results, titles, [(w, f"{w.title} ({w.unit}s/s)", rate_cell) for w in closed]
        ),
        "Added latency at a fixed rate, p50 / p99 in ms": grid(
            results,
            titles,
            [(w, f"{w.title}, {w.normal.rate}/s", pair("added_p50_ms", "added_p99_ms")) for w in timed],
        ),
        "From the upstream's write to the caller's read, p50 / p99 in ms": grid(
            results, titles, [(w, w.title, pair("chunk_p50_ms", "chunk_p99_ms")) for w in spaced]
        ),
        "Memory and open streams": grid(
            results,
            titles,
            [
                (WORKLOADS["json2k"], "resident after JSON, MB", lambda m: number(m["resident"] / 1e6)),
                (slow, "resident with slow streams, MB", lambda m: number(m["resident"] / 1e6)),
                (slow, "KB per stream", lambda m: number(m["stream_bytes"] / 1e3)),
                (slow, "share of a core", lambda m: number(m["busy"])),
            ],
        ),
    }
    parts = [f"**{title}**\n\n{text}" for title, text in sections.items() if text]
    if any("* |" in part for part in parts):
        parts.append("`*` the system was not busy: the driver or the upstream was the limit.")
    return "\n\n".join([*parts, *notes(results, titles)]) + "\n"


def pair(first: str, second: str) -> Cell:
    return lambda metrics: f"{number(metrics[first])} / {number(metrics[second])}"


def ratios(results: Medians, titles: dict[str, str]) -> str:
    """What a unit costs the others, in units of what it costs us."""

    def against(workload: Workload) -> Cell:
        ours = results.get(workload.name, {}).get(OURS, {}).get("cpu_us")
        return lambda metrics: f"{metrics['cpu_us'] / ours:.2f}" if ours else ""

    others = {system: title for system, title in titles.items() if system != OURS}
    return grid(results, others, [(w, w.title, against(w)) for w in WORKLOADS.values()])


def notes(results: Medians, titles: dict[str, str]) -> list[str]:
    """What a reader must know about single cells and rows."""
    shown = [system for name, system in SYSTEMS.items() if name in titles]
    said = [
        f"{system.title} could not carry these loads and got smaller ones: {smaller_loads(results)}."
        for system in shown
        if system.heavy
    ]
    passing = [system.title for system in shown if not system.translates]
    if passing and any(WORKLOADS[name].path == MESSAGES for name in results):
        said.append(f"{' and '.join(passing)}: no translation; Messages went to an upstream that speaks Messages.")
    for workload, systems in results.items():
        for name, metrics in systems.items():
            where = f"(!) {titles[name]}, {WORKLOADS[workload].title}:"
            if errors := metrics["errors"] + metrics.get("rate_errors", 0):
                said.append(f"{where} up to {errors:.0f} wrong or broken answers in a round.")
            if left := metrics.get("left_open"):
                said.append(f"{where} {left:.0f} streams were still open upstream 2 s after the callers had gone.")
    return said


def smaller_loads(results: Medians) -> str:
    loads = []
    for workload in (WORKLOADS[name] for name in results):
        what = "streams" if workload.streams else "connections"
        rate = f" and {workload.heavy.rate}/s" if workload.heavy.rate else ""
        loads.append(f"{workload.name} {workload.heavy.connections} {what}{rate}")
    return ", ".join(loads)
