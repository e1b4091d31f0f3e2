"""Fine-tuning search: from a folder of labelled images and a space file to a model.

The line through the house, one typed hop each: ``space`` (YAML -> StudySpec),
``study`` (the record), ``tuning`` (Ray executes), ``training`` (one trial),
``export`` (the model folder). ``cli`` wires them. Nothing is imported here, so
that ``search --help`` stays light.
"""

__version__ = "0.1.0"
