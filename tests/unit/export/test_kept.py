"""What was said of the test set comes back exactly, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.export.kept import Seen, asked, keep, recall

FOUND_NK = np.array([[0.25, 0.75], [1 / 3, 2 / 3], [0.0, 1.0]], dtype=np.float32)
IDENTITY = {"fingerprint": "f" * 64, "mean": (0.5, 0.25)}
SEEN = Seen(said_NK=FOUND_NK, about={"device": "cpu"})


def _refuse() -> Seen:
    raise AssertionError("the test set was opened")


def test_what_was_kept_comes_back_to_the_bit(tmp_path: Path) -> None:
    keep(tmp_path / "test", "trial-00004", IDENTITY, SEEN)
    folders = (tmp_path / "none", tmp_path / "test")
    seen = asked(folders, "trial-00004", IDENTITY, _refuse, shape=(3, 2))
    assert np.array_equal(seen.said_NK, FOUND_NK)
    assert seen.said_NK.dtype == np.float32
    assert seen.about == {"device": "cpu"}


def test_values_far_from_0_keep_their_digits(tmp_path: Path) -> None:
    values_N1 = np.array([[1.7e9 + 0.125], [1.7e9 + 0.25]])
    keep(tmp_path, "probe", IDENTITY, Seen(said_NK=values_N1, about={}))
    seen = recall([tmp_path], "probe", IDENTITY, shape=(2, 1))
    assert seen is not None
    assert seen.said_NK.tolist() == values_N1.tolist()


@pytest.mark.parametrize(
    ("name", "identity", "shape"),
    [
        pytest.param("trial-00005", IDENTITY, (3, 2), id="another_trial"),
        pytest.param("trial-00004", {**IDENTITY, "mean": (0.5, 0.5)}, (3, 2), id="other_settings"),
        pytest.param("trial-00004", IDENTITY, (2, 3), id="another_shape"),
    ],
)
def test_what_is_of_another_model_is_not_used(
    tmp_path: Path, name: str, identity: dict[str, object], shape: tuple[int, int]
) -> None:
    keep(tmp_path, "trial-00004", IDENTITY, SEEN)
    assert recall([tmp_path], name, identity, shape=shape) is None


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npy", "json"])
def test_no_flipped_or_missing_byte_goes_unnoticed(tmp_path: Path, ending: str) -> None:
    keep(tmp_path, "probe", IDENTITY, SEEN)
    file = tmp_path / f"probe.{ending}"
    good = file.read_bytes()
    for place in range(len(good)):
        for bad in (
            good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :],
            good[:place],
        ):
            file.write_bytes(bad)
            assert recall([tmp_path], "probe", IDENTITY, shape=(3, 2)) is None
    file.write_bytes(b"[1, 2]")
    assert recall([tmp_path], "probe", IDENTITY, shape=(3, 2)) is None


def test_without_a_folder_or_without_room_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folders in ((), (tmp_path / "file",)):
        assert asked(folders, "probe", IDENTITY, lambda: SEEN, shape=(3, 2)) is SEEN
