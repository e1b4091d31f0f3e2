"""Files that belong to a trial: where they are, and how the dashboard finds them.

The files lie in the study's folder, under names that a person can read:

    studies/NAME/artifacts/00007/curves.png

The storage holds no file, but for each its name and an id (Optuna's own format), set
in the transaction that settles the trial. The id follows from study, trial and
name: settling a trial again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from search.study.owner import UUID, owner_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

FOLDERS = "folders"
"""Attribute of a study: absolute paths of all folders that it lived in, the latest last."""
ARTIFACTS = "artifacts"
"""Where in the folder of a study the files of its trials are."""
NAMES = (
    "curves.png",
    "confusion_matrix.png",
    "worst_errors.png",
    "curves.json",
    "confusion_matrix.json",
    "worst_errors.json",
    "predictions.png",
    "predictions.json",
)
"""The files that a trial can have, as they are shown. Their places are in ids that are
stored: add at the end."""
_PREFIX = "artifacts:"
"""Of Optuna's system attributes that describe an artifact."""
_TYPES = {".png": "image/png", ".json": "application/json"}
_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{8})-([0-9a-f]{2})")


def artifact_folder(study_folder: Path, number: int) -> Path:
    """Where the files of a trial are."""
    return study_folder / ARTIFACTS / f"{number:05d}"


def described(study: str, number: int, names: Iterable[str]) -> dict[str, str]:
    """The system attributes that make files known to Optuna and its dashboard.

    Args:
        study: Its name.
        number: Of the trial.
        names: Of its files, each one of NAMES.
    """
    rows = {}
    for name in names:
        key = f"{_hash(study)}-{number:08x}-{NAMES.index(name):02x}"
        rows[_PREFIX + key] = json.dumps(
            {
                "artifact_id": key,
                "filename": name,
                "mimetype": _TYPES[Path(name).suffix],
                "encoding": None,
            }
        )
    return rows


class StudyFiles:
    """Optuna's artifact store over the folders of all studies of a storage. Reads alone.

    Args:
        storage: That knows the studies' folders.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """A file by its id.

        Raises:
            ArtifactNotFound: If there is none on this machine.
        """
        from optuna.artifacts.exceptions import ArtifactNotFound

        found = _ID.fullmatch(artifact_id)
        if found is None or int(found[3], 16) >= len(NAMES):
            raise ArtifactNotFound(artifact_id)
        number, name = int(found[2], 16), NAMES[int(found[3], 16)]
        for study in self._storage.get_all_studies():
            if _hash(study.study_name) == found[1]:
                for folder in reversed(study.user_attrs.get(FOLDERS, [])):
                    file = artifact_folder(Path(folder), number) / name
                    owner = owner_of(Path(folder))
                    own = owner is None or owner.uuid == study.user_attrs.get(UUID)
                    if own and file.is_file():
                        return file.open("rb")
        raise ArtifactNotFound(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refused: a run writes its files itself."""
        raise PermissionError("the dashboard is read-only")

    def remove(self, artifact_id: str) -> None:
        """Refused."""
        raise PermissionError("the dashboard is read-only")


def _hash(study: str) -> str:
    return hashlib.sha256(study.encode()).hexdigest()[:16]
