"""An exported folder as something that labels images, or gives them values.

Needs that folder and nothing else of a study. Images go through the same
decoding, geometry and chunks as the trial's own validation, so that the figures
recorded with the model are met on the same kind of device: the test's exactly,
validation's but for the rounding of frozen blocks (``activations: float16``), which
belongs to training and is not part of a model that the library loads. Nothing in
the folder can run code; whatever is wrong with it is a SearchError.
N images, K classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.backbones.availability import DEMO
from search.backbones.catalogue import CATALOGUE
from search.backbones.timm_names import EXTRA, is_timm
from search.data.folder import SUFFIXES
from search.data.store import decoded_side
from search.export.contents import INFO_FILE, WEIGHTS_FILE, ModelInfo
from search.export.pixels import squares
from search.export.reading import damaged, read_info
from search.problems import Exit, Problem, SearchError, fail
from search.training.config import SETTINGS

if TYPE_CHECKING:
    from search.backbones.stages import Staged


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model says about one image."""

    path: Path
    """As it was named, or the folder that was named with the rest behind it."""
    label: str = ""
    """The likeliest class; empty where there is an error, and for other tasks."""
    probability: float = 0.0
    """Of that class; 0 where there is an error."""
    probabilities: tuple[float, ...] = ()
    """Of all classes in the order of the labels; empty where there is an error."""
    error: str = ""
    """Why the image could not be read; empty when it was."""
    labels: tuple[str, ...] = ()
    """Of several classes an image: those at or above their threshold."""
    value: float | None = None
    """Of a regression, in its unit."""


class Predictor:
    """A model out of an exported folder. Made by :meth:`open`."""

    def __init__(self, folder: Path, info: ModelInfo, staged: Staged, device: str) -> None:
        self.folder = folder
        self.info = info
        self.device = device
        self._staged = staged

    @classmethod
    def open(cls, folder: Path, *, device: str = "auto") -> Predictor:
        """Load the model of an exported folder.

        Args:
            folder: As ``search export`` wrote it.
            device: ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.

        Raises:
            SearchError: If the folder is missing, is no export, is damaged or
                of a newer format (exit 2), or its library is not installed (69).
        """
        if not folder.is_dir():
            raise fail(
                f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}",
                fix="name the folder that search export wrote",
            )
        info, sha256 = read_info(folder / INFO_FILE)
        _check_architecture(folder / INFO_FILE, info)
        import torch

        chosen = device_of(device)
        staged = _load(folder / WEIGHTS_FILE, info, sha256)
        staged.to(torch.device(chosen), memory_format=torch.channels_last)
        return cls(folder, info, staged, chosen)

    def predict(
        self, paths: Sequence[Path], *, progress: Callable[[int, int], None] | None = None
    ) -> list[Prediction]:
        """Label images; folders are searched for images, also below.

        Args:
            paths: Images and folders.
            progress: Called with how many images are decoded, of how many.

        Returns:
            One entry an image, in the order of ``paths`` and by name within a
            folder. An image that cannot be read has an ``error``.

        Raises:
            SearchError: If a path does not exist or a folder holds no image;
                then nothing is predicted.
        """
        files = expand(paths)
        said_NK, errors = self.said(files, progress=progress)
        return [
            Prediction(path=path, error=errors[row])
            if row in errors
            else prediction(self.info, path, tuple(float(value) for value in said_NK[row]))
            for row, path in enumerate(files)
        ]

    def said(
        self,
        files: Sequence[Path],
        *,
        progress: Callable[[int, int], None] | None = None,
        answered: Callable[[int, int], None] | None = None,
    ) -> tuple[NDArray[np.floating], dict[int, str]]:
        """What the model says of image files.

        Args:
            files: Of images.
            progress: Called with how many are decoded, of how many.
            answered: The same of those that the model has said something of, or that
                cannot be read.

        Returns:
            Float32 probabilities [N, K], or float64 values [N, 1], and reasons by row of
            what could not be read (what is said of that is NaN).
        """
        import torch

        from search.training.predict import predict_probabilities
        from search.training.prefix import chunk_size
        from search.training.readout import Readout

        at_once = chunk_size(torch.device(self.device))  # what goes through together anyway
        image_size, preprocessing = self.info.architecture.image_size, self.info.preprocessing
        learns = self.info.learns
        readout = Readout(task=learns.task, scale=learns.scale)
        dtype = np.float64 if learns.task == "regression" else np.float32
        result = np.full((len(files), self.info.outputs), np.nan, dtype=dtype)
        errors: dict[int, str] = {}
        for some in squares(
            files,
            side=decoded_side(image_size),
            interpolation=preprocessing.interpolation,
            progress=lambda done: None if progress is None else progress(done, len(files)),
        ):
            errors.update(some.errors)
            for start in range(0, len(some.rows), at_once):
                chosen = np.arange(start, min(start + at_once, len(some.rows)))
                result[[some.rows[each] for each in chosen]] = predict_probabilities(
                    self._staged,
                    some.images,
                    preprocessing=preprocessing,
                    image_size=image_size,
                    device=self.device,
                    rows=chosen,
                    readout=readout,
                )
                if answered is not None:
                    answered(some.rows[chosen[-1]] + 1, len(files))
            if answered is not None and some.unread_last:
                answered(some.errors[-1][0] + 1, len(files))
        return result, errors


