"""A backbone as five blocks and a new head, under the library's own names.

:func:`build` gives a :class:`Staged`: the library's model with its last linear
layer replaced, seen as stem, four stages and head. ``Staged.model.state_dict()``
has the library's names and loads strictly into the library's own constructor
called with ``arguments.constructor_arguments``; with ``head: mlp``, after the
layer called ``head_name`` was replaced by ``heads.empty_head``'s ``Sequential``.

Promises: ``staged(x)`` equals ``staged.model(x)`` to the last bit in eval mode;
every tensor of the model belongs to exactly one block or to the head; building
leaves the global random state as it was and never touches the caller's tensors.
Shapes: B batch, C channels, H height, W width, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.backbones.arguments import LINEAR, HeadSpec
from search.backbones.block import Block
from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import construct, loadable, skeleton
from search.backbones.heads import empty_head, first_layer, last_layer, new_head
from search.backbones.layout import layout
from search.backbones.positions import POSITIONS, resized
from search.backbones.steps import Layout
from search.backbones.timm_weights import TIMM_POSITIONS, timm_resized

BLOCKS = ("stem", "stage1", "stage2", "stage3", "stage4")
"""Names of the five blocks, from the image on."""

HEAD = "head"
"""What :meth:`Staged.owners` calls the new head."""


class Staged:
    """A model as five blocks, pooling and a head. See the module's docstring."""

    def __init__(self, name: str, model: nn.Module, plan: Layout, dropout: float) -> None:
        self.name = name
        self.model = model
        """The library's own module, with the new head."""
        self.dropout = dropout
        """Probability of dropping a pooled feature in front of the head."""
        prefixes = {module: prefix for prefix, module in model.named_modules()}
        kept = model.state_dict().keys()
        self.blocks = tuple(
            Block(
                block,
                steps,
                model,
                plan.loose if block == "stem" else (),
                prefixes=prefixes,
                kept=kept,
            )
            for block, steps in zip(BLOCKS, plan.blocks, strict=True)
        )
        self._pool = plan.pool
        self._after = plan.after
        self.head_name = plan.head
        """Name of the head in the model, e.g. ``classifier.6``."""
        self._training = False
        self._depth: int | None = None
        """Of the last :meth:`set_mode`."""
        self._owners: dict[str, str] | None = None
        self.model.eval()

    @property
    def top(self) -> nn.Module:
        """The new head: a linear layer, or several layers (``head: mlp``)."""
        return self.model.get_submodule(self.head_name)

    @property
    def linear(self) -> nn.Linear | nn.Conv2d:
        """The new last layer; SqueezeNet's is a 1 x 1 convolution."""
        return last_layer(self.top)

    @property
    def features(self) -> int:
        """F, what :meth:`pool` gives for each image."""
        return first_layer(self.top).weight.shape[1]

    @property
    def classes(self) -> int:
        """K, what :meth:`head` gives for each image."""
        return self.linear.weight.shape[0]

    def pool(self, features: Tensor) -> Tensor:
        """From stage 4's output to features_BF (SqueezeNet's stay BFHW)."""
        for step in self._pool:
            features = step(features)
        return features

    def head(self, pooled_BF: Tensor) -> Tensor:
        """Dropout (in training mode) and the head's layers, and what the library puts
        after them: logits_BK."""
        dropped_BF = functional.dropout(pooled_BF, self.dropout, training=self._training)
        logits_BK: Tensor = self.top(dropped_BF)
        for step in self._after:
            logits_BK = step(logits_BK)
        return logits_BK

    def forward_blocks(self, x: Tensor, start: int = 0, stop: int = len(BLOCKS)) -> Tensor:
        """Run the blocks ``start`` to ``stop - 1``: 0 is the stem, 4 is stage 4."""
        for block in self.blocks[start:stop]:
            x = block(x)
        return x

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits_BK of normalised images."""
        return self.head(self.pool(self.forward_blocks(images_BCHW)))

    __call__ = forward

    def trained_blocks(self, depth: int) -> tuple[Block, ...]:
        """The last ``depth`` blocks, in the order of the forward pass; 0 gives none."""
        if not 0 <= depth <= len(BLOCKS):
            raise ValueError(f"need 0 <= depth <= {len(BLOCKS)}, got {depth=}")
        return self.blocks[len(BLOCKS) - depth :]

    def set_mode(self, depth: int, training: bool) -> None:
        """Freeze all but the head and the last ``depth`` blocks.

        Frozen blocks are in eval mode and need no gradient. The others need
        one, and are in training mode where ``training``, as is the dropout in
        front of the head. Can be called again with another depth.
        """
        trained = self.trained_blocks(depth)
        if depth != self._depth:
            self.model.eval().requires_grad_(False)
            self.top.requires_grad_(True)
            for block in trained:
                for parameter in block.parameters():
                    parameter.requires_grad_(True)
        self.top.train(training)
        for block in trained:
            block.train(mode=training)
        self._training = training
        self._depth = depth

    def to(
        self,
        device: torch.device | str | None = None,
        memory_format: torch.memory_format | None = None,
    ) -> Staged:
        """Move the model, as ``nn.Module.to`` does; returns itself."""
        if device is not None and torch.device(device) != next(self.parameters()).device:
            self.model.to(device=device)
        if memory_format is not None:
            self.model.to(memory_format=memory_format)
        return self

    def tensor(self, name: str) -> Tensor:
        """The parameter or buffer of a name in ``model.state_dict()``, itself."""
        found: Tensor = attrgetter(name)(self.model)
        return found

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, frozen ones included."""
        return self.model.parameters()

    def owners(self) -> dict[str, str]:
        """For each name of ``model.state_dict()`` its block, or ``head``."""
        if self._owners is None:
            owners = {n: block.name for block in self.blocks for n, _ in block.named_tensors()}
            head = {f"{self.head_name}.{name}": HEAD for name, _ in self.top.named_parameters()}
            self._owners = owners | head
        return dict(self._owners)


