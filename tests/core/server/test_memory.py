"""Memory of large requests is kept for the next ones, which the kernel's count of page faults shows."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from asgi_llm.server.memory import keep_memory
if "keep" in sys.argv:
    assert keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(50):
    bodies = [b"x" * size for size in range(200_000, 200_008)]
    del bodies
print(faults() - before)
"""


def run(*words: str, **said: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, env=known | said, capture_output=True, text=True, check=False)


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library has no mallopt")


def test_it_is_not_asked_for_again() -> None:
    assert int(run("keep").stdout) * 10 < int(run().stdout)


def test_the_environment_goes_first() -> None:
    assert "AssertionError" in run("keep", MALLOC_TRIM_THRESHOLD_="131072").stderr
    assert "AssertionError" in run("keep", GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072").stderr
