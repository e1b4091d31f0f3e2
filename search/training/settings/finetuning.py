"""How deep a trial is trained, when, and how fast each block. Torch-free leaf."""

from __future__ import annotations

from search.space.domains import Condition
from search.space.settings import Setting

STRATEGIES = ("partial", "head_then_partial", "gradual")
"""Values of ``finetune``."""
STATISTICS = ("frozen", "train")
"""Values of ``batch_norm``."""
WITHOUT_BATCH_NORM = ("alexnet", "convnext_*", "squeezenet*", "swin_*", "vgg1?", "vit_*")
"""What the names of the catalogue's backbones without it are like; a test compares."""

_DEEP = Condition(param="unfreeze_depth", min=1)

FINETUNING = (
    Setting(
        name="finetune",
        kind="choice",
        default="partial",
        choices=STRATEGIES,
        meaning="when blocks are unfrozen: partial from the start; head_then_partial after the "
        "head alone; gradual one by one, from the head down; unfreeze_depth is where it ends",
        acts=((_DEEP,),),
        source="Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform "
        "Out-of-Distribution, ICLR 2022 (head_then_partial); Howard and Ruder, Universal "
        "Language Model Fine-tuning for Text Classification, ACL 2018 (gradual)",
    ),
    Setting(
        name="head_epochs",
        kind="int",
        default=1,
        low=1,
        high=1_000,
        meaning="epochs in which the head is trained alone, before the blocks",
        unit="epochs",
        acts=((Condition(param="finetune", values=("head_then_partial",)), _DEEP),),
        source="Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform "
        "Out-of-Distribution, ICLR 2022; 1 is fastai's default",
    ),
    Setting(
        name="unfreeze_every",
        kind="int",
        default=1,
        low=1,
        high=1_000,
        meaning="epochs before each further block is unfrozen; the head alone comes first",
        unit="epochs",
        acts=((Condition(param="finetune", values=("gradual",)), _DEEP),),
        source="Howard and Ruder, Universal Language Model Fine-tuning for Text "
        "Classification, ACL 2018",
    ),
    Setting(
        name="batch_norm",
        kind="choice",
        default="frozen",
        choices=STATISTICS,
        meaning="statistics of batch-norm in frozen blocks: frozen with their block, or train: "
        "they move with the images; what those blocks put out is then not stored",
        acts=(
            (Condition(param="unfreeze_depth", max=4),),
            (Condition(param="finetune", values=("head_then_partial", "gradual")),),
        ),
        lacking=WITHOUT_BATCH_NORM,
        condition="the backbone has batch-norm",
        source="Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, "
        "ICLR workshop 2017",
    ),
    Setting(
        name="layer_decay",
        kind="float",
        default=1.0,
        low=0.1,
        high=1.0,
        meaning="each trained block learns at this times the rate of the one nearer to the "
        "head; the last block at lr * backbone_lr_scale; 1 is one rate for all",
        acts=((Condition(param="unfreeze_depth", min=2),),),
        rests=((Condition(param="backbone_lr_scale", values=(0.0,)),),),
        source="Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT, ICLR 2022",
    ),
)
