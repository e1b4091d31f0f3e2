"""Labelled images: found, checked, split into parts, decoded once.

``find`` reads folders and manifests, ``sample`` the shipped one, ``split``
assigns the parts, ``prepare`` opens every file and returns the ImageTable,
``manifest`` saves it, ``store`` keeps the decoded pixels, ``streamed`` decodes
them again and again where they have no room. Only PIL and numpy are needed.
Nothing is imported here.
"""
