"""Where a backbone's weights are on this machine, if they are. Torch-free leaf.

Looks at files and at what is installed; opens no weights, imports no optional
package and never uses the network. Whether the bytes are right is checked by
``download.fetch`` and ``weights.load_state``.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from search.backbones.catalogue import chosen
from search.backbones.info import BackboneInfo, Preprocessing
from search.backbones.timm_names import EXTRA, HUB, is_timm, timm_version
from search.space.spec import WeightsFile, WeightsSpec

DEMO = "pip install 'finetune-search[demo]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Weights that are there."""

    name: str
    """Of the catalogue."""
    path: Path | None
    """Absolute; None where the source is random."""
    sha256: str
    """The first hex digits that the file's sha256 must have; all 64 for packaged
    weights and timm's, empty where nothing is known (a file of the user's, also one
    that was put among the downloads by hand, or random)."""
    preprocessing: Preprocessing
    """How an image becomes the input of these weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Weights that are not there."""

    name: str
    reason: str
    """A fact, e.g. ``resnet50: no weights on this machine (looked in ...)``."""
    fix: str
    """What to type instead."""
    fetchable: bool = False
    """A download is all that is lacking."""


def locate(
    name: str, spec: WeightsSpec, cache: Path, *, env: Mapping[str, str] = os.environ
) -> Located | Missing:
    """Find the weights that a backbone starts from.

    Order: ``weights.files``; nothing where the source is random; the package
    that ships them; our cache folder; the cache folder of torch.hub, or for a
    name of timm's that of Hugging Face's hub.

    Args:
        name: A name of the catalogue.
        spec: What the space file says under ``weights``.
        cache: Our cache folder; weights are in its ``weights/``.
        env: For ``TORCH_HOME``, ``HF_HUB_CACHE``, ``HF_HOME`` and ``XDG_CACHE_HOME``.
    """
    info = chosen(name, spec)
    if info.library == "timm":
        without = _without_timm(name)
        if without:
            fix = EXTRA if is_timm(name) else DEMO
            return Missing(name=name, reason=f"{name}: {without}", fix=fix)
    own = dict(spec.files).get(name)
    if own is not None:
        return _local(info, own)
    if spec.source == "random":
        return Located(name=name, path=None, sha256="", preprocessing=info.preprocessing)
    if info.packaged is not None:
        return _packaged(info)
    if not info.url:
        return Missing(
            name=name,
            reason=f"{name}: there are no safetensors of it to download",
            fix=f"weights: {{files: {{{name}: FILE.safetensors}}}}, or another tag",
        )
    return find_downloaded(info, cache, env=env)


def find_downloaded(
    info: BackboneInfo, cache: Path, *, env: Mapping[str, str] = os.environ
) -> Located | Missing:
    """Weights that were downloaded before, by us, by torchvision or by timm.

    Our own folder comes first: what we put there was verified, and it is where a
    good copy lands when the one elsewhere turns out to be damaged.
    """
    paths = [weights_folder(cache) / file_name(info), torch_hub(env) / file_name(info)]
    if is_timm(info.name):
        paths[1:] = _hub_files(info, env)
    for path in paths:
        if path.is_file():
            return Located(
                name=info.name,
                path=path,
                sha256=info.sha256_prefix or _stated(path),
                preprocessing=info.preprocessing,
            )
    other = hugging_face_hub(env) if is_timm(info.name) else torch_hub(env)
    return Missing(
        name=info.name,
        reason=f"{info.name}: {file_name(info)} is neither in {paths[0].parent} nor in {other}",
        fix="search weights fetch SPACE (needs internet), or weights: {unavailable: skip}",
        fetchable=True,
    )


def file_name(info: BackboneInfo) -> str:
    """The last part of the download's address, e.g. ``resnet50-11ad3fa6.pth``; of timm's,
    which are all called alike there, the model's name: ``resnet18.a1_in1k.safetensors``."""
    if is_timm(info.name):
        return f"{info.library_name}.safetensors"
    return info.url.rsplit("/", 1)[1]


def digest_file(path: Path) -> Path:
    """Where the sha256 of a downloaded file is kept that its name does not have."""
    return path.with_name(f"{path.name}.sha256")


