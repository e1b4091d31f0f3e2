"""Whose the folder of a study is: one small file in it says so, written once.

A name is free in every database, so two databases can have a study of the same name,
and one folder for both: ``checkpoints.dir/NAME``. Each study has a uuid of its own
instead; the folder belongs to the study whose uuid is in it. The record has the uuid
before the file has: a crash between the two is mended by the next run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Container
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy.engine import URL

from search.data.files import publish_first
from search.disk import disk_full
from search.study.storage import parse, sqlite_file

OWNER = "owner.json"
"""In the folder of a study."""
UUID = "uuid"
"""Attribute of a study, made with it: tells it from every other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOwner:
    """A study, as its folder names it."""

    uuid: str
    """Empty where the file is damaged: it is nobody's then."""
    study: str
    """Its name."""
    storage: str
    """Where its record was when it took the folder; for people, without a password."""


def storage_named(url: str) -> str:
    """A storage for people on any machine: no password, no parameters, e.g.
    ``sqlite:////home/me/studies.db`` or ``postgresql://me@host/studies``."""
    file = sqlite_file(url)
    if file is not None:
        return f"sqlite:///{file}"
    parsed = parse(url)
    bare = URL.create(
        "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database
    )
    return bare.render_as_string()


def owner_of(folder: Path) -> FolderOwner | None:
    """The study that a folder belongs to; None where none has taken it."""
    try:
        document = json.loads((folder / OWNER).read_bytes())
        return FolderOwner(**{name: str(document[name]) for name in ("uuid", "study", "storage")})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return FolderOwner(uuid="", study="", storage="")


def take_folder(folder: Path, owner: FolderOwner) -> FolderOwner:
    """Make a folder ``owner``'s, unless it is another's; of several that want it at
    the same time one gets it. The folder is made if needed.

    Returns:
        Whose it is now.

    Raises:
        OSError: If it cannot be written.
    """
    there = owner_of(folder)
    if there is not None:
        return there
    part = folder / f".{OWNER}.{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write((json.dumps(asdict(owner), indent=1) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        publish_first(part, folder / OWNER)
    except OSError as error:
        raise disk_full(error, folder) or error from error
    finally:
        part.unlink(missing_ok=True)
    return owner_of(folder) or owner


def another_name(name: str, taken: Container[str]) -> str:
    """A free name to use instead: ``flowers`` -> ``flowers-2`` -> ``flowers-3``."""
    stem, dash, digits = name.rpartition("-")
    if not (stem and dash and digits.isdecimal() and len(digits) < 6):
        stem, digits = name, "1"
    number = int(digits) + 1
    while (free := f"{stem[:57]}-{number}") in taken:
        number += 1
    return free
