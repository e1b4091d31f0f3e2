"""A library's model cut into parts that one tensor passes between.

The model's own ``forward`` is recorded call by call (torch.fx), without looking into
the modules that it calls. Wherever a single value is all that later calls need, the
record can be cut; the parts in between run exactly the recorded calls, so that all of
them in a row are the model. Nothing is stored in the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from operator import attrgetter
from typing import Any

from torch import Tensor, fx, nn


class CannotSplit(ValueError):
    """Why a model does not fall into blocks; a fact about it."""


class Part:
    """Recorded calls between two cuts: a step of a block."""

    def __init__(self, model: nn.Module, source: fx.Node, nodes: tuple[fx.Node, ...]) -> None:
        self._model = model
        self._source = source
        self._nodes = nodes
        self._calls: dict[fx.Node, nn.Module] = {
            node: model.get_submodule(str(node.target))
            for node in nodes
            if node.op == "call_module"
        }
        self.roots: dict[str, nn.Module] = {
            str(node.target): module for node, module in self._calls.items()
        }
        """The modules that it calls, by their names in the model."""
        self.loose = tuple(
            dict.fromkeys(str(node.target) for node in nodes if node.op == "get_attr")
        )
        """Parameters and buffers that it reads itself."""

    def __call__(self, x: Tensor) -> Tensor:
        values: dict[fx.Node, Any] = {self._source: x}
        result: Any = x
        for node in self._nodes:
            if node.op == "get_attr":
                result = attrgetter(str(node.target))(self._model)
            else:
                args: Any = fx.node.map_arg(node.args, values.__getitem__)
                kwargs: Any = fx.node.map_arg(node.kwargs, values.__getitem__)
                if node.op == "call_module":
                    result = self._calls[node](*args, **kwargs)
                elif node.op == "call_method":
                    result = getattr(args[0], str(node.target))(*args[1:], **kwargs)
                else:
                    assert callable(node.target)
                    result = node.target(*args, **kwargs)
            values[node] = result
        assert isinstance(result, Tensor)
        return result

    @property
    def single(self) -> nn.Module | None:
        """The module, where the part is nothing but a call of it with one tensor."""
        if len(self._nodes) != 1 or len(self._calls) != 1:
            return None
        (node,) = self._nodes
        return self._calls[node] if node.args == (self._source,) and not node.kwargs else None

    def holds_tensors(self) -> bool:
        """Whether it has parameters or buffers."""
        return bool(self.loose) or any(module.state_dict() for module in self.roots.values())


def parts_of(model: nn.Module, opened: Collection[str], closed: str) -> list[Part]:
    """The model's forward pass as the smallest parts, in order.

    Args:
        model: In eval mode, on any device; nothing is computed.
        opened: Names of modules to look into, besides every plain ``Sequential``.
        closed: The name of one that is not looked into, whatever it is.

    Raises:
        CannotSplit: If its forward pass cannot be recorded.
    """
    before = set(vars(model))
    try:
        graph = _Outside(opened, closed).trace(model, _defaults(model))
    except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
        # torch.fx.proxy.TraceError is a ValueError.
        fact = " ".join(str(error).split())[:80]
        raise CannotSplit(f"what its forward pass does depends on the images ({fact})") from error
    finally:
        constants = set(vars(model)) - before
        for name in constants:
            delattr(model, name)
    if constants:
        raise CannotSplit("its blocks share values that are made outside of them")
    nodes = _needed(graph)
    if not nodes or nodes[0].op != "placeholder":
        raise CannotSplit("it takes no images")
    if any(node.op == "placeholder" for node in nodes[1:]):
        raise CannotSplit("it takes more than images")
    return _cut(model, nodes)


class _Outside(fx.Tracer):
    proxy_buffer_attributes = True

    def __init__(self, opened: Collection[str], closed: str) -> None:
        super().__init__()
        self._closed = closed
        self._opened = frozenset(opened)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name == self._closed:
            return True
        in_a_row = type(m).forward is nn.Sequential.forward
        return not in_a_row and module_qualified_name not in self._opened


def _defaults(model: nn.Module) -> dict[str, Any]:
    """All arguments of ``forward`` but the first, as they are where nobody gives them."""
    given = list(inspect.signature(model.forward).parameters.values())[1:]
    return {each.name: each.default for each in given if each.default is not each.empty}


def _needed(graph: fx.Graph) -> list[fx.Node]:
    """What the output is made from, in order: no checks of shapes and of arguments."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    wanted: set[fx.Node] = set()
    left = [output]
    while left:
        node = left.pop()
        if node not in wanted:
            wanted.add(node)
            left += node.all_input_nodes
    return [node for node in graph.nodes if node in wanted and node is not output]


def _cut(model: nn.Module, nodes: list[fx.Node]) -> list[Part]:
    """Cut behind every value that is all of what came before that is needed after it.

    What does not depend on the images (a rotary embedding, say) is made again in each
    part that needs it, so that it is in nobody's way.
    """
    free: set[fx.Node] = set()
    for node in nodes[1:]:
        if all(each in free for each in node.all_input_nodes):
            free.add(node)
    bound = [node for node in nodes if node not in free]
    place = {node: index for index, node in enumerate(bound)}
    last = {node: max((place.get(user, -1) for user in node.users), default=-1) for node in bound}
    last[bound[-1]] = len(bound)
    found: list[Part] = []
    source, start = bound[0], 1
    live: set[fx.Node] = {source}
    for index, node in enumerate(bound[1:], start=1):
        live = {each for each in live if last[each] > index}
        if last[node] > index:
            live.add(node)
        if live == {node}:
            run = bound[start : index + 1]
            wanted = _behind(run, free)
            inside = wanted | set(run)
            found.append(Part(model, source, tuple(each for each in nodes if each in inside)))
            source, start = node, index + 1
    return found


def _behind(run: list[fx.Node], free: set[fx.Node]) -> set[fx.Node]:
    """The nodes of ``free`` that a run needs, and those that they need."""
    wanted: set[fx.Node] = set()
    left = [each for node in run for each in node.all_input_nodes if each in free]
    while left:
        node = left.pop()
        if node not in wanted:
            wanted.add(node)
            left += node.all_input_nodes
    return wanted
