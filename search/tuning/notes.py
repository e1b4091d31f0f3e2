"""What workers want a person to know, as events of the run."""

from __future__ import annotations

from search.tuning.events import Note
from search.tuning.job import Told

STORED = "what frozen blocks put out is computed once and stored"


class Notes:
    """Lets through each topic of the shared stores once in a run.

    Every worker finds for itself what is wrong with them, in whichever trial comes
    first: the first worker's words are said. What was measured to decide whether
    storing pays is kept with the trial; that it does is said, once.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def new(self, number: int, told: Told) -> list[Note]:
        """What is to be said after a report of trial ``number``."""
        texts = [f"trial {number}: {text}" for text in told.notes]
        for text in told.store_notes:
            topic = text.partition(": ")[0]
            if topic not in self._said:
                self._said.add(topic)
                texts.append(text)
        if told.stores and STORED not in self._said:
            self._said.add(STORED)
            texts.append(STORED)
        return [Note(text=text) for text in texts]
