"""The examples of the guide run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_llm

GUIDE = Path(__file__).parents[3] / "docs" / "testing.md"


@pytest.mark.once
def test_the_examples_of_the_guide_pass(tmp_path: Path) -> None:
    """Each code block is a test file of its own, run by pytest as a reader would run it."""
    examples = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    for number, example in enumerate(examples, 1):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(asgi_llm.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "7 passed" in run.stdout
    assert len(examples) == 3
