"""Files of weights that a space names and that are not there, found in a moment.

Looks at what is there and opens no weights; the preparation of a run reads them.
What is refused here would be refused there too, with the same status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search.problems import Exit, Problem, SearchError

if TYPE_CHECKING:
    from search.space.load import Loaded


def why_absent(loaded: Loaded, env: Mapping[str, str]) -> SearchError | None:
    """What ``weights.files`` names for the space's backbones and is not there.

    Args:
        loaded: The checked space.
        env: For the cache folder.

    Returns:
        None where nothing is missing, or the space goes on without
        (``unavailable: skip`` and another backbone); else Exit.MISSING.
    """
    from search.backbones.availability import Missing, locate
    from search.cli.choices import backbones_of
    from search.cli.paths import cache_folder

    spec = loaded.spec
    named = {name for name, _ in spec.weights.files}
    names = backbones_of(spec.space)
    if not named.intersection(names):
        return None
    cache = cache_folder(env, spec.cache.dir)
    problems = [
        Problem(fact=found.reason, fix=found.fix, place=loaded.weights_files.get(name))
        for name in names
        if name in named
        and isinstance(found := locate(name, spec.weights, cache, env=env), Missing)
    ]
    skipped = spec.weights.unavailable == "skip" and len(problems) < len(names)
    return None if skipped or not problems else SearchError(problems, Exit.MISSING)
