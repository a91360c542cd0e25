"""Measures asgi-llm, also within its hosts, beside nginx, SMG and LiteLLM: one upstream, one driver, one core for the
system under test.

    python benchmarks/run.py [--quick] [--systems asgi-llm,smg] [--workloads json2k,paced] [--rounds 5] [--seconds 3]

The rounds are interleaved: every system meets every workload once before anyone meets it twice, so that a slow quarter
of an hour of the machine falls on all of them. Writes results.json and RESULTS.md beside this file. README.md says
what the numbers mean.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bodies import write_bodies
from build import BUILD, HERE, MissingError, compiled, say
from charts import chart
from machine import description
from measure import Bench, Metrics, measure, watch
from report import DIRECT, Medians, markdown, medians, number
from systems import SYSTEMS, Running, System, free_port, pinned, start
from workloads import WORKLOADS, Load, Workload

OPEN_FILES = 32768


@dataclass(frozen=True, slots=True)
class Options:
    systems: list[str]
    workloads: list[str]
    rounds: int
    seconds: float
    output: Path


def parse_options() -> Options:
    parser = argparse.ArgumentParser(description="Speed of asgi-llm beside other gateways.")
    known = [DIRECT, *SYSTEMS]
    parser.add_argument("--systems", default=",".join(known), help=f"comma separated, of {', '.join(known)}")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help=f"comma separated, of {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measured window in seconds (3)")
    parser.add_argument("--quick", action="store_true", help="one round of one-second windows: does it run at all")
    parser.add_argument("--output", type=Path, default=HERE, help="directory for results.json and RESULTS.md")
    given = parser.parse_args()
    options = Options(given.systems.split(","), given.workloads.split(","), given.rounds, given.seconds, given.output)
    if unknown := [name for name in options.systems if name not in known]:
        parser.error(f"unknown systems: {', '.join(unknown)}; known are {', '.join(known)}")
    if unknown := [name for name in options.workloads if name not in WORKLOADS]:
        parser.error(f"unknown workloads: {', '.join(unknown)}; known are {', '.join(WORKLOADS)}")
    return replace(options, rounds=1, seconds=1.0) if given.quick else options


def two_cores() -> tuple[int, int]:
    """The core of upstream and driver, and the core of the system under test. Raises MissingError."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise MissingError("two cores are needed: one for upstream and driver, one for the system under test")
    return cores[0], cores[1]


