"""Resizing a ViT's position embedding."""

from __future__ import annotations

import pytest
import torch

from search.backbones.positions import grid, resized


@pytest.mark.parametrize(
    ("tokens", "side"),
    [(2, 1), (197, 14), (5, 2), (1, None), (0, None), (198, None)],
)
def test_the_grid_is_the_root_of_all_tokens_but_one(tokens: int, side: int | None) -> None:
    assert grid(tokens) == side


def test_a_fitting_embedding_is_passed_through() -> None:
    positions = torch.randn(1, 10, 4)
    assert resized(positions, 10) is positions


def test_a_linear_ramp_keeps_its_corners_and_its_centre() -> None:
    ramp = torch.linspace(0.0, 1.0, 5).repeat(5, 1).reshape(1, 25, 1)
    positions = torch.cat([torch.full((1, 1, 1), 9.0), ramp], dim=1)
    got = resized(positions, 1 + 9 * 9)
    assert got.shape == (1, 82, 1)
    assert got[0, 0, 0] == 9.0
    rows = got[0, 1:, 0].reshape(9, 9)
    torch.testing.assert_close(rows[:, [0, 4, 8]], torch.tensor([[0.0, 0.5, 1.0]]).repeat(9, 1))
    assert (rows.diff(dim=1) > 0).all()


def test_no_square_is_refused() -> None:
    with pytest.raises(ValueError, match="12 or 10 tokens"):
        resized(torch.zeros(1, 12, 4), 10)
