"""Telling a URL from a path, and one that holds a secret. Pure."""

from __future__ import annotations

import re

from search.space.secrets import redact

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::[^/\s]*)*://")
_USER = re.compile(r"(://)[^/@\s]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]+")


def is_url(place: str) -> bool:
    """Whether ``place`` is ``protocol://...`` rather than a path.

    Returns:
        E.g. True for ``s3://bucket/flowers``, False for ``C:/flowers``.
    """
    return _URL.match(place) is not None


def protocol_of(url: str) -> str:
    """The text before ``://``, in lower case."""
    match = _URL.match(url)
    if match is None:
        raise ValueError(f"{shown(url)} is no URL")
    return match[1].lower()


def shown(text: str) -> str:
    """``text`` with ``***`` for what may be secret in its URLs: names and passwords
    before a host, and everything after a question mark (signatures, tokens)."""
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", redact(text)))


def holds_secret(url: str) -> bool:
    """Whether ``url`` has a part that :func:`shown` would hide."""
    return shown(url) != url
