"""Pretrained backbones: what there is, where their weights are, how they are built.

``info``, ``catalogue``, ``availability`` and ``download`` are torch-free;
``layout``, ``stages``, ``files`` and ``weights`` build and load.
"""
