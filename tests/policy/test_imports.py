"""Imports run one way (launch → app → tv2tv_core), and nothing heavy happens at import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.policy.source import ROOT, Source, imports, product

HEAVY = {"torch", "transformers", "diffusers", "huggingface_hub", "gradio", "fastapi", "cv2", "av", "vizdoom", "scipy",
         "omegaconf", "PIL"}  # fmt: skip
LIGHT = (
    "app.cli",
    "app.commands",
    "app.present",
    "tv2tv_core.engine.backend",
    "tv2tv_core.engine.events",
    "tv2tv_core.engine.pretrained.fetch",
    "tv2tv_core.engine.pretrained.fit",
    "tv2tv_core.errors",
    "tv2tv_core.plan",
    "tv2tv_core.presets",
    "tv2tv_core.settings",
    "tv2tv_core.story",
    "tv2tv_core.timeline",
)


def tops(source: Source) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports(source)}


def loaded_by(code: str, *flags: str) -> set[str]:
    """The top-level modules in a fresh Python after running `code` in the checkout."""
    code = f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_the_library_knows_neither_application_nor_interface():
    wrong = {"app", "launch", "gradio", "fastapi", "starlette", "uvicorn", "tests"}
    found = {source.name: tops(source) & wrong for source in product() if source.name.startswith("tv2tv_core/")}
    assert found
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_the_application_never_imports_a_tensor_library():
    wrong = {"torch", "transformers", "diffusers", "safetensors", "launch", "tests"}
    found = {source.name: tops(source) & wrong for source in product() if source.name.startswith("app/")}
    assert found
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_the_launcher_imports_the_standard_library_and_the_command_line_alone():
    [launcher] = [source for source in product() if source.name == "launch.py"]
    platforms = {"fcntl", "msvcrt"}
    assert tops(launcher) - platforms <= set(sys.stdlib_module_names) | {"app"}


def test_a_command_is_checked_before_anything_is_installed():
    """The launcher parses with app.cli on a bare Python: -S takes the installed packages away."""
    loaded = loaded_by("import app.cli; app.cli.parse(['generate', '--seconds', '1'])", "-S")
    assert loaded <= set(sys.stdlib_module_names) | {"app", "tv2tv_core", "__main__"}


def test_the_pipelines_library_stays_behind_its_adapters():
    """Importing it takes seconds, which only who chose such a preset shall wait for."""
    found = [source.name for source in product() if "diffusers" in tops(source)]
    assert found and all(name.startswith("tv2tv_core/engine/pretrained/") for name in found)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module: str):
    assert loaded_by(f"import {module}") & HEAVY == set()
