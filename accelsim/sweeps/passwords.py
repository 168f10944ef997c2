"""Passwords within URLs, which nobody prints or stores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

_HIDDEN = r"\g<start>***"
# scheme://user:password@host; a password may hold every sign, also those that ought to be quoted.
_START = r"(?P<start>(?:[\w.+-]+:/+)?[^\s:/@'\"]*:)"
_USER = re.compile(rf"\A{_START}(?P<secret>.*)(?=@)", re.DOTALL)
_USER_IN_TEXT = re.compile(rf"{_START}(?P<secret>[^\s'\"]*)(?=@)")
# ?password=…, &sslkey=…, as some drivers take them.
_QUERY = re.compile(
    r"(?P<start>[?&;][^\s=&;'\"]*(?:pass|pwd|secret|token|key)[^\s=&;'\"]*=)(?P<secret>[^\s&;'\"]+)",
    re.IGNORECASE,
)


def masked(url: str) -> str:
    """Return a URL without its passwords.

    >>> masked("postgresql://me:pass@word@host/db?sslkey=abc&x=1")
    'postgresql://me:***@host/db?sslkey=***&x=1'
    >>> masked("sqlite:///out/search.db")
    'sqlite:///out/search.db'
    """
    return _QUERY.sub(_HIDDEN, _USER.sub(_HIDDEN, url))


def without_passwords(text: str, url: str = "") -> str:
    """Return a text without the passwords of the URLs in it, and without those of one more URL.

    >>> without_passwords("FATAL: no role s3cret", "mysql://me:s3cret@host/db")
    'FATAL: no role ***'
    """
    if url:
        text = text.replace(url, masked(url))
    for secret in sorted(_passwords_in(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUERY.sub(_HIDDEN, _USER_IN_TEXT.sub(_HIDDEN, text))


def _passwords_in(url: str) -> Iterator[str]:
    """Yield the passwords of a URL, as they are written and as they are meant."""
    for form in (_USER, _QUERY):
        for found in form.finditer(url):
            secret = found["secret"]
            yield from {secret, unquote(secret), unquote_plus(secret)} - {"", "***"}
