"""From rounds to medians, and from medians to tables."""

from collections.abc import Callable, Sequence
from statistics import median

from measure import Metrics
from systems import SYSTEMS
from workloads import OWN, PAIRS, WORKLOADS, Workload

DIRECT = "direct"
OURS, BARE = "asgi-llm", "bare"
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


def grid(results: Medians, titles: dict[str, str], columns: Sequence[tuple[Workload, str, Cell]]) -> str:
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
    peers = {name: title for name, title in titles.items() if name == DIRECT or not SYSTEMS[name].hosted}
    hosts = {
        name: title for name, title in titles.items() if name == OURS or (name in SYSTEMS and SYSTEMS[name].hosted)
    }
    plain = [w for w in WORKLOADS.values() if not w.pair]
    sections = {
        "CPU, microseconds per request or chunk": cpu_grid(results, peers, plain),
        "CPU of the others, as a multiple of asgi-llm's": ratios(results, peers, plain),
        **{f"Translated, {PAIRS[pair][0]}: CPU, microseconds": pair_grid(results, peers, pair) for pair in PAIRS},
        "Within a host: CPU, microseconds per request or chunk": cpu_grid(results, hosts, list(WORKLOADS.values()))
        if len(hosts) > 1
        else "",
        "Within a host: CPU as a multiple of what it is below a path": host_ratios(results, hosts),
        **latencies(results, titles),
        "Memory and open streams": memory(results, titles),
    }
    parts = [f"**{title}**\n\n{text}" for title, text in sections.items() if text]
    if any("* |" in part for part in parts):
        parts.append("`*` the system was not busy: the driver or the upstream was the limit.")
    return "\n\n".join([*parts, *notes(results, titles)]) + "\n"


def cpu_grid(results: Medians, titles: dict[str, str], workloads: list[Workload]) -> str:
    return grid(results, titles, [(w, f"{w.title} (per {w.unit})", cpu_cell) for w in workloads if not w.idle])


def pair_grid(results: Medians, titles: dict[str, str], pair: str) -> str:
    workloads = [w for w in WORKLOADS.values() if w.pair == pair]
    shown = {name: title for name, title in titles.items() if name != DIRECT}
    columns = [(w, w.title.rpartition(", ")[2] + f" (per {w.unit})", cpu_cell) for w in workloads]
    return grid(results, shown, columns)


def host_ratios(results: Medians, hosts: dict[str, str]) -> str:
    """What a host adds: beside the same gateway below a path with no framework around it."""
    workloads = [w for w in WORKLOADS.values() if w.path != OWN and not w.idle]
    others = {name: title for name, title in hosts.items() if name not in (OURS, BARE)}
    return grid(results, others, [(w, w.title, against(results, w, BARE)) for w in workloads]) if others else ""


def latencies(results: Medians, titles: dict[str, str]) -> dict[str, str]:
    every = list(WORKLOADS.values())
    closed = [w for w in every if not w.ramp_ms and not w.pair]
    timed = [w for w in every if w.normal.rate and not w.pair]
    spaced = [w for w in every if w.ramp_ms and w.repeats == 1 and not w.idle]
    return {
        "Requests or chunks per second on one core": grid(
            results, titles, [(w, f"{w.title} ({w.unit}s/s)", rate_cell) for w in closed]
        ),
        "Added latency at a fixed rate, p50 / p99 in ms": grid(
            results,
            titles,
            [(w, f"{w.title}, {w.normal.rate}/s", both("added_p50_ms", "added_p99_ms")) for w in timed],
        ),
        "From the upstream's write to the caller's read, p50 / p99 in ms": grid(
            results, titles, [(w, w.title, both("chunk_p50_ms", "chunk_p99_ms")) for w in spaced]
        ),
    }


def memory(results: Medians, titles: dict[str, str]) -> str:
    slow, idle = WORKLOADS["slow"], WORKLOADS["idle"]
    columns: list[tuple[Workload, str, Cell]] = [
        (WORKLOADS["json2k"], "resident after JSON, MB", lambda m: number(m["resident"] / 1e6)),
        (slow, "resident with 1000 slow streams, MB", lambda m: number(m["resident"] / 1e6)),
        (slow, "KB per slow stream", lambda m: number(m["stream_bytes"] / 1e3)),
        (slow, "share of a core", lambda m: number(m["busy"])),
        (idle, "resident with 10,000 idle streams, MB", lambda m: number(m["resident"] / 1e6)),
        (idle, "KB per idle stream", lambda m: number(m["stream_bytes"] / 1e3)),
        (idle, "share of a core", lambda m: number(m["busy"])),
    ]
    return grid(results, titles, columns)


def both(first: str, second: str) -> Cell:
    return lambda metrics: f"{number(metrics[first])} / {number(metrics[second])}"


def ratios(results: Medians, titles: dict[str, str], workloads: list[Workload]) -> str:
    """What a unit costs the others, in units of what it costs us."""
    others = {system: title for system, title in titles.items() if system != OURS}
    return grid(results, others, [(w, w.title, against(results, w, OURS)) for w in workloads if not w.idle])


def against(results: Medians, workload: Workload, system: str) -> Cell:
    base = results.get(workload.name, {}).get(system, {}).get("cpu_us")
    return lambda metrics: f"{metrics['cpu_us'] / base:.2f}" if base else ""


def notes(results: Medians, titles: dict[str, str]) -> list[str]:
    """What a reader must know about single cells and rows."""
    shown = [system for name, system in SYSTEMS.items() if name in titles]
    said = [
        f"{system.title} could not carry these loads and got smaller ones: {smaller_loads(results)}."
        for system in shown
        if system.heavy
    ]
    passing = [system.title for system in shown if not system.translates]
    if passing and any(WORKLOADS[name].pair for name in results):
        said.append(
            f"{' and '.join(passing)}: no translation; the request went to an upstream of the caller's dialect."
        )
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
