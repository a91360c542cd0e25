"""One measurement: a workload against a system, with the CPU time and memory that the system used meanwhile."""

import json
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build import BUILD
from machine import Witness, cpu_seconds, process_tree, resident_bytes
from systems import KEY, Running, pinned
from workloads import OWN, Load, Workload

WARMUP = 0.5  # seconds
RATE_CONNECTIONS = 128  # how many requests may be under way at the fixed rate
DISTURBED = 0.05  # share of a core used by others, above which a measurement is repeated
REPEATS = 3

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement shares: the driver, the cores, the upstream's port, the seconds of a window."""

    driver: Path
    driver_core: int
    system_core: int
    upstream_port: int
    seconds: float

    @property
    def cores(self) -> set[int]:
        return {self.driver_core, self.system_core}

    def open_streams(self) -> int:
        """Streams that the upstream still writes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.upstream_port}/stats", timeout=10) as response:
            return int(json.load(response)["open"])


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in one window of the driver."""

    result: dict[str, Any]
    cpu: float  # seconds that the system used
    resident: int  # bytes at the end of the window
    disturbance: float


def measure(bench: Bench, workload: Workload, system: Running | None, heavy: bool) -> Metrics:
    """A workload against a system, or straight against the upstream when `system` is None.

    Metrics: `rate` (units per second), `cpu_us` (microseconds of CPU per unit), `busy` (share of the core), `errors`,
    `disturbed` (measurements repeated), latencies in milliseconds, memory in bytes.
    """
    load = workload.load(heavy)
    idle = resident_bytes(system.pids()) if system else 0
    windows = undisturbed(bench, workload, Load(load.connections), system)
    window = quietest(windows)
    result = window.result
    units = result["chunks"] / workload.repeats if workload.streams else result["requests"]
    metrics: Metrics = {
        "rate": units / result["seconds"],
        "errors": result["errors"],
        "disturbed": len(windows) - 1,
    }
    if system and units:
        metrics["cpu_us"] = window.cpu / units * 1e6
    if system:
        metrics["busy"] = window.cpu / result["seconds"]
        metrics["resident"] = windows[0].resident
    if workload.streams and workload.repeats == 1 and result["chunk_ms"]:
        metrics |= {f"chunk_{name}_ms": result["chunk_ms"][name] for name in ("p50", "p99")}
    if workload.endless and system:
        metrics["stream_bytes"] = (windows[0].resident - idle) / load.connections
        metrics["left_open"] = streams_left(bench)
    if load.rate and system:
        metrics |= added_latency(bench, workload, load, system)
    return metrics


def added_latency(bench: Bench, workload: Workload, load: Load, system: Running) -> Metrics:
    """Latency at a fixed rate, less that of the same requests sent straight to the upstream just before."""
    at_rate = Load(RATE_CONNECTIONS, load.rate)
    direct = quietest(undisturbed(bench, workload, at_rate, None)).result
    through = quietest(undisturbed(bench, workload, at_rate, system)).result
    if not direct["latency_ms"] or not through["latency_ms"]:
        return {"rate_errors": through["errors"]}
    added = {f"added_{name}_ms": through["latency_ms"][name] - direct["latency_ms"][name] for name in ("p50", "p99")}
    return added | {"rate_errors": through["errors"]}


def undisturbed(bench: Bench, workload: Workload, load: Load, system: Running | None) -> list[Window]:
    """Windows up to the first one in which nobody else used the cores, or as many as may be tried."""
    windows = []
    for _ in range(REPEATS):
        windows.append(watch(bench, workload, load, system))
        if windows[-1].disturbance < DISTURBED:
            break
    return windows


def quietest(windows: list[Window]) -> Window:
    return min(windows, key=lambda window: window.disturbance)


def watch(bench: Bench, workload: Workload, load: Load, system: Running | None) -> Window:
    """Runs the driver once. The two looks at the system happen when the driver's warm-up ends and when its window
    ends, while the connections are still open."""
    pids = system.pids() if system else []
    witness = Witness.look(bench.cores)
    command = driver_command(bench, workload, load, system)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        said = driver.stdout.readline()
        before = sum(map(cpu_seconds, pids))
        line = driver.stdout.readline()
        cpu, resident = sum(map(cpu_seconds, pids)) - before, resident_bytes(pids)
        disturbance = witness.disturbance(set(process_tree(os.getpid())), bench.cores)
        driver.communicate()  # closes its input: it may let go of the connections
    if said != "measuring\n" or not line:
        raise RuntimeError(f"the load driver failed: {' '.join(command)}")
    return Window(json.loads(line), cpu, resident, disturbance)


def driver_command(bench: Bench, workload: Workload, load: Load, system: Running | None) -> list[str]:
    path = workload.path
    if system:
        path = system.system.own if path == OWN else system.system.prefix + path
    arguments: dict[str, object] = {
        "-p": system.port if system else bench.upstream_port,
        "-u": path,
        "-b": BUILD / "bodies" / f"{workload.body}.json",
        "-c": load.connections,
        "-t": bench.seconds,
        "-w": WARMUP + workload.ramp_ms / 1000,
        "-m": workload.ramp_ms,
        "-r": load.rate,
        "-H": f"authorization: Bearer {KEY}",
    }
    if workload.chunks > 0:
        arguments["-e"] = workload.chunks * workload.repeats
    words = [str(word) for pair in arguments.items() for word in pair]
    return pinned(bench.driver_core, [str(bench.driver), *words, "-s"])


def streams_left(bench: Bench) -> int:
    """Streams that are still open at the upstream two seconds after the callers have gone; there should be none."""
    deadline = time.monotonic() + 2
    while (left := bench.open_streams()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
