"""Ray Tune without the libraries for tables that it imports and that nothing here uses.

``import ray.tune`` imports pandas and Ray Data: 55 MB and a second of CPU, in the
command and once more in the process that workers are forks of. While it is imported it
needs of both no more than names of classes, for annotations. So they are put off until
something of them is really asked for. Tune itself does that where it saves its state: it
teaches pickle about data sets of Ray Data, of which a trial of ours never has one.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext, suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PUT_OFF = ("pandas", "ray.data")
_TEACHING = "out_of_band_serialize_dataset"


class _Later(ModuleType):
    """Stands for a library: first with empty classes of any name, then with its own."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self._open = True

    def close(self) -> None:
        """From now on, what is asked for is imported."""
        self._open = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks of any module
            raise AttributeError(f"{self.__name__} has no {name} yet")
        if self._open:
            return type(name, (), {})
        return getattr(importlib.import_module(self.__name__), name)


def import_tune() -> None:
    """Import ``ray.tune``; what is imported of it later finds it there."""
    if "ray.tune" in sys.modules:
        return
    stands = {name: _Later(name) for name in _PUT_OFF if name not in sys.modules}
    sys.modules.update(stands)
    try:
        with suppress(Exception):  # a Ray that needs more of them gets them, below
            importlib.import_module("ray.tune")
    finally:
        for name, stand in stands.items():
            stand.close()
            if sys.modules.get(name) is stand:
                del sys.modules[name]
    importlib.import_module("ray.tune")
    state = sys.modules.get("ray.tune.execution.experiment_state")
    if hasattr(state, _TEACHING):
        setattr(state, _TEACHING, nullcontext)
