"""One fully resolved trial: what a sampled point becomes. Torch-free leaf.

One spelling everywhere: YAML key = field = Optuna parameter. The settings with
their ranges, defaults and meanings are in ``settings/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from search.space.settings import Setting, Value
from search.space.spec import ActivationType
from search.training.settings import SETTINGS
from search.training.settings.core import OWN_SIZE, POLICIES

__all__ = ["OWN_SIZE", "POLICIES", "SETTINGS", "TrialConfig", "settings_of", "trial_config"]


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
    finetune: str = "partial"
    head_epochs: int = 1
    unfreeze_every: int = 1
    batch_norm: str = "frozen"
    layer_decay: float = 1.0
    head: str = "linear"
    head_hidden: int = 0
    head_init: str = "random"
    optimiser: str = "adamw"
    momentum: float = 0.9
    lr_schedule: str = "cosine"
    step_epochs: int = 0
    step_factor: float = 0.1
    clip_norm: float = 0.0
    micro_batch: int = 0
    l1: float = 0.0
    ema: float = 0.0
    loss: str = "auto"
    focal_gamma: float = 2.0
    huber_delta: float = 1.0
    class_imbalance: str = "none"
    randaugment_operations: int = 2
    randaugment_magnitude: int = 9
    rotation: int = -1
    scale: int = -1
    crop: int = -1
    flip: str = "policy"
    colour: int = -1
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    stochastic_depth: float = -1.0

    @property
    def at_once(self) -> int:
        """Images that go through the model together where memory allows, 1..batch_size."""
        return min(self.micro_batch or self.batch_size, self.batch_size)


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
    values = {name: _typed(row, point.get(name, row.default)) for name, row in SETTINGS.items()}
    values["image_size"] = values["image_size"] or own_size[str(values["backbone"])]
    drawn = values["augmentation"] != "none"
    values["views"] = (values["views"] or epochs) if drawn else 1
    return TrialConfig(
        **values,  # type: ignore[arg-type]  # a row's kind is its field's type: a test compares
        epochs=epochs,
        seed=seed,
        augmentation_seed=augmentation_seed,
        activations=activations,
    )


def _typed(row: Setting, value: Value) -> Value:
    """A value as its field's type: YAML and Optuna may give 1 for 1.0."""
    if row.kind == "int":
        return int(value)
    return float(value) if row.kind == "float" else value


def settings_of(config: TrialConfig) -> dict[str, Value]:
    """The settings of a config by name, resolved, in the order of SETTINGS."""
    known = {field.name for field in fields(config)}
    return {name: getattr(config, name) for name in SETTINGS if name in known}
