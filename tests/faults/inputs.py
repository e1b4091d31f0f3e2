"""S4, S5 and S7 with the real command: bad images, names that escape, a password left behind."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

from tests.faults.place import Place
from tests.faults.row import Row

DATA = 3
"""Exit status for what is wrong with images."""


def bad_images(folder: Path) -> Row:
    """One bad image of every kind among good ones; then the same without them."""
    began = time.monotonic()
    place = Place(folder)
    good = (folder / "images" / "red" / "000.png").read_bytes()
    secret = folder / "secret.png"
    secret.write_bytes(good)
    kinds = {
        "empty.png": b"",
        "truncated.png": good[: len(good) * 2 // 3],
        "header-only.png": good[:40],
        "text.png": b"not an image\n",
        "html.jpg": b"<html><script>alert(1)</script></html>",
        "pickle.png": b"\x80\x04\x95\x10\x00\x00\x00",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "bomb.png": _bomb(),
        "flipped.png": good[:60] + bytes([good[60] ^ 255]) + good[61:],
    }
    for name, content in kinds.items():
        (folder / "images" / "green" / name).write_bytes(content)
    start = place.run()
    status = start.wait()
    said = start.error_text
    found = [name for name in kinds if name in said]
    faults = [f"{name} is not listed" for name in kinds if name not in said]
    if status != DATA or "Traceback" in said:
        faults.append(f"exit {status}: {said[-400:]}")
    if (place.study / "trials").exists():
        faults.append("a trial was started")
    for name in kinds:
        (folder / "images" / "green" / name).unlink()
    link = folder / "images" / "green" / "link-out.png"
    link.symlink_to(secret)
    outside = place.run()
    if outside.wait() == DATA and link.name in outside.error_text:
        found.append(link.name)
    else:
        faults.append(f"a link out of the folder: {outside.error_text[-400:]}")
    return Row(
        id="S4",
        fault="bad images in a real run: empty, truncated, text, bomb, link out",
        promise="found before the first trial and listed",
        tried=len(kinds) + 1,
        survived=len(found) if not faults else len(kinds) + 1 - len(faults),
        figures=f"found {len(found)}/{len(kinds) + 1}",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


ESCAPES = (
    *("../up", "..", ".", "a/b", "/tmp/x", ".hidden", "-flag", "a b", "a\nb", "é", "x" * 65),
    *("~", "$HOME", "a\\b", "a:b", "C:\\x", "a|b", "%2e%2e", "''"),
)
"""Study names that would be another folder, or that no shell or page takes as they are."""


def escapes(folder: Path) -> Row:
    """Study names, entries of a manifest and links that lead out."""
    began = time.monotonic()
    place = Place(folder)
    faults = []
    for name in ESCAPES:
        start = place.start("run", "tiny.yaml", f"--name={name}")
        status = start.wait()
        if status != 2 or "Traceback" in start.error_text:
            faults.append(f"--name={name!r}: exit {status}: {start.error_text[-300:]}")
    entries = ("../secret.png", str(folder / "secret.png"), "images/../../secret.png")
    (folder / "secret.png").write_bytes((folder / "images" / "red" / "000.png").read_bytes())
    manifests = folder / "manifests"
    manifests.mkdir()
    for entry in entries:
        (manifests / "list.csv").write_text(f"path,label\n{entry},red\n", encoding="utf-8")
        start = place.start("run", "tiny.yaml", "--data", "manifests/list.csv")
        status = start.wait()
        if status != DATA or "Traceback" in start.error_text:
            faults.append(f"manifest {entry}: exit {status}: {start.error_text[-300:]}")
    made = sorted(each.name for each in place.study.parent.glob("*") if each.is_dir())
    if made:
        faults.append(f"folders were made: {made}")
    tried = len(ESCAPES) + len(entries)
    return Row(
        id="S5",
        fault="study names and manifest entries that lead out, in real runs",
        promise="refused",
        tried=tried,
        survived=tried - len(faults),
        figures=f"escapes {len(faults)}/{tried}",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _bomb() -> bytes:
    """A PNG header that promises 400 megapixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum32 = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum32)

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def passwords_left(place: Place, password: str, since: float) -> Row:
    """Look for the database's password in all that runs on PostgreSQL left behind.

    Args:
        place: Where the command ran with it.
        password: Of the database.
        since: When the first run there began, seconds since the epoch.
    """
    began = time.monotonic()
    wanted = password.encode()
    sessions = [
        path
        for path in Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray").glob("session_2*")
        if path.is_dir() and path.stat().st_mtime >= since
    ]
    files = 0
    found = []
    for root in [place.folder, *sessions]:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix != ".u8":
                try:
                    content = path.read_bytes()
                except OSError:  # gone meanwhile
                    continue
                files += 1
                if wanted in content:
                    found.append(f"{path} holds the password")
    return Row(
        id="S7",
        fault="a password in the storage URL (runs on PostgreSQL, what they left)",
        promise="*** in every output, log, pickle and page",
        tried=files or 1,
        survived=files - len(found),
        figures=f"found {len(found)} in {files} files, also in {len(sessions)} sessions of Ray",
        faults=tuple(found[:20]),
        seconds=time.monotonic() - began,
    )
