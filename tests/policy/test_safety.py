"""Nothing read from outside is ever executed, no error is swallowed, and nothing names one particular machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.policy.source import ROOT, Source, dotted, everything, imports, product, text_files

EXECUTING_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
EXECUTING_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
DANGEROUS_ARGUMENTS = {("allow_pickle", True), ("shell", True), ("weights_only", False), ("trust_remote_code", True)}
MACHINE_PATH = re.compile(r"(?:^|[\s\"'`(=:])/(?:home|root|work|opt|tmp|mnt|Users)/\w")
ADDRESS = re.compile(r"\b(?:https?|ftp|ssh)://|\b\d{1,3}(?:\.\d{1,3}){3}\b")
TEXT_FILES = (".md", ".txt", ".toml", ".yaml", ".yml", ".json", ".js", ".css", ".py", "NOTICE", "run")
NOT_OURS = frozenset({".venv", ".cache", ".git", ".pytest_cache", ".hypothesis", "runs", "__pycache__"})


def calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, with its place."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield f"{source.name}:{node.lineno}", node


def strings(source: Source) -> Iterator[tuple[str, str]]:
    """Every text constant of a file that is not a docstring or a bare explanation, with its place."""
    prose = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield f"{source.name}:{node.lineno}", node.value


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches everything and neither raises again nor looks at what it caught."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    if handler.type is not None and not {dotted(kind) for kind in caught} & {"Exception", "BaseException"}:
        return False
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    raises = any(isinstance(node, ast.Raise) for node in inside)
    uses = handler.name and any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)
    return not (raises or uses)


def test_no_format_that_can_carry_code_is_imported():
    found = [(source.name, name) for source in everything() for name in imports(source)]
    assert [row for row in found if row[1].split(".")[0] in EXECUTING_MODULES] == []


def test_no_call_that_can_run_data_as_code():
    named = [(place, dotted(node.func)) for source in product() for place, node in calls(source)]
    assert [row for row in named if row[1] in EXECUTING_CALLS] == []


def test_no_argument_that_switches_safety_off():
    given = [
        (place, word.arg, word.value.value)
        for source in product()
        for place, node in calls(source)
        for word in node.keywords
        if isinstance(word.value, ast.Constant)
    ]
    assert given
    assert [row for row in given if row[1:] in DANGEROUS_ARGUMENTS] == []


def test_numpy_files_are_read_without_pickle():
    """numpy's own default is safe today; said aloud, it stays so."""
    loads = [(place, node) for source in product() for place, node in calls(source) if dotted(node.func) == "np.load"]
    assert [place for place, node in loads if not any(word.arg == "allow_pickle" for word in node.keywords)] == []


def test_no_error_is_swallowed():
    handlers = [
        (f"{source.name}:{node.lineno}", node)
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
    ]
    suppressed = [
        place
        for source in product()
        for place, node in calls(source)
        if dotted(node.func).endswith("suppress")
        and {dotted(kind) for kind in node.args} & {"Exception", "BaseException"}
    ]
    assert handlers
    assert [place for place, node in handlers if swallows(node)] + suppressed == []


def test_no_network_address_in_code():
    assert [row for source in product() for row in strings(source) if ADDRESS.search(row[1])] == []


def test_no_file_names_a_path_of_one_machine():
    rows = [
        (f"{path.relative_to(ROOT)}:{number}", row)
        for path in text_files(TEXT_FILES, NOT_OURS)
        for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]
    assert rows
    assert [place for place, row in rows if MACHINE_PATH.search(row)] == []


def test_the_rule_against_swallowing_tells_good_from_bad():
    bad = "try:\n    f()\nexcept Exception as error:\n    pass"
    good = [
        "try:\n    f()\nexcept Exception:\n    undo()\n    raise",
        "try:\n    f()\nexcept OSError:\n    pass",
        "try:\n    f()\nexcept Exception as error:\n    tell(error)",
    ]
    handler = [ast.parse(text).body[0].handlers[0] for text in [bad, "try:\n    f()\nexcept:\n    pass", *good]]
    assert [swallows(node) for node in handler] == [True, True, False, False, False]
