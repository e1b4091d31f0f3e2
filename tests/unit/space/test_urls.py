"""URLs are told from paths, and what may be secret in them is shown nowhere."""

from __future__ import annotations

import pytest

from search.space.urls import holds_secret, is_url, protocol_of, shown


@pytest.mark.parametrize(
    ("place", "protocol"),
    [
        ("s3://bucket/flowers", "s3"),
        ("GS://bucket", "gs"),
        ("file:///data/flowers", "file"),
        ("simplecache::s3://bucket/flowers", "simplecache"),
        ("/data/flowers", None),
        ("~/flowers", None),
        ("C:/flowers", None),
        ("C://flowers", None),
        ("a::b", None),
        ("flowers/s3://", None),
    ],
)
def test_a_url_has_a_protocol(place: str, protocol: str | None) -> None:
    assert is_url(place) is (protocol is not None)
    if protocol is not None:
        assert protocol_of(place) == protocol
    else:
        with pytest.raises(ValueError, match="is no URL"):
            protocol_of(place)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://bucket/flowers", "s3://bucket/flowers"),
        ("s3://KEY:SECRET@bucket/flowers", "s3://***@bucket/flowers"),
        ("ftp://me@host/flowers", "ftp://***@host/flowers"),
        ("https://host/f?sig=abc&se=2026", "https://host/f?***"),
    ],
)
def test_credentials_and_queries_are_shown_as_stars(url: str, text: str) -> None:
    assert shown(url) == text
    assert holds_secret(url) is (url != text)