def raise_file_limit() -> None:
    """10,000 streams are 20,000 sockets in the system under test, which inherits the limit from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= OPEN_FILES:
        return
    for limit in (max(hard, OPEN_FILES), hard):  # the superuser may raise it beyond what was allowed
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, limit), limit))
            break
    if (allowed := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < OPEN_FILES:
        say(f"only {allowed} open files are allowed: of 10,000 idle streams some will fail (ulimit -n {OPEN_FILES})")


class Upstream:
    """The upstream, running on the core that it shares with the driver. Raises MissingError."""

    def __init__(self, seconds: float) -> None:
        driver_core, system_core = two_cores()
        program, self.port = compiled("upstream"), free_port()
        self.bench = Bench(compiled("load"), driver_core, system_core, self.port, seconds)
        write_bodies(BUILD / "bodies")
        os.sched_setaffinity(0, {driver_core})  # this process too stays off the core of the system under test
        self.process = subprocess.Popen(pinned(driver_core, [str(program), str(self.port)]))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Run:
    """One run: the upstream, the systems that could be started, and the rounds over them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        raise_file_limit()
        self.upstream = Upstream(options.seconds)
        self.bench = self.upstream.bench
        self.probe = (BUILD / "bodies" / "chat-2k.json").read_bytes()
        self.running: dict[str, Running] = {}
        self.titles: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def start_systems(self) -> None:
        """Starts what can be started, says in words what cannot, and puts all of them to sleep."""
        for name in self.options.systems:
            if name == DIRECT:
                self.titles[name] = "(no gateway)"
                continue
            system = SYSTEMS[name]
            say(f"starting {system.title}")
            try:
                self.running[name] = self.start(system)
            except MissingError as missing:
                say(f"  left out: {missing}")
                continue
            self.titles[name] = system.title
            self.versions[name] = self.running[name].version
            self.running[name].pause()

    def start(self, system: System) -> Running:
        return start(system, self.bench.upstream_port, self.bench.system_core, self.probe)

    def rounds(self) -> list[Medians]:
        done: list[Medians] = []
        for number_of_round in range(1, self.options.rounds + 1):
            results: Medians = {}
            for name in self.options.workloads:
                for system in self.titles:
                    if not self.carries(system, WORKLOADS[name]):
                        continue
                    metrics = self.measure(WORKLOADS[name], system)
                    results.setdefault(name, {})[system] = metrics
                    label = f"round {number_of_round}/{self.options.rounds}  {name:<20} {self.titles[system]:<14}"
                    say(f"{label} {progress(metrics, WORKLOADS[name])}")
            done.append(results)
        return done

    def carries(self, name: str, workload: Workload) -> bool:
        """Whether a system, or the upstream by itself, can be given the workload."""
        if name == DIRECT:
            return workload.path.startswith("/v1/")
        return self.running[name].system.carries(workload)

    def measure(self, workload: Workload, name: str) -> Metrics:
        if name == DIRECT:
            return measure(self.bench, workload, None, heavy=False)
        running = self.running[name]
        heavy = running.system.heavy
        if workload.endless:  # memory that earlier rounds left behind would hide what a stream takes
            running.stop()
            running = self.running[name] = self.start(running.system)
            watch(replace(self.bench, seconds=1.0), WORKLOADS["json2k"], Load(8), running)
        running.resume()
        try:
            return measure(self.bench, workload, running, heavy)
        finally:
            running.pause()

    def close(self) -> None:
        for running in self.running.values():
            running.stop()
        self.upstream.close()


def progress(metrics: Metrics, workload: Workload) -> str:
    words = [f"{number(metrics['rate'])} {workload.unit}s/s"]
    if "cpu_us" in metrics:
        words.append(f"{number(metrics['cpu_us'])} us/{workload.unit}")
    if "added_p50_ms" in metrics:
        words.append(f"+{number(metrics['added_p50_ms'])} ms p50")
    if "stream_bytes" in metrics:
        words.append(f"{number(metrics['stream_bytes'] / 1000)} KB/stream")
    words.extend(f"{metrics[name]:.0f} {name.replace('_', ' ')}" for name in NOTABLE if metrics.get(name))
    return ", ".join(words)


NOTABLE = ("errors", "rate_errors", "left_open", "disturbed")


def write_results(run: Run, rounds: list[Medians]) -> None:
    options, machine, results = run.options, description(), medians(rounds)
    record = {
        "machine": machine,
        "versions": run.versions,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "medians": results,
        "all_rounds": rounds,
    }
    versions = ", ".join(f"{run.titles[name]} {version}" for name, version in run.versions.items())
    head = (
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}; {versions}; median of {options.rounds} rounds of {options.seconds:g} s."
    )
    text = markdown(results, run.titles)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    pictures = {"peers": chart(results, run.titles, hosted=False), "hosts": chart(results, run.titles, hosted=True)}
    for name, picture in pictures.items():
        if picture:
            (options.output / f"{name}.svg").write_text(picture)
    shown = "".join(
        f"![CPU a request or chunk, on a logarithmic scale]({name}.svg)\n\n" for name in pictures if pictures[name]
    )
    (options.output / "RESULTS.md").write_text(f"# Results\n\n{head}\n\n{shown}{text}")
    say(f"\n{head}\n\n{text}\nwritten to {options.output / 'results.json'} and RESULTS.md")


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that was started stays behind
    try:
        run = Run(options)
    except MissingError as missing:
        say(str(missing))
        return 1
    try:
        run.start_systems()
        began = time.monotonic()
        write_results(run, run.rounds())
        say(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    except MissingError as missing:  # a system that started before did not start again
        say(str(missing))
        return 1
    finally:
        run.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
