"""Passwords inside storage URLs: read from the environment, never shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Greedy to the last @: a password that was not percent-encoded is hidden whole.
_PASSWORD = re.compile(r"(://[^:/@\s]*:)(.+)(?=@)|([?&](?:ssl)?password=)([^&\s'\"]+)")
# Of signed URLs: S3 (X-Amz-Signature), Google (X-Goog-Credential), Azure (sig), others.
_SIGNED = re.compile(
    r"([?&][\w.-]*(?:sig|signature|token|secret|credential|accesskeyid)=)([^&\s'\"]+)", re.I
)
_VARIABLE = re.compile(r"\$\{env:([^{}]*)\}")


def redact(url: str) -> str:
    """``url`` with ``***`` for a password.

    Returns:
        E.g. ``redact("postgresql://me:pw@host/db") == "postgresql://me:***@host/db"``.
    """
    return _PASSWORD.sub(lambda m: f"{m[1] or m[3]}***", url)


def masked(line: str) -> str:
    """``line`` with ``*`` for every character of a password or a signature: columns stay."""
    line = _SIGNED.sub(lambda m: m[1] + "*" * len(m[2]), line)
    return _PASSWORD.sub(
        lambda m: m[0] if "${env:" in m[0] else (m[1] or m[3]) + "*" * len(m[2] or m[4]), line
    )


def has_password(url: str) -> bool:
    """Whether ``url`` holds a password in plain text."""
    return _PASSWORD.search(_VARIABLE.sub("", url)) is not None


def variables(text: str) -> tuple[str, ...]:
    """The names in ``${env:NAME}``, in order."""
    return tuple(_VARIABLE.findall(text))


def expand(text: str, env: Mapping[str, str]) -> str:
    """``text`` with every ``${env:NAME}`` replaced.

    Raises:
        KeyError: If a name is not in ``env``.
    """
    return _VARIABLE.sub(lambda match: env[match[1]], text)
