"""The text of a space file, or a helpful word about why there is none. Reads one file."""

from __future__ import annotations

from pathlib import Path

from search.problems import SearchError, did_you_mean, fail
from search.space.nodes import short

LARGEST_READ = 1_000_000
"""Bytes; a space file is a page of text, and ``load`` refuses less than this."""


def given(space: Path | None, command: str) -> Path:
    """The SPACE argument, or a SearchError that lists the spaces at hand."""
    if space is not None:
        return space
    there = at_hand(Path("spaces"))
    raise fail(
        f"search {command} needs a space file",
        fix=f"search {command} {there[0]}" + _others(there[1:])
        if there
        else f"search {command} SPACE.yaml (how to write one: docs/space.md)",
    )


def read_text(path: Path) -> str:
    """The text of a space file.

    Raises:
        SearchError: When it is not there, a folder, not readable or not UTF-8;
            exit status 2.
    """
    from search.space.reader import decode

    return decode(read_bytes(path), file=str(path))


def read_bytes(path: Path) -> bytes:
    """The start of a space file, more than the longest that is read.

    Raises:
        SearchError: When it is not there, a folder or not readable; exit status 2.
    """
    try:
        if path.is_dir():
            raise _not_a_file(path)
        if path.is_fifo() and not str(path).startswith(("/dev/", "/proc/")):
            # A named pipe would be waited for without end; <(...) is one of /dev/fd.
            raise fail(f"{path}: a named pipe, not a space file", fix="name a .yaml file")
        with path.open("rb") as file:
            return file.read(LARGEST_READ)
    except FileNotFoundError:
        raise _not_found(path) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise fail(f"{short(str(path), 200)}: cannot be read: {reason}") from None
    except ValueError:  # a NUL in the name
        raise fail(f"{path}: no such file") from None


def _not_found(path: Path) -> SearchError:
    nearby = [*at_hand(path.parent), *at_hand(Path("spaces"))]
    names = {found.name: found for found in reversed(nearby)}
    wanted = path.stem if path.suffix in {".yaml", ".yml"} else path.name
    stems = {name.removesuffix(found.suffix): found for name, found in names.items()}
    near = did_you_mean(wanted, stems)
    if near:
        return fail(f"{path}: no such file", fix=f"did you mean {stems[near]}?")
    return fail(f"{path}: no such file", fix=_one_of(list(dict.fromkeys(nearby))))


def _not_a_file(path: Path) -> SearchError:
    inside = at_hand(path)
    if inside:
        return fail(f"{path}: a folder, not a space file", fix=_one_of(inside))
    return fail(
        f"{path}: a folder, not a space file",
        fix=f"spaces/vision.yaml --data {path}" if any(_folders(path)) else "name a .yaml file",
    )


def _one_of(paths: list[Path]) -> str:
    return f"one of: {', '.join(map(str, paths))}" if paths else ""


def _others(paths: list[Path]) -> str:
    return f" (or {', '.join(map(str, paths))})" if paths else ""


def at_hand(folder: Path) -> list[Path]:
    """The YAML files of a folder, sorted; none when it cannot be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in {".yaml", ".yml"})
    except (OSError, ValueError):
        return []


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except OSError:
        return []
