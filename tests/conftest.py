"""What every test shares: the environment of a verb, and few threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from app.cli import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent

os.environ.update(ENVIRONMENT)
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".cache" / "hypothesis"))
# One thread: with both cores busy, two threads wait for each other and a test takes five times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples on every run, and no clock: a busy machine must not fail a property.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those in the browser first: they wait a lot, and at the end no process should be left alone with the longest."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture
def run_cli():
    """Runs the command line in its own process: `run_cli("generate", …, cwd=tmp_path)` → completed process."""

    def run(*arguments: str, cwd: Path = ROOT, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-P", "-m", "app.cli", *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)

    return run
