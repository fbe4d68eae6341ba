"""Finished items survive a kill at any byte, belong to one identity, and are measured once."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tqdm import tqdm

from tv2tv_core.errors import StorageError
from tv2tv_core.evaluate.items import Item, run_items
from tv2tv_core.evaluate.results import FILE, Results


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    results = Results(tmp_path, {"weights": "a"})
    results.put("one/item", {"value": (0.1 + 0.2, None)}, {"one.png": b"picture"})
    again = Results(tmp_path, {"weights": "a"})
    assert again["one/item"] == results["one/item"] == {"value": [0.1 + 0.2, None]}
    assert again.file("one.png") == b"picture" and again.file("two.png") is None and "two" not in again


def test_other_weights_have_other_results(tmp_path: Path) -> None:
    Results(tmp_path, {"weights": "a"}).put("x", {})
    assert "x" not in Results(tmp_path, {"weights": "b"}) and "x" in Results(tmp_path, {"weights": "a"})


def test_a_kill_at_any_byte_costs_the_last_item_at_most(tmp_path: Path) -> None:
    results = Results(tmp_path, {})
    for number in range(3):
        results.put(f"item {number}", {"n": number})
    path = results.folder / FILE
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        found = Results(tmp_path, {})
        kept = [number for number in range(3) if f"item {number}" in found]
        assert kept == list(range(max(0, sum(end <= cut for end in ends) - 1)))
        found.put("next", {"n": 9})
        assert Results(tmp_path, {})["next"] == {"n": 9}


def test_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    results = Results(tmp_path, {})
    with pytest.raises(ValueError, match="JSON"):
        results.put("x", {"value": float("nan")})
    assert "x" not in Results(tmp_path, {})


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        Results(tmp_path / "file", {})


def counting(names: str, seen: list[str], fail: str = "") -> list[Item]:
    def item(name: str) -> Item:
        def measure(prepared: object, tick: object) -> tuple[dict, dict]:
            if name == fail:
                raise RuntimeError("killed")
            seen.append(name)
            tick()
            assert prepared == name.upper()
            return {"name": name}, {}

        return Item(name, 3, measure, prepare=name.upper)

    return [item(name) for name in names]


def run(items: list[Item], results: Results) -> tqdm:
    bar = tqdm(file=io.StringIO())
    run_items(items, results, bar)
    return bar


def test_a_second_start_measures_only_what_is_missing(tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(RuntimeError, match="killed"):
        run(counting("abcd", seen, fail="c"), Results(tmp_path, {}))
    assert seen == ["a", "b"]
    bar = run(counting("abcd", seen), Results(tmp_path, {}))
    assert seen == ["a", "b", "c", "d"] and bar.n == bar.total == 12 and bar.initial == 6
    bar = run(counting("abcd", seen), Results(tmp_path, {}))
    assert seen == ["a", "b", "c", "d"] and bar.n == 12


def test_a_failing_preparation_is_told_and_ends_the_run(tmp_path: Path) -> None:
    def broken() -> None:
        raise StorageError("no game")

    items = [*counting("a", []), Item("b", 1, lambda prepared, tick: ({}, {}), prepare=broken)]
    with pytest.raises(StorageError, match="no game"):
        run(items, Results(tmp_path, {}))
    assert "a" in Results(tmp_path, {})


def test_two_processes_share_the_work_and_end_with_all_of_it(tmp_path: Path) -> None:
    """While one measures, the other takes the rest; it returns only when the first has finished what it holds."""
    seen: list[str] = []
    mine, theirs = Results(tmp_path, {}), Results(tmp_path, {})
    holds, may_end = threading.Event(), threading.Event()

    def slow(prepared: object, tick: object) -> tuple[dict, dict]:
        holds.set()
        assert may_end.wait(60)
        seen.append("slow a")
        return {}, {}

    first = [replace(item, measure=slow) if item.key == "a" else item for item in counting("abcd", seen)]
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(run, first, mine)
        assert holds.wait(60)
        other = pool.submit(run, counting("abcd", seen), theirs)
        deadline = time.monotonic() + 60
        while not {"c", "d"} <= set(seen) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not other.done() and "a" not in theirs
        may_end.set()
        assert one.result().n == other.result().n == 12
    assert sorted(seen) == ["b", "c", "d", "slow a"]
    assert all(key in mine and key in theirs for key in "abcd")


def test_what_a_killed_process_held_is_free_again(tmp_path: Path) -> None:
    results = Results(tmp_path, {})
    code = "import sys, time; from pathlib import Path; from tv2tv_core.evaluate.results import Results; "
    code += "claim = Results(Path(sys.argv[1]), {}).claim('a'); print(claim is not None, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline().strip() == "True"
        assert results.claim("a") is None and results.claim("b") is not None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert results.claim("a") is not None
