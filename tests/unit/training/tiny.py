"""The settings of a tiny trial."""

from search.training.config import TrialConfig

CONFIG = TrialConfig(
    backbone="mobilenet_v3_small",
    image_size=32,
    unfreeze_depth=1,
    lr=3e-3,
    backbone_lr_scale=0.1,
    dropout=0.2,
    weight_decay=1e-2,
    label_smoothing=0.1,
    warmup=0.1,
    augmentation="light",
    views=3,
    batch_size=8,
    epochs=3,
    seed=1,
    augmentation_seed=2,
)
