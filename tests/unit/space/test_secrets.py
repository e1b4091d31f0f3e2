"""Passwords of storage URLs."""

from __future__ import annotations

import pytest

from search.space.secrets import expand, has_password, masked, redact, variables


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:p:w@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://:pw@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=me&password=pw", "postgresql://host/db?user=me&password=***"),
        ("postgresql://me:p@w@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p/w@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("sqlite:////home/me/x.db", "sqlite:////home/me/x.db"),
    ],
)
def test_a_password_is_shown_as_stars(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert len(masked(url)) == len(url)
    assert has_password(url) is (url != shown)
    assert redact(shown) == shown


def test_a_variable_is_no_password() -> None:
    url = "postgresql://me:${env:PW}@host/db"
    assert not has_password(url)
    assert masked(f"storage: {url}") == f"storage: {url}"
    assert variables(url) == ("PW",)
    assert expand(url, {"PW": "x"}) == "postgresql://me:x@host/db"
    with pytest.raises(KeyError, match="PW"):
        expand(url, {})
