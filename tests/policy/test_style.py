"""Size budgets, and public things that say what they are."""

from __future__ import annotations

import ast

from tests.policy.source import Function, everything, functions, parameters, product, public

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 8
LINE_LENGTH = 128


def test_no_file_is_longer_than_its_budget():
    sizes = {source.name: source.text.count("\n") for source in everything()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES} == {}


def test_no_line_is_longer_than_its_budget():
    rows = [(source.name, n, row) for source in everything() for n, row in enumerate(source.text.split("\n"), 1)]
    assert [f"{name}:{number} {len(row)}" for name, number, row in rows if len(row) > LINE_LENGTH] == []


def test_no_function_is_longer_than_its_budget():
    sizes = {place: node.end_lineno - node.lineno + 1 for source in everything() for place, node in functions(source)}
    assert {place: lines for place, lines in sizes.items() if lines > FUNCTION_LINES} == {}


def test_no_function_takes_more_parameters_than_its_budget():
    counts = {place: len(parameters(node)) for source in product() for place, node in functions(source)}
    assert {place: count for place, count in counts.items() if count > PARAMETERS} == {}


def test_every_module_says_what_it_is():
    assert [source.name for source in everything() if not ast.get_docstring(source.tree) and source.text.strip()] == []


def test_every_public_thing_says_what_it_is():
    assert [place for source in product() for place, node in public(source) if not ast.get_docstring(node)] == []


def test_every_public_function_is_typed():
    untyped = []
    for source in product():
        for place, node in public(source):
            if isinstance(node, Function):
                bare = [argument.arg for argument in parameters(node) if argument.annotation is None]
                untyped += [f"{place}({name})" for name in bare] + ([f"{place} -> ?"] if node.returns is None else [])
    assert untyped == []
