"""A function over many items in processes, one of which may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from search.data.parallel import cores, each

DIE = "__import__('os')._exit(3)"


def died(item: str) -> object:
    return f"died of {item}"


def run(items: list[str], workers: int | None) -> list[object]:
    results = dict(each(eval, items, crashed=died, workers=workers))
    assert sorted(results) == list(range(len(items)))
    return [results[index] for index in range(len(items))]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 1, 2])
def test_every_item_comes_once_with_its_index(workers: int | None) -> None:
    assert run([f"{n} * 2" for n in range(70)], workers) == [n * 2 for n in range(70)]


def test_nothing_to_do_starts_nothing() -> None:
    assert run([], 2) == []


@pytest.mark.slow
def test_an_item_that_kills_its_process_costs_that_item_alone() -> None:
    items = [DIE if n in (3, 21) else str(n) for n in range(40)]
    assert run(items, 2) == [f"died of {DIE}" if n in (3, 21) else n for n in range(40)]


@pytest.mark.slow
def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        run(["1", "1 / 0"], 2)


@pytest.mark.slow
def test_an_iteration_that_is_given_up_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    iteration = each(eval, ["1"] * 40, crashed=died, workers=2)
    next(iteration)
    iteration.close()  # type: ignore[attr-defined]
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.slow
def test_children_end_with_a_parent_that_is_killed() -> None:
    code = (
        "from search.data.parallel import each\n"
        "work = ['__import__(\"time\").sleep(60)'] * 8\n"
        "for _ in each(eval, ['1', *work], crashed=str, workers=2): print('on', flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        children: list[psutil.Process] = []
        while len(children) < 3 and time.monotonic() < deadline:  # 2 and the resource tracker
            children = psutil.Process(parent.pid).children(recursive=True)
            time.sleep(0.05)
        time.sleep(0.3)  # past their imports, so that they watch their parent
        assert len(children) == 3
        os.kill(parent.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert [child.pid for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.slow
def test_where_no_child_can_start_the_work_is_done_here(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # without a guard: importing it starts it again
    script.write_text(
        "from search.data.parallel import each\n"
        "print(sorted(each(eval, ['1 + 1'] * 3, crashed=str, workers=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n") == ["[(0, 2), (1, 2), (2, 2)]", ""]


def test_there_is_a_core() -> None:
    assert cores() >= 1
