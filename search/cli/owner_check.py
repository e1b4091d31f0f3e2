"""Whether a study's folder holds the models of another study, before a run is refused for it.

Looks at the folder, and where there is one at the record; the words are those of the run.
"""

from __future__ import annotations

import os

from search.cli.paths import study_folder
from search.problems import Exit, SearchError
from search.space.spec import StudySpec


def why_anothers(spec: StudySpec) -> SearchError | None:
    """What a run would say of a folder that is another study's; None where it would not."""
    folder = study_folder(spec.checkpoints.dir, spec.name)
    if not os.path.isdir(folder):
        return None
    from search.study.views import find
    from search.tuning.belonging import refuse_anothers

    try:
        refuse_anothers(folder, spec.name, find(spec.storage, spec.name), storage=spec.storage)
    except SearchError as error:
        if error.status is Exit.CONFLICT:
            return error
        # A record that cannot be read is no matter of a plan; the run waits for it and says so.
    return None
