"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A change is judged by what it changed, not by what is drawn that day. `make faults` draws anew.
settings.register_profile("the_same_each_time", derandomize=True)
settings.load_profile("the_same_each_time")
