"""The text of a manifest, or a word about why it is none. Reads one file."""

from __future__ import annotations

import codecs
import shlex
from pathlib import Path

from search.problems import Exit, fail


def read_text(manifest: Path) -> str:
    """The file's text, without a byte order mark.

    Raises:
        SearchError: Exit.DATA, if it cannot be read or is not UTF-8.
    """
    try:
        content = manifest.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise fail(
            f"{manifest} cannot be read: {reason}",
            fix="check data.manifest; it starts at the current folder",
            status=Exit.DATA,
        ) from error
    if _is_utf16(content):
        raise fail(
            f"{manifest} is UTF-16 text (what Excel saves as Unicode Text), not UTF-8",
            fix='in Excel: Save As, "CSV UTF-8 (Comma delimited)"; elsewhere: '
            f"iconv -f UTF-16 -t UTF-8 {shlex.quote(manifest.name)} | tr '\\t' , > utf8.csv",
            status=Exit.DATA,
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail(
            f"{manifest}: line {line} is not UTF-8",
            fix=f"iconv -f LATIN1 -t UTF-8 {manifest.name}",
            status=Exit.DATA,
        ) from error


def _is_utf16(content: bytes) -> bool:
    """By its mark, or because every second byte of its start is 0."""
    start = content[:200]
    return start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or any(
        len(half) > 3 and not any(half) for half in (start[::2], start[1::2])
    )
