"""All settings of a trial: what a space file is checked against. Torch-free leaf.

One file a theme. To add a setting: a row in its theme's file, a field in
``training/config.py``, the line in ``training/`` that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from search.space.settings import Setting
from search.training.settings.augmentation import AUGMENTATION
from search.training.settings.core import CORE
from search.training.settings.finetuning import FINETUNING
from search.training.settings.head import HEAD_SETTINGS
from search.training.settings.losses import LOSS_SETTINGS
from search.training.settings.optimisation import OPTIMISATION
from search.training.settings.regularisation import REGULARISATION

THEMES: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {
        "core": CORE,
        "finetuning": FINETUNING,
        "optimisation": OPTIMISATION,
        "head": HEAD_SETTINGS,
        "losses": LOSS_SETTINGS,
        "augmentation": AUGMENTATION,
        "regularisation": REGULARISATION,
    }
)
"""Rows by theme, in the order in which they are shown."""

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {setting.name: setting for rows in THEMES.values() for setting in rows}
)
"""Rows by name."""