def _stated(path: Path) -> str:
    """The sha256 that the hub stated of a file, as we kept it, or as the hub's own cache
    calls the file that a link leads to; empty where neither does."""
    with suppress(OSError):
        return digest_file(path).read_text("ascii", errors="replace").strip()[:64]
    blob = path.resolve().name
    return blob if re.fullmatch("[0-9a-f]{64}", blob) else ""


def weights_folder(cache: Path) -> Path:
    """Where our own downloads are."""
    return cache.absolute() / "weights"


def torch_hub(env: Mapping[str, str] = os.environ) -> Path:
    """Where torchvision keeps its downloads.

    Source: ``torch.hub.get_dir``, without importing torch.
    """
    caches = env.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(env.get("TORCH_HOME", f"{caches}/torch"))
    return Path(os.path.expanduser(home)).absolute() / "hub" / "checkpoints"


def hugging_face_hub(env: Mapping[str, str] = os.environ) -> Path:
    """Where timm keeps its downloads.

    Source: ``huggingface_hub.constants.HF_HUB_CACHE``, without importing it.
    """
    caches = env.get("XDG_CACHE_HOME", "~/.cache")
    home = env.get("HF_HOME", f"{caches}/huggingface")
    return Path(os.path.expanduser(env.get("HF_HUB_CACHE", f"{home}/hub"))).absolute()


def _hub_files(info: BackboneInfo, env: Mapping[str, str]) -> list[Path]:
    """The file of every revision that is there, e.g. in
    ``models--timm--resnet18.a1_in1k/snapshots/491b427b.../model.safetensors``; first that
    of the one which timm itself would load."""
    hub, _, file = info.url.removeprefix(f"{HUB}/").partition("/resolve/main/")
    folder = hugging_face_hub(env) / f"models--{hub.replace('/', '--')}"
    found = sorted((folder / "snapshots").glob(f"*/{file}"))
    main = ""
    with suppress(OSError):
        main = (folder / "refs" / "main").read_text("ascii", errors="replace").strip()
    return sorted(found, key=lambda path: path.relative_to(folder).parts[1] != main)


def _local(info: BackboneInfo, own: WeightsFile) -> Located | Missing:
    # Not Path.expanduser: that raises where ~ is of a user that there is not.
    path = Path(os.path.expanduser(own.file)).absolute()
    try:
        wrong = "" if path.is_file() else "is no file"
    except OSError as error:  # a folder above that is closed to us, or a name that is too long
        wrong = f"cannot be read: {(error.strerror or str(error)).lower()}"
    if wrong:
        return Missing(
            name=info.name,
            reason=f"{info.name}: weights.files names {own.file}, but {path} {wrong}",
            fix="a relative path starts at the current folder",
        )
    known = info.preprocessing
    return Located(
        name=info.name,
        path=path,
        sha256="",
        preprocessing=replace(known, mean=own.mean or known.mean, std=own.std or known.std),
    )


def _packaged(info: BackboneInfo) -> Located | Missing:
    packaged = info.packaged
    assert packaged is not None
    spec = importlib.util.find_spec(packaged.module)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    for folder in folders:
        path = Path(folder).absolute() / packaged.file
        if path.is_file():
            return Located(
                name=info.name,
                path=path,
                sha256=packaged.sha256,
                preprocessing=info.preprocessing,
            )
    return Missing(
        name=info.name,
        reason=f"{info.name}: the package {packaged.module} is not installed",
        fix=DEMO,
    )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _without_timm(name: str) -> str:
    """Why a backbone of timm's cannot be built here; empty where it can. A name of timm's
    stands for what the tested timm has under it: an older one may not."""
    if not _installed("timm"):
        return "timm is not installed"
    if not is_timm(name):
        return ""
    try:
        tested, found = timm_version(), version("timm")
    except PackageNotFoundError:  # a checkout in the path: of no known version
        return ""
    if _numbers(found) < _numbers(tested):
        return f"timm {found} is installed, {tested} or newer is needed"
    return ""


def _numbers(release: str) -> tuple[int, ...]:
    """Its first three, e.g. (1, 0, 31) of ``1.0.31.dev0``."""
    return tuple(int(digits) for digits in re.findall(r"\d+", release)[:3])
