"""What a model said of the test set, kept so that the set stays closed.

Two files for each model: ``NAME.npy``, what it said [N, K], in the precision that
it came in, and ``NAME.json``, whose that is. Those of other images, other weights or another
setting, or ones that are not exactly what was written, are not used: the model
is then asked again, and counted. N images, K classes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.files import write_whole

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A model on the test set."""

    said_NK: NDArray[np.floating]
    """In the table's order; of a regression, values [N, 1]."""
    about: Mapping[str, Any]
    """What else was found out with them; JSON values."""


def asked(
    folders: Sequence[Path],
    name: str,
    identity: Mapping[str, Any],
    ask: Callable[[], Seen],
    *,
    shape: tuple[int, int],
) -> Seen:
    """What a model says of the test set: as it was kept, else by asking it.

    Args:
        folders: Where to look; the first is written to. None keeps nothing.
        name: One word, e.g. ``trial-00004``.
        identity: Everything that what was said depends on; JSON values.
        ask: Opens the test set.
        shape: (N, K).
    """
    seen = recall(folders, name, identity, shape=shape)
    if seen is None:
        seen = ask()
        if folders:
            with suppress(OSError):  # then it is asked, and counted, again
                keep(folders[0], name, identity, seen)
    return seen


def keep(folder: Path, name: str, identity: Mapping[str, Any], seen: Seen) -> None:
    """Write the two files; without the second, the first is not used.

    Args:
        folder: Of the study; made if needed.
        name: One word, e.g. ``trial-00004``.
        identity: Everything that what was said depends on; JSON values.
        seen: What to keep.

    Raises:
        OSError: If it cannot be written.
    """
    content = io.BytesIO()
    np.save(content, seen.said_NK, allow_pickle=False)
    text = json.dumps({"format": _FORMAT, "identity": dict(identity), "about": dict(seen.about)})
    note = {"note": text, "sha256": _digest(text, content.getvalue())}
    write_whole(folder / f"{name}.npy", content.getvalue())
    write_whole(folder / f"{name}.json", json.dumps(note).encode())


def recall(
    folders: Iterable[Path], name: str, identity: Mapping[str, Any], *, shape: tuple[int, int]
) -> Seen | None:
    """What was kept of this very model; None when nothing usable was.

    Args:
        folders: Where to look, first ones first.
        name: As it was kept.
        identity: As it was kept.
        shape: (N, K).
    """
    for folder in folders:
        seen = _read(folder, name, identity)
        if seen is not None and seen.said_NK.shape == shape:
            return seen
    return None


def forget_others(folders: Iterable[Path], names: Iterable[str]) -> None:
    """Delete what is kept of models that are no longer compared."""
    kept = set(names)
    for folder in folders:
        for file in (*folder.glob("*.npy"), *folder.glob("*.json")):
            if file.stem not in kept:
                file.unlink(missing_ok=True)


def _read(folder: Path, name: str, identity: Mapping[str, Any]) -> Seen | None:
    try:
        note = json.loads((folder / f"{name}.json").read_bytes())
        content = (folder / f"{name}.npy").read_bytes()
        text = note["note"]
        if note["sha256"] != _digest(text, content):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # gone or damaged
    written = json.loads(text)  # ours from here on
    if written["format"] != _FORMAT or written["identity"] != json.loads(json.dumps(identity)):
        return None
    found_NK = np.load(io.BytesIO(content), allow_pickle=False)
    return Seen(said_NK=found_NK, about=written["about"])


def _digest(text: str, content: bytes) -> str:
    return hashlib.sha256(text.encode() + b"\0" + content).hexdigest()
