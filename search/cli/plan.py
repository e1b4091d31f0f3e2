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
from search.cli.owner_check import why_anothers
from search.cli.plan_facts import gather
from search.cli.plan_view import plan_lines
from search.cli.space_file import load_space
from search.cli.space_source import given
from search.problems import SearchError


def plan(space: Path | None, flags: SpaceFlags, *, cluster: bool, blocks: bool = False) -> None:
    """The body of the command: the plan on stdout, warnings on stderr after it.

    Raises:
        SearchError: With every problem of the file and the flags; or with what a
            run would refuse of the data, the weights and the study's folder, and its
            status. Nothing is printed then: there is no such run.
    """
    path = given(space, "plan")
    loaded = load_space(path, flags, env=os.environ)
    refused = [each for each in (loaded.refused, why_anothers(loaded.spec)) if each is not None]
    if refused:
        problems = [problem for each in refused for problem in each.problems]
        raise SearchError(problems, refused[0].status)
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
