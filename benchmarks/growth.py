"""How the price of a request grows: with routes, targets, workers, tools, history and streams.

    python benchmarks/growth.py [--quick] [--series routes,workers] [--rounds 3] [--seconds 2]

Every point is a gateway of its own in front of the same upstream, measured as in run.py: CPU of one pinned core per
request or chunk. Writes growth.json, growth.svg and GROWTH.md beside this file.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bodies import MODEL, SHAPES, Body, Writer
from build import BUILD, HERE, MissingError, say
from charts import curves
from machine import description
from measure import Bench, quietest, undisturbed
from report import number, table
from run import Upstream, raise_file_limit
from systems import System, prepare_asgi_llm, start
from workloads import CHAT, MESSAGES, Load, Workload

COUNTS = (1, 10, 100, 1000)
POOL = "pool = { max_connections = 12000 }"
AUTH = '[auth]\nkeys = [{ key = "env://BENCH_KEY", subject = "bench" }]\n'


@dataclass(frozen=True, slots=True)
class Point:
    """``amount`` of what grows; the settings and the body that have so much of it."""

    amount: int
    settings: str
    body: Body
    load: Load


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    title: str
    path: str
    points: Callable[[str], Iterator[Point]]
    streams: bool = False


def target(name: str, upstream: str, more: str = "") -> str:
    return (
        f'[targets.{name}]\nprovider = "openai_compatible"\ndialects = ["chat"]\n{more or address(upstream)}\n{POOL}\n'
    )


def address(upstream: str) -> str:
    return f'base_url = "{upstream}/v1"'


def routes(upstream: str) -> Iterator[Point]:
    """The last route is the one that matches."""
    for count in COUNTS:
        others = "".join(f'[[routes]]\nmodel = "other-{n}-*"\ntarget = "up"\n' for n in range(count - 1))
        wanted = f'[[routes]]\nmodel = "{MODEL}"\ntarget = "up"\n'
        yield Point(count, target("up", upstream) + others + wanted + AUTH, small(), Load(32))


def targets(upstream: str) -> Iterator[Point]:
    for count in COUNTS:
        others = "".join(target(f"other-{n}", upstream) for n in range(count - 1))
        yield Point(count, 'default_target = "up"\n' + others + target("up", upstream) + AUTH, small(), Load(32))


def workers(upstream: str, balance: str) -> Iterator[Point]:
    """The same upstream at as many addresses: it does not mind what stands before the path."""
    for count in COUNTS:
        listed = ", ".join(f'{{ url = "{upstream}/w{n}/v1" }}' for n in range(count))
        more = f'balance = "{balance}"\nworkers = [{listed}]'
        yield Point(count, target("up", upstream, more) + AUTH, small(), Load(32))


def tools(upstream: str) -> Iterator[Point]:
    for count in (1, 10, 100, 500):
        body = Writer(2).small_messages() | {"tools": [Writer(3).tool(n) for n in range(count)]}
        yield Point(count, target("up", upstream) + AUTH, body, Load(8))


def history(upstream: str) -> Iterator[Point]:
    """In kilobytes. The body is good Messages and good Chat Completions."""
    for size in (1, 10, 100, 1000, 10_000):
        writer = Writer(4)
        turns = [
            {"role": ("user", "assistant")[n % 2], "content": writer.text(min(500 * size, 4000))}
            for n in range(max(1, size // 4))
        ]
        if turns[-1]["role"] == "assistant":
            turns.append({"role": "user", "content": "Go on."})
        body = {"model": MODEL, "max_tokens": 512, "messages": turns}
        yield Point(size, target("up", upstream) + AUTH, body, Load(2 if size > 1000 else 8))


def streams(upstream: str) -> Iterator[Point]:
    """Each says something twenty times a second, ten thousand of them once."""
    for count in (1, 10, 100, 1000, 10_000):
        chunks, spacing = SHAPES["slow"]
        spacing = spacing if count <= 1000 else spacing * 20
        said = f" [script chunks={chunks} spacing_us={spacing}]"
        body = Writer(5).small_chat(said) | {"stream": True}
        yield Point(count, target("up", upstream) + AUTH, body, Load(count))


def small() -> Body:
    return Writer(6).small_chat()


SERIES = {
    series.name: series
    for series in (
        Series("routes", "routes, of which the last matches", CHAT, routes),
        Series("targets", "targets", CHAT, targets),
        Series("workers", "workers, round robin", CHAT, partial(workers, balance="round_robin")),
        Series("workers-least-load", "workers, least load", CHAT, partial(workers, balance="least_load")),
        Series("workers-cache-aware", "workers, cache aware", CHAT, partial(workers, balance="cache_aware")),
        Series("tools", "tools, translated from Messages", MESSAGES, tools),
        Series("history", "KB of history, translated from Messages", MESSAGES, history),
        Series("history-verbatim", "KB of history, passed on", CHAT, history),
        Series("streams", "streams, per chunk", CHAT, streams, streams=True),
    )
}

Results = dict[str, list[tuple[int, float]]]


def measured(series: Series, upstream: Upstream, bench: Bench, rounds: int) -> list[tuple[int, float]]:
    """CPU in microseconds at every point."""
    probe = json.dumps(small()).encode()
    found = []
    for point in series.points(upstream.url):
        body = BUILD / "bodies" / "growth.json"
        body.write_text(json.dumps(point.body, ensure_ascii=False, separators=(",", ":")))
        ramp = max(500, point.load.connections) if series.streams else 0
        workload = Workload(
            series.name, series.title, series.path, "growth", point.load, point.load, -series.streams, ramp
        )
        system = System("growth", "asgi-llm", partial(prepare_asgi_llm, settings=point.settings))
        running = start(system, upstream.port, bench.system_core, probe)
        try:
            costs = []
            for _ in range(rounds):
                window = quietest(undisturbed(bench, workload, point.load, running))
                units = window.result["chunks" if series.streams else "requests"]
                if window.result["errors"]:
                    say(f"  {window.result['errors']} wrong or broken answers")
                costs.append(window.cpu / max(units, 1) * 1e6)
        finally:
            running.stop()
        found.append((point.amount, median(costs)))
        say(f"{series.name:<20} {point.amount:>6}  {number(found[-1][1])} us")
    return found


def markdown(results: Results) -> str:
    parts = []
    for name, points in results.items():
        first = points[0][1]
        rows = [[f"{amount:,}", number(cost), f"{cost / first:.2f}"] for amount, cost in points]
        parts.append(f"**{SERIES[name].title}**\n\n{table(['', 'CPU, us', 'of the first'], rows)}")
    return "\n\n".join(parts) + "\n"


def write(results: Results, output: Path) -> None:
    machine = description()
    head = f"{machine['date']}, {machine['processor']}, Python {machine['python']}."
    output.mkdir(parents=True, exist_ok=True)
    (output / "growth.json").write_text(json.dumps({"machine": machine, "series": results}, indent=1) + "\n")
    (output / "growth.svg").write_text(curves({SERIES[name].title: points for name, points in results.items()}))
    text = f"# How the price grows\n\n{head}\n\n![Both axes are logarithmic](growth.svg)\n\n{markdown(results)}"
    (output / "GROWTH.md").write_text(text)
    say(f"\n{markdown(results)}\nwritten to {output / 'GROWTH.md'}")


def main() -> int:
    parser = argparse.ArgumentParser(description="How the price of a request grows.")
    parser.add_argument("--series", default=",".join(SERIES), help=f"comma separated, of {', '.join(SERIES)}")
    parser.add_argument("--rounds", type=int, default=3, help="windows to take the median of (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window (2)")
    parser.add_argument("--quick", action="store_true", help="one window of one second at each point")
    parser.add_argument("--output", type=Path, default=HERE, help="directory for growth.json, growth.svg and GROWTH.md")
    given = parser.parse_args()
    names = given.series.split(",")
    if unknown := [name for name in names if name not in SERIES]:
        parser.error(f"unknown series: {', '.join(unknown)}; known are {', '.join(SERIES)}")
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, given.seconds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    try:
        with Upstream(seconds) as upstream:
            results = {name: measured(SERIES[name], upstream, upstream.bench, rounds) for name in names}
    except MissingError as missing:
        say(str(missing))
        return 1
    write(results, given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
