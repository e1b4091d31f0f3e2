"""``search plan``: what a run of a space would do. Reads, and writes nothing.

Neither torch nor ray is imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from search.cli.columns import terminal_width
from search.cli.entry import show_problems
from search.cli.machine import this_machine
from search.cli.options import SpaceFlags
from search.cli.plan_facts import gather
from search.cli.plan_view import plan_lines
from search.cli.space_file import load_space
from search.cli.space_source import given


def plan(space: Path | None, flags: SpaceFlags, *, cluster: bool, blocks: bool = False) -> None:
    """The body of the command: the plan on stdout, warnings on stderr after it.

    Raises:
        SearchError: With every problem of the file and the flags; or with what a
            run would refuse of the data and the weights, and its status. Nothing is
            printed then: there is no such run.
    """
    path = given(space, "plan")
    loaded = load_space(path, flags, env=os.environ)
    if loaded.refused is not None:
        raise loaded.refused
    gathered = gather(
        loaded,
        space=path,
        flags=flags,
        env=os.environ,
        cluster=cluster,
        machine=this_machine(os.environ),
    )
    print("\n".join(plan_lines(gathered, width=terminal_width(), blocks=blocks)))
    sys.stdout.flush()
    if gathered.warnings:
        print(file=sys.stderr)
        show_problems(gathered.warnings)
