"""The execution: Ray starts trials, ASHA stops them, the recorder is told.

The only home of ray. The study database is the truth; Ray's own experiment
state is thrown away after each run.
"""
