"""The ``search`` command: what a person types, sees and pipes.

``main.py`` names the commands; everything that a command needs is imported
inside it, so that ``--help``, ``plan`` and ``status`` import neither torch nor
ray. Facts go to stdout, progress and problems to stderr.
"""
