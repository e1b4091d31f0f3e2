"""torch without its compiler, which torchvision imports and no model here is compiled by.

``import torchvision`` imports ``torch._dynamo`` for one small function: a second of CPU
and 75 MB (sympy, Inductor, Triton where it is installed), in each process that trains or
predicts. Optimisers then call two more of its functions, to say that they are not to be
compiled. A stand-in has these three. Whoever asks for anything else of the compiler gets
the real one, which takes the stand-in's place.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_HELPERS = "torch._dynamo.utils"


def put_off_compiler() -> None:
    """Have the compiler imported when it is asked for, and not by torchvision. Does nothing
    where it is there already."""
    if _COMPILER in sys.modules:
        return
    sys.modules[_COMPILER] = _Later(
        _COMPILER, {"disable": _disable, "graph_break": _graph_break, "__path__": []}
    )
    sys.modules[_HELPERS] = _Later(_HELPERS, {"is_compile_supported": _is_compile_supported})
    sys.meta_path.insert(0, _Submodules())


def _real() -> ModuleType:
    """The compiler, imported now if it was not."""
    for name in (_COMPILER, _HELPERS):
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]
    return importlib.import_module(_COMPILER)


def _disable(
    fn: Callable[..., Any] | None = None,
    recursive: bool = True,
    *,
    reason: str | None = None,
    wrapping: bool = True,
) -> Callable[..., Any]:
    """The function as it is: nothing is compiled, so it is not either."""
    return fn if fn is not None else lambda fn: fn


def _graph_break(msg: str = "") -> None:
    """Where nothing is compiled there is no graph to break."""


def _is_compile_supported(device_type: str) -> bool:
    _real()
    return bool(sys.modules[_HELPERS].is_compile_supported(device_type))


class _Later(ModuleType):
    """Stands for a module of the compiler until more of it is asked for."""

    def __init__(self, name: str, has: dict[str, Any]) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        vars(self).update(has)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks of any module
            raise AttributeError(f"{self.__name__} has no {name} yet")
        _real()
        return getattr(sys.modules[self.__name__], name)


class _Submodules(MetaPathFinder):
    """Finds modules of a compiler that is only stood for, by importing it first."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{_COMPILER}.") or not isinstance(
            sys.modules.get(_COMPILER), _Later
        ):
            return None
        _real()
        module = importlib.import_module(name)
        return ModuleSpec(name, _There(module, module.__spec__))


class _There(Loader):
    """Gives a module that was loaded in the meantime, as it is."""

    def __init__(self, module: ModuleType, spec: ModuleSpec | None) -> None:
        self._module, self._spec = module, spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