def build(
    name: str,
    *,
    classes: int,
    image_size: int,
    dropout: float,
    state: Mapping[str, Tensor] | None,
    seed: int,
    body_seed: int = 0,
    trained: int = len(BLOCKS),
    head: HeadSpec = LINEAR,
) -> Staged:
    """A backbone with a new head, in eval mode, on the CPU, in float32.

    Args:
        name: A name of the catalogue.
        classes: Number of outputs of the new head, >= 1.
        image_size: Side of the square input in pixels; the backbone takes it.
        dropout: Probability of dropping a feature in front of the head, and a
            hidden unit of an ``mlp``, [0, 1).
        state: The body's tensors under the library's names, as
            ``weights.load_state`` gives them; a head among them is ignored.
            A ViT's position embedding is resized where needed. None initialises
            the body at random.
        seed: Of the new head.
        body_seed: Of a random body, which depends on (name, image_size,
            body_seed) alone: all trials of a study start from the same one, as
            they do from pretrained weights.
        trained: How many blocks, counted from the head, will be changed, 0..5.
            Their tensors are copied; the other blocks share ``state``'s.
        head: Which kind of head.

    Raises:
        ValueError: If the backbone does not take ``image_size``, or ``state``
            lacks a tensor of the body, or has a shape that does not fit.
    """
    info = CATALOGUE[name]
    if not info.size.accepts(image_size):
        raise ValueError(f"{name} does not take {image_size=}: {info.size}")
    if classes < 1 or not 0.0 <= dropout < 1.0:
        raise ValueError(f"need classes >= 1 and 0 <= dropout < 1, got {classes=}, {dropout=}")
    if state is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(body_seed)
            model = construct(name, classes=1000, image_size=image_size)
    else:
        model = skeleton(name, classes=1000, image_size=image_size)
    plan = layout(name, model)
    old = model.get_submodule(plan.head)
    top = new_head(old, classes=classes, spec=head, dropout=dropout, seed=seed)
    model.set_submodule(plan.head, top)
    staged = Staged(name, model, plan, dropout)
    if state is not None:
        mine = {f"{plan.head}.{name}": tensor for name, tensor in top.named_parameters()}
        frozen = set(BLOCKS[: len(BLOCKS) - trained])
        shared = {tensor for tensor, block in staged.owners().items() if block in frozen}
        _assign(model, _copied(state, model, image_size, shared) | mine)
    return staged


def restore(
    name: str,
    *,
    classes: int,
    image_size: int,
    state: Mapping[str, Tensor],
    head: HeadSpec = LINEAR,
) -> Staged:
    """A trained model again, head included, exactly as its state dict says.

    Args:
        state: All tensors of ``Staged.model.state_dict()`` of a model that was
            built with the same name, classes, image size and head. They are copied.
        head: Which kind of head.

    Raises:
        ValueError: If a tensor is missing, unknown or of another shape.
    """
    model = skeleton(name, classes=classes, image_size=image_size)
    plan = layout(name, model)
    old = model.get_submodule(plan.head)
    model.set_submodule(plan.head, empty_head(old, classes=classes, spec=head, dropout=0.0))
    _assign(model, _copied(state, model, image_size=None, shared=()))
    return Staged(name, model, layout(name, model), dropout=0.0)


def _copied(
    state: Mapping[str, Tensor],
    model: nn.Module,
    image_size: int | None,
    shared: Collection[str],
) -> dict[str, Tensor]:
    """Contiguous copies in the model's types, those that are shared apart; positions
    resized to the model's grid."""
    wanted = model.state_dict()
    types = {name: wanted[name].dtype if name in wanted else state[name].dtype for name in state}
    copies = {
        name: tensor.detach().to(dtype=types[name])
        if name in shared
        else tensor.detach().to(dtype=types[name], memory_format=torch.contiguous_format, copy=True)
        for name, tensor in state.items()
    }
    if image_size is not None and POSITIONS in copies:
        copies[POSITIONS] = resized(copies[POSITIONS], wanted[POSITIONS].shape[1])
    if image_size is not None and TIMM_POSITIONS in copies and TIMM_POSITIONS in wanted:
        copies[TIMM_POSITIONS] = timm_resized(copies[TIMM_POSITIONS], model)
    return copies


def _assign(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors in place of those of a skeleton; all of them, and no others."""
    try:
        model.load_state_dict(loadable(tensors), strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
