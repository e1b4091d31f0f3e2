"""Pretrained backbones: what there is, where their weights are, how they are built.

``info``, ``catalogue``, ``arguments``, ``availability`` and ``download`` are
torch-free; ``layout``, ``construct``, ``stages``, ``files`` and ``weights`` build
and load.
"""
