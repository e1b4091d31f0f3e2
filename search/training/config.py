"""The settings of one trial: names, ranges, defaults. Torch-free leaf.

``TrialConfig`` is what a sampled point becomes; ``SETTINGS`` is what a space
file is checked against. One spelling everywhere: YAML key = field = Optuna
parameter. To add a setting: a row in SETTINGS, a field in TrialConfig, the
line in ``training/`` that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from search.space.settings import Setting, Value
from search.space.spec import ActivationType

POLICIES = ("none", "light", "medium", "heavy")
"""Augmentation policies, weakest first."""

OWN_SIZE = 0
"""``image_size`` of 0 means the backbone's own size."""

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            Setting(
                name="backbone",
                kind="backbone",
                default="resnet50",
                meaning="pretrained body, a name of the catalogue",
            ),
            Setting(
                name="image_size",
                kind="int",
                default=OWN_SIZE,
                low=OWN_SIZE,
                high=1024,
                meaning="side of the square input in pixels; 0 is the backbone's own",
            ),
            Setting(
                name="unfreeze_depth",
                kind="int",
                default=1,
                low=0,
                high=5,
                meaning="blocks trained, counted from the head; 0 trains the head alone",
            ),
            Setting(
                name="lr",
                kind="float",
                default=1e-3,
                low=1e-8,
                high=10.0,
                meaning="learning rate of the new head at its peak",
            ),
            Setting(
                name="backbone_lr_scale",
                kind="float",
                default=0.1,
                low=0.0,
                high=10.0,
                meaning="trained blocks learn at lr times this",
            ),
            Setting(
                name="dropout",
                kind="float",
                default=0.2,
                low=0.0,
                high=0.95,
                meaning="probability of dropping a feature before the head",
            ),
            Setting(
                name="weight_decay",
                kind="float",
                default=1e-2,
                low=0.0,
                high=10.0,
                meaning="AdamW's decoupled decay; not applied to norms and biases",
            ),
            Setting(
                name="label_smoothing",
                kind="float",
                default=0.0,
                low=0.0,
                high=0.9,
                meaning="share of each target spread over all classes",
            ),
            Setting(
                name="warmup",
                kind="float",
                default=0.1,
                low=0.0,
                high=0.9,
                meaning="share of all steps in which the rate rises linearly from 0",
            ),
            Setting(
                name="augmentation",
                kind="choice",
                default="light",
                choices=POLICIES,
                meaning="none, light (crop, flip), medium (and rotation, scale, "
                "colour) or heavy (TrivialAugment)",
            ),
            Setting(
                name="views",
                kind="int",
                default=0,
                low=0,
                high=100_000,
                meaning="augmented versions per image; epoch e uses view e mod "
                "views; 0 is one for each epoch",
            ),
            Setting(
                name="batch_size",
                kind="int",
                default=32,
                low=1,
                high=65_536,
                meaning="images per step",
            ),
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """One fully resolved trial. Field names are the YAML names are the DB names.

    The meaning and range of each setting is in SETTINGS; the fields after
    ``batch_size`` come from the study, not from the space.
    """

    backbone: str
    image_size: int
    """Pixels; already resolved, never 0."""
    unfreeze_depth: int
    lr: float
    backbone_lr_scale: float
    dropout: float
    weight_decay: float
    label_smoothing: float
    warmup: float
    augmentation: str
    views: int
    """Already resolved, >= 1; exactly 1 when augmentation is ``none``."""
    batch_size: int
    epochs: int
    """Full training length; the learning-rate schedule ends here."""
    seed: int
    """Initial head, shuffling and dropout: (seed, epoch) determines them."""
    augmentation_seed: int
    """One for the whole study, so that views are shared between trials."""
    activations: ActivationType = "float16"
    """What frozen blocks' output is rounded to; one for the whole study."""


def trial_config(
    point: Mapping[str, Value],
    *,
    own_size: Mapping[str, int],
    epochs: int,
    seed: int,
    augmentation_seed: int,
    activations: ActivationType = "float16",
) -> TrialConfig:
    """The config of a sampled point; settings that are not named get defaults.

    Args:
        point: Active params by name.
        own_size: Default image size by backbone name, pixels.
        epochs: Full training length, >= 1.
        seed: The trial's own seed.
        augmentation_seed: The study's seed for views.

    Raises:
        ValueError: If ``point`` holds a name that is no setting.
        KeyError: If the backbone has no entry in ``own_size``.
    """
    unknown = set(point) - set(SETTINGS)
    if unknown:
        raise ValueError(f"no such setting: {sorted(unknown)}")
    values = {name: point.get(name, row.default) for name, row in SETTINGS.items()}
    backbone = str(values["backbone"])
    augmentation = str(values["augmentation"])
    views = int(values["views"]) or epochs
    return TrialConfig(
        backbone=backbone,
        image_size=int(values["image_size"]) or own_size[backbone],
        unfreeze_depth=int(values["unfreeze_depth"]),
        lr=float(values["lr"]),
        backbone_lr_scale=float(values["backbone_lr_scale"]),
        dropout=float(values["dropout"]),
        weight_decay=float(values["weight_decay"]),
        label_smoothing=float(values["label_smoothing"]),
        warmup=float(values["warmup"]),
        augmentation=augmentation,
        views=1 if augmentation == "none" else views,
        batch_size=int(values["batch_size"]),
        epochs=epochs,
        seed=seed,
        augmentation_seed=augmentation_seed,
        activations=activations,
    )


def settings_of(config: TrialConfig) -> dict[str, Value]:
    """The settings of a config by name, resolved, in the order of SETTINGS."""
    known = {field.name for field in fields(config)}
    return {name: getattr(config, name) for name in SETTINGS if name in known}