def prediction(info: ModelInfo, path: Path, said_K: tuple[float, ...]) -> Prediction:
    """What a model of a task says of one image, decided."""
    if info.learns.task == "regression":
        return Prediction(path=path, value=said_K[0])
    if info.learns.task == "multilabel":
        rows = zip(info.labels, said_K, info.learns.thresholds, strict=True)
        return Prediction(
            path=path,
            probabilities=said_K,
            labels=tuple(label for label, said, threshold in rows if said >= threshold),
        )
    best = max(range(len(said_K)), key=said_K.__getitem__)  # the first of equals
    return Prediction(
        path=path, label=info.labels[best], probability=said_K[best], probabilities=said_K
    )


def device_of(wanted: str) -> str:
    """``cpu`` or ``cuda``; for ``auto`` a GPU where there is one."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def expand(paths: Sequence[Path]) -> list[Path]:
    """The image files that paths name: files as they are, folders searched.

    In folders, files are told by their endings; hidden files and folders, and
    folders behind links, are passed over.

    Raises:
        SearchError: With all paths that do not exist or hold no image.
    """
    files: list[Path] = []
    problems = []
    for path in paths:
        found = _inside(path) if path.is_dir() else [path]
        if not os.path.lexists(path):
            problems.append(Problem(fact=f"{path}: no such file or folder"))
        elif not found:
            endings = ", ".join(sorted(SUFFIXES))
            problems.append(
                Problem(fact=f"{path}: no image in it", fix=f"files that end in {endings}")
            )
        files += found
    if problems:
        raise SearchError(problems)
    return files


def exit_status(predictions: Sequence[Prediction]) -> Exit:
    """DATA where an image could not be read, else DONE."""
    return Exit.DATA if any(each.error for each in predictions) else Exit.DONE


def _inside(folder: Path) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(root, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return sorted(found)


def _check_architecture(path: Path, info: ModelInfo) -> None:
    """Refuse what this version cannot build, before anything is allocated."""
    architecture = info.architecture
    known = CATALOGUE.get(architecture.backbone)
    if known is None:
        raise fail(
            f"{path}: backbone {architecture.backbone!r} is not in this version's catalogue",
            fix="pip install --upgrade finetune-search",
        )
    if (known.library, known.library_name) != (architecture.library, architecture.library_name):
        raise damaged(path, f"{architecture.backbone} is not {architecture.library_name}")
    largest = SETTINGS["image_size"].high or 0
    size = architecture.image_size
    if size > largest or not known.size.accepts(size):
        raise damaged(path, f"{known.name} does not take image_size {size}")
    if known.library == "timm":
        from importlib.util import find_spec

        if find_spec("timm") is None:
            raise fail(
                f"{path}: {known.name} needs timm, which is not installed",
                fix=EXTRA if is_timm(known.name) else DEMO,
                status=Exit.MISSING,
            )


def _load(path: Path, info: ModelInfo, sha256: str) -> Staged:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from search.backbones.arguments import constructor_arguments
    from search.backbones.stages import restore
    from search.export.model_folder import file_sha256

    architecture = info.architecture
    size, classes = architecture.image_size, info.outputs
    wanted = constructor_arguments(architecture.backbone, classes=classes, image_size=size)
    if dict(architecture.arguments) != wanted:
        raise damaged(path.parent / INFO_FILE, f"the architecture's arguments are not {wanted}")
    if not path.is_file():
        raise damaged(path, "no such file")
    if file_sha256(path) != sha256:
        raise damaged(path, f"its sha256 is not the one in {INFO_FILE}")
    try:
        return restore(
            architecture.backbone,
            classes=classes,
            image_size=size,
            state=load_file(path),
            head=architecture.head,
        )
    except (SafetensorError, ValueError) as error:
        raise damaged(path, str(error)) from error
