"""The example with a real engine runs to its end and finds nothing wrong."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "example_apps" / "real_engine"
NEEDED = ("xllamacpp", "gguf", "openai", "anthropic", "uvicorn")


@pytest.fixture
def engine() -> None:
    """Skips the test where something is not installed, but not where this test is what the run is for."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("CI") and os.environ.get("ASGI_LLM_REAL_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.usefixtures("engine")
def test_every_sdk_talks_to_a_real_engine_through_the_gateway(tmp_path: Path) -> None:
    """The model is made anew, in the temporary folder that the example is given."""
    command = [sys.executable, "-W", "error", str(EXAMPLE / "run.py")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("all is well\n")
    assert "Traceback" not in run.stderr
