"""What Linux says about processes and cores: CPU time, memory, and who else was running."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


def process_stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name: state, parent, ... Empty when the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def process_tree(root: int) -> list[int]:
    """The process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        if stat := process_stat(pid):
            children.setdefault(int(stat[1]), []).append(pid)
    tree = [root] if process_stat(root) else []
    for pid in tree:
        tree.extend(children.get(pid, []))
    return tree


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, ended ones included, to the nanosecond; 0 when it is gone.

    The clock id is the one that clock_getcpuclockid(3) computes; Python does not offer that function. /proc/PID/stat
    would count in ticks of 10 ms, too coarse for a system that is busy for some per cent of a few seconds.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of the processes; pages that they share count once for each."""
    total = 0
    for pid in pids:
        try:
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
        except OSError:
            continue  # ended meanwhile
    return total


def stolen_seconds(cores: set[int]) -> float:
    """Time that the hypervisor gave to others while these cores had work."""
    total = 0.0
    for line in (PROC / "stat").read_text().splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores and len(values) > 7:
            total += int(values[7]) * TICK
    return total


@dataclass(frozen=True, slots=True)
class Witness:
    """A look at everyone else, to be compared with a later look."""

    taken: float
    stolen: float
    cpu: dict[int, float]

    @classmethod
    def look(cls, cores: set[int]) -> "Witness":
        return cls(time.monotonic(), stolen_seconds(cores), {pid: cpu_seconds(pid) for pid in all_pids()})

    def disturbance(self, own: set[int], cores: set[int]) -> float:
        """The share of one core that others used on `cores` since this look; `own` processes do not count."""
        foreign = stolen_seconds(cores) - self.stolen
        for pid in set(all_pids()) - own:
            stat = process_stat(pid)
            if stat and int(stat[36]) in cores:
                foreign += max(0.0, cpu_seconds(pid) - self.cpu.get(pid, 0.0))
        return foreign / (time.monotonic() - self.taken)


def description() -> dict[str, str]:
    """The machine in the words a reader of results needs."""
    model = "unknown"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
