"""A space file as a checked, frozen value. Pure: no torch, ray or optuna."""

from search.space.load import Loaded, load
from search.space.overrides import Override
from search.space.spec import StudySpec

__all__ = ["Loaded", "Override", "StudySpec", "load"]
