"""A folder per class, or train/ val/ test/ with a folder per class inside.

Hidden files and folders do not exist for us. Sub-folders of a class folder are
part of it. A link that leads out of the data folder is refused and listed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from search.data.images import PARTS, Part
from search.data.listing import PART_NAMES, Found, Listing, capped, quantity
from search.problems import Exit, Problem, SearchError, fail

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"]
)
"""File names that are taken for images, in lower case; the content decides later."""


def list_folder(folder: Path) -> Listing:
    """All images below ``folder`` with their classes and, where given, parts.

    Args:
        folder: Absolute.

    Raises:
        SearchError: Exit.DATA, if it is no folder or its layout is none of the two.
    """
    if not folder.exists():
        raise _fail(f"{folder} does not exist", "check data.path; it starts at the current folder")
    if not folder.is_dir():
        raise _fail(
            f"{folder} is a file, not a folder",
            "a folder with a folder per class, or data.manifest: a .csv file",
        )
    root = folder.resolve()
    walk = _Walk(root)
    parts = _parts(root)
    tops: list[tuple[Part | None, Path]]
    if parts:
        tops = [(part, top) for part, top in parts.items()]
    else:
        tops = [(None, root)]
    images: list[Found] = []
    classes: set[str] = set()
    _check_links(root, [top for _, top in tops])
    for part, top in tops:
        for class_folder in _folders(top):
            if not _utf8(class_folder.name):
                raise _fail(
                    f"the class folder {class_folder.name!r} has a name that is not UTF-8",
                    "rename it",
                )
            classes.add(class_folder.name)
            images += [
                Found(path=path, label=class_folder.name, part=part)
                for path in walk.images(class_folder)
            ]
        loose = sum(1 for _ in _files(top, images_only=True))
        if loose and not classes:
            raise _no_classes(top, loose)
        if loose:
            walk.notes.append(
                f"{quantity(loose, 'image')} directly in {top} passed over: in no class folder"
            )
    if not classes:
        raise _fail(f"{root} holds no class folders", f"{root}/<class>/<image>.jpg")
    images.sort(key=lambda image: image.path)
    if parts:
        walk.notes += [
            f"{other} passed over: not one of train, val and test"
            for other in _folders(root)
            if other not in parts.values()
        ]
    return Listing(
        root=root,
        images=tuple(images),
        classes=tuple(sorted(classes)),
        refused=tuple(sorted(walk.refused)),
        notes=(*walk.notes, *walk.others()),
    )


def _parts(root: Path) -> dict[Part, Path]:
    """The folders of the parts, empty when the layout is a folder per class.

    A class may be called ``train``; a folder of that name is a part when it
    holds folders and no images of its own.
    """
    folders = list(_folders(root))
    named = sorted(
        (folder for folder in folders if folder.name.lower() in PART_NAMES),
        key=lambda folder: PARTS.index(PART_NAMES[folder.name.lower()]),
    )
    parts: dict[Part, Path] = {}
    flat: list[tuple[Path, int]] = []
    for folder in named:
        images = sum(1 for _ in _files(folder, images_only=True))
        if images:
            flat.append((folder, images))
        elif any(True for _ in _folders(folder)):
            part = PART_NAMES[folder.name.lower()]
            if part in parts:
                raise _fail(
                    f"{parts[part]} and {folder} are the same part", f"merge them into {part}/"
                )
            parts[part] = folder
    if flat and (parts or len(named) == len(folders)):
        raise _no_classes(*flat[0])
    if not parts:
        return {}
    others = [folder for folder in folders if folder not in named and _has_images(folder)]
    layout = "either a folder per class, or train/, val/ and test/ with a folder per class inside"
    first = next(iter(parts.values()))
    if others and (len(parts) == 1 or "train" not in parts):
        raise _fail(
            f"{root} holds {first.name}/ with class folders, and {others[0].name}/ beside it",
            layout,
        )
    if "train" not in parts:
        raise _fail(f"{root} has no train/ beside {first.name}/", layout)
    return parts


class _Walk:
    """What is met on the way through one root: images, links out, other files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self._passed: Counter[str] = Counter()

    def images(self, folder: Path) -> Iterator[str]:
        """Paths of a class's images relative to the root; sub-folders included."""
        for file in _files(folder, images_only=False):
            if file.suffix.lower() not in SUFFIXES:
                self._passed[file.suffix.lower() or "no suffix"] += 1
            elif not _utf8(str(file)):
                self.refused.append((self._relative(file), "has a name that is not UTF-8"))
            elif file.is_symlink() and self.leads_out(file):
                self.refuse(file)
            else:
                yield self._relative(file)
        for inner in _folders(folder):
            if not inner.is_symlink():
                yield from self.images(inner)
            elif self.leads_out(inner):
                self.refuse(inner)
            else:
                self.notes.append(f"{inner} passed over: a link to another folder of the data")

    def leads_out(self, path: Path) -> bool:
        return leads_out(path, self.root)

    def refuse(self, path: Path) -> None:
        self.refused.append((self._relative(path), "is a link that leads out of the data folder"))

    def others(self) -> Iterator[str]:
        """A note on the files that are no images."""
        if self._passed:
            most = sorted(self._passed.items(), key=lambda item: (-item[1], item[0]))[:5]
            kinds = ", ".join(f"{kind} {n:,}" for kind, n in most)
            yield f"{quantity(self._passed.total(), 'file')} passed over: not images ({kinds})"

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path, its links resolved, lies outside ``root``; a circle of links does."""
    try:
        return not path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        return True


def _folders(folder: Path) -> Iterator[Path]:
    """Visible folders directly inside, sorted; links to folders included."""
    for entry in _entries(folder):
        if os.path.isdir(entry.path):
            yield Path(entry.path)


def _check_links(root: Path, tops: list[Path]) -> None:
    """No class (or part) is missing without a word because its folder is a link.

    Raises:
        SearchError: Exit.DATA, naming every link where a class folder should be
            that leads to nothing or out of the data.
    """
    parts = [path for path in _links_to_nothing(root) if path.name.lower() in PART_NAMES]
    classes = [path for top in tops for path in _links_to_nothing(top)]
    problems = [
        Problem(
            fact=f"{path} is a link to nothing ({os.readlink(path)}), where a class could be",
            fix="mend the link, or remove it",
        )
        for path in dict.fromkeys([*parts, *classes])
    ]
    problems += [
        Problem(
            fact=f"class {path.name!r} would be lost: its folder {path} is a link that leads out "
            f"of the data folder, to {path.resolve()}",
            fix="put the images themselves there, or remove the link",
        )
        for top in tops
        for path in _folders(top)
        if leads_out(path, root)
    ]
    if problems:
        raise SearchError(capped(problems), Exit.DATA)


def _links_to_nothing(folder: Path) -> Iterator[Path]:
    """Visible broken links directly inside whose names are not those of images."""
    for entry in _entries(folder):
        if (
            entry.is_symlink()
            and not os.path.exists(entry.path)
            and os.path.splitext(entry.name)[1].lower() not in SUFFIXES
        ):
            yield Path(entry.path)


def _files(folder: Path, *, images_only: bool) -> Iterator[Path]:
    """Visible files directly inside, sorted; links, even broken ones, included."""
    for entry in _entries(folder):
        if not os.path.isdir(entry.path) and (
            not images_only or os.path.splitext(entry.name)[1].lower() in SUFFIXES
        ):
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda entry: entry.name,
            )
    except OSError as error:
        raise _fail(
            f"{folder} cannot be read: {(error.strerror or str(error)).lower()}",
            f"chmod -R u+rX {folder}",
        ) from error


def _has_images(folder: Path) -> bool:
    return any(True for _ in _files(folder, images_only=True)) or any(
        _has_images(inner) for inner in _folders(folder) if not inner.is_symlink()
    )


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_classes(folder: Path, count: int) -> SearchError:
    return _fail(
        f"{folder} holds {quantity(count, 'image')} but no class folders",
        f"put each class into a folder of its own: {folder}/<class>/<image>, "
        "or name the labels in a .csv (data.manifest)",
    )


def _fail(fact: str, fix: str) -> SearchError:
    return fail(fact, fix=fix, status=Exit.DATA)
