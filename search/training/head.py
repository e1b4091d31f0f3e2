"""A trial's head as the backbones' room knows it. Torch-free leaf."""

from __future__ import annotations

from search.backbones.arguments import LINEAR, HeadSpec
from search.training.config import TrialConfig


def head_of(config: TrialConfig) -> HeadSpec:
    """Which kind of head a trial trains."""
    return HeadSpec(kind="mlp", hidden=config.head_hidden) if config.head == "mlp" else LINEAR
