"""The project's own Python files as syntax trees, for the policy tests."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("app", "tv2tv_core")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: `name` is its path in the checkout."""

    name: str
    text: str
    tree: ast.Module


@cache
def product() -> list[Source]:
    """The files that run in the product: the launcher, the application, the library."""
    paths = [ROOT / "launch.py"] + [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [_source(path) for path in paths]


@cache
def everything() -> list[Source]:
    """The product and its tests."""
    return product() + [_source(path) for path in sorted((ROOT / "tests").rglob("*.py"))]


def text_files(suffixes: tuple[str, ...], skipped: frozenset[str]) -> Iterator[Path]:
    """The files of the checkout that end in one of `suffixes`, outside the folders called as in `skipped`."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(set(folders) - skipped)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(suffixes))


def imports(source: Source) -> Iterator[str]:
    """Every dotted name that a file imports, anywhere in it; imports for type checkers alone count too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(source: Source) -> Iterator[tuple[str, Function]]:
    """Every function and method of a file, nested ones too, with the place to name in a complaint."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield f"{source.name}:{node.lineno} {node.name}", node


def public(source: Source) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """The public functions, classes and methods of a file (without dunder methods), with the place of each."""

    def inside(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
        for node in body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body)

    for node in inside(source.tree.body):
        yield f"{source.name}:{node.lineno} {node.name}", node


def parameters(node: Function) -> list[ast.arg]:
    """All parameters that a caller can give, `self` and `cls` not counted."""
    spec = node.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    given = [argument for argument in named if argument.arg not in ("self", "cls")]
    return given + [argument for argument in (spec.vararg, spec.kwarg) if argument]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute chain; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def _source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text))
