"""``timm:NAME`` without timm: known, refused, found, fetched, typed in a space file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from search.backbones import availability
from search.backbones.availability import Located, Missing, file_name, locate
from search.backbones.catalogue import CATALOGUE, blocks_of, sizes, tags
from search.backbones.download import check, fetch
from search.backbones.timm_names import timm_names
from search.problems import Exit, SearchError
from search.space.load import load
from search.space.overrides import Override
from search.space.spec import StudySpec, WeightsFile, WeightsSpec
from search.training.config import SETTINGS

NAME = "timm:resnet18.a1_in1k"


def space(text: str, *overrides: Override) -> StudySpec:
    return load(
        f"data: {{path: photos}}\n{text}",
        file="s.yaml",
        settings=SETTINGS,
        sizes=sizes(),
        tags=tags(),
        overrides=overrides,
        env={},
    ).spec


def problem(text: str) -> str:
    with pytest.raises(SearchError) as raised:
        space(text)
    (only,) = raised.value.problems
    return f"{only.fact} | {only.fix}"


def test_hundreds_of_names_are_known_but_not_listed_among_ours() -> None:
    names = list(timm_names())
    assert len(names) == len(set(names)) > 900
    assert NAME in names
    assert not any(name.startswith("timm:") for name in CATALOGUE)
    assert NAME in CATALOGUE
    assert "timm:no_such_net" not in CATALOGUE


def test_every_name_has_a_row_of_its_own_and_safetensors_or_nothing() -> None:
    for name in timm_names():
        row = CATALOGUE[name]
        assert (row.name, row.library) == (name, "timm")
        assert row.size.accepts(row.size.default), name
        assert row.parameters > 0
        assert all(0 < deviation <= 1 for deviation in row.preprocessing.std)
        assert row.url == "" or (
            row.url.startswith("https://huggingface.co/") and row.url.endswith(".safetensors")
        )
        assert len(blocks_of(name)) == 5
        assert "/" not in file_name(row)


def test_a_name_without_a_tag_stands_for_the_usual_weights() -> None:
    usual = CATALOGUE["timm:resnet18"]
    assert usual.library_name == CATALOGUE[NAME].library_name == "resnet18.a1_in1k"
    assert usual.url == (
        "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    )
    assert CATALOGUE["timm:resnet18.tv_in1k"].preprocessing.interpolation == "bilinear"
    assert CATALOGUE["timm:resnet18.a3_in1k"].size.default == 160


def test_size_rules() -> None:
    assert sizes()["timm:resnet18"].accepts(33)
    vit = sizes()["timm:vit_small_patch14_dinov2"]
    assert (vit.default, vit.accepts(224), vit.accepts(225)) == (518, True, False)
    swin = sizes()["timm:swin_tiny_patch4_window7_224"]
    assert (swin.accepts(224), swin.accepts(256), swin.nearest(512)) == (True, False, 224)


def test_in_a_space_it_is_typed_as_it_is() -> None:
    spec = space(
        "space:\n"
        f"  backbone: [resnet50, {NAME}, timm:test_vit]\n"
        "  lr:\n"
        f"    - {{float: [1e-5, 1e-3], log: true, when: {{backbone: {NAME}}}}}\n"
        "    - {float: [1e-4, 1e-2], log: true}\n"
        f"weights: {{files: {{{NAME}: own.safetensors}}}}\n"
        f"first: [{{backbone: {NAME}, lr: 1e-4}}]\n"
    )
    (branch,) = spec.space["backbone"].branches
    assert branch.domain.choices == ("resnet50", NAME, "timm:test_vit")  # type: ignore[union-attr]
    assert spec.weights.files == ((NAME, WeightsFile(file="own.safetensors")),)


@pytest.mark.parametrize("text", [NAME, f"[{NAME}, resnet18]", f"{{choice: [{NAME}]}}"])
def test_it_can_be_set_on_the_command_line(text: str) -> None:
    override = Override(path="space.backbone", text=text, flag=f"--set space.backbone={text}")
    assert "backbone" in space("", override).space


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "fact"),
    [
        pytest.param(
            "space: {backbone: timm:resnet188}",
            "timm:resnet188 cannot be used: timm 1.0.31 has no model of that name | timm:resnet18",
            id="unknown",
        ),
        pytest.param(
            "space: {backbone: timm:resnet18.a9_in1k}",
            "timm:resnet18.a9_in1k cannot be used: timm 1.0.31 has no model of that name | one of "
            "timm:resnet18.a1_in1k",
            id="tag",
        ),
        pytest.param(
            "space: {backbone: [resnet18, timm:levit_128]}",
            "timm:levit_128 cannot be used: it has 2 heads | search backbones 'timm:*'",
            id="two_heads",
        ),
        pytest.param(
            "space: {backbone: timm:swin_tiny_patch4_window7_224, image_size: 160}",
            "cannot take 160, only 224 | 0 for each backbone's own size",
            id="size",
        ),
        pytest.param(
            "weights: {files: {timm:nothing: a.safetensors}}",
            "weights.files: timm:nothing cannot be used",
            id="weights",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(text: str, fact: str) -> None:
    assert fact in problem(text + "\n")


def test_without_timm_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_installed", lambda module: False)
    missing = locate(NAME, WeightsSpec(), tmp_path)
    assert isinstance(missing, Missing)
    assert missing.reason == f"{NAME}: timm is not installed"
    assert missing.fix == "pip install 'finetune-search[timm]'"
    assert not missing.fetchable
    with pytest.raises(SearchError, match="timm is not installed") as raised:
        fetch(NAME, WeightsSpec(), tmp_path, lambda name, done, total: None)
    assert raised.value.status is Exit.MISSING


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        pytest.param("1.0.20", "timm 1.0.20 is installed, 1.0.31 or newer is needed", id="too_old"),
        pytest.param("1.0.31", "", id="tested"),
        pytest.param("1.1.0.dev0", "", id="newer"),
    ],
)
def test_an_older_timm_than_the_names_are_of_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, reason: str
) -> None:
    monkeypatch.setattr(availability, "version", lambda module: installed)
    found = locate(NAME, WeightsSpec(source="random"), tmp_path)
    if reason:
        assert isinstance(found, Missing)
        assert found.reason == f"{NAME}: {reason}"
        assert found.fix == "pip install 'finetune-search[timm]'"
    else:
        assert isinstance(found, Located)
    lite = locate("efficientnet_lite0", WeightsSpec(), tmp_path)
    assert isinstance(lite, Located)


def test_a_timm_of_no_known_version_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(module: str) -> str:
        raise PackageNotFoundError(module)  # what a checkout in the path gives

    monkeypatch.setattr(availability, "version", unknown)
    assert isinstance(locate(NAME, WeightsSpec(source="random"), tmp_path), Located)


def test_weights_are_found_where_we_and_where_timm_put_them(tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "hf")}
    nowhere = locate(NAME, WeightsSpec(), tmp_path, env=env)
    assert isinstance(nowhere, Missing)
    assert str(tmp_path / "hf" / "hub") in nowhere.reason
    folder = tmp_path / "hf" / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "491b42"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"theirs")
    found = locate(NAME, WeightsSpec(), tmp_path, env=env)
    assert isinstance(found, Located)
    assert found.path == folder / "model.safetensors"
    ours = tmp_path / "weights" / "resnet18.a1_in1k.safetensors"
    ours.parent.mkdir()
    ours.write_bytes(b"ours")
    found = locate(NAME, WeightsSpec(), tmp_path, env=env)
    assert isinstance(found, Located)
    assert found.path == ours


def test_of_several_revisions_of_the_hub_the_one_is_taken_that_timm_would_load(
    tmp_path: Path,
) -> None:
    env = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    hub = tmp_path / "hub" / "models--timm--resnet18.a1_in1k"
    digest = hashlib.sha256(b"b").hexdigest()
    for revision in "abc":
        (hub / "snapshots" / revision).mkdir(parents=True)
    for revision in "ac":
        (hub / "snapshots" / revision / "model.safetensors").write_bytes(b"another")
    (hub / "blobs").mkdir()
    (hub / "blobs" / digest).write_bytes(b"b")
    link = hub / "snapshots" / "b" / "model.safetensors"
    link.symlink_to(Path("../../blobs") / digest)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("b")
    found = locate(NAME, WeightsSpec(), tmp_path, env=env)
    assert isinstance(found, Located)
    assert (found.path, found.sha256) == (link, digest)
    check(found)
    link.unlink()
    found = locate(NAME, WeightsSpec(), tmp_path, env=env)
    assert isinstance(found, Located)
    assert (found.path, found.sha256) == (hub / "snapshots" / "a" / "model.safetensors", "")


@pytest.mark.slow
def test_looking_up_a_name_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys\n"
        "from search.backbones.catalogue import CATALOGUE, sizes\n"
        f"CATALOGUE[{NAME!r}]; sizes()['timm:levit_128']\n"
        "print(sorted({'torch', 'timm', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
