"""Who may look at the page, and whose forms are taken.

On this machine alone (a loopback address) nobody is asked, unless a token is given. Everywhere
else a token is needed: in the header ``Authorization: Bearer``, or given once on the page, which
then sets a cookie. The cookie is a number of this process, not the token. Both are compared in
constant time, and neither is ever written anywhere.

A page of another site cannot send our forms: they carry a key of this process, and the cookie is
not sent with requests from elsewhere. Without a token the name that the browser asked for must be
one of this machine, so that a name that somebody else points here is of no use to them.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import quote, unquote

from sightline.decide.alerting.actions import MOST_OPERATOR_CHARS
from sightline.errors import UsageError

TOKEN = "SIGHTLINE_CONSOLE_TOKEN"  # noqa: S105 - the name of a variable, not a token
COOKIE = "sightline"
OPERATOR = "sightline-operator"
_LEAST_CHARS = 16
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules of one server.

    Attributes:
        token: that is asked for; None: whoever reaches this machine from itself may look.
        form_key: that forms are sent with.
        session: value of the cookie of who has given the token.
    """

    token: str | None = field(repr=False)
    form_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @classmethod
    def of(cls, *, host: str, token: str | None) -> Access:
        """The rules for a server at ``host``.

        Raises:
            UsageError: others can reach it and there is no token, or it is too short.
        """
        if token is None and not is_loopback(host):
            raise UsageError(
                expected="a token, as others can reach this address",
                got="none",
                where=f"--host {host}",
                action=f"give --token-file FILE, or the environment variable {TOKEN}; or leave "
                "--host out",
            )
        if token is not None and (len(token) < _LEAST_CHARS or not token.isascii()):
            raise UsageError(
                expected=f"a token of {_LEAST_CHARS} ASCII characters or more",
                got=f"one of {len(token)}",
                where="the token",
                action="make one, for example with `openssl rand -hex 24`",
            )
        return cls(token=token)

    def may_look(self, headers: Mapping[str, str]) -> bool:
        """Whether a request may see anything.

        Args:
            headers: of the request, looked up without regard to case.
        """
        if self.token is None:
            return _is_our_name(headers.get("Host") or "")
        scheme, _, given = (headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        return _same(_cookie(headers.get("Cookie") or "", COOKIE), self.session)

    def is_token(self, given: str) -> bool:
        """Whether it is the token."""
        return self.token is not None and _same(given, self.token)

    def is_our_form(self, given: str, headers: Mapping[str, str]) -> bool:
        """Whether a form was sent from our own page."""
        site = headers.get("Sec-Fetch-Site") or "same-origin"
        return site in ("same-origin", "none") and _same(given, self.form_key)


def operator_of(headers: Mapping[str, str]) -> str:
    """The name that whoever looks has given; ``""`` before that.

    It says who answers, and lets nobody in: it is believed as a signature on paper is.
    """
    return unquote(_cookie(headers.get("Cookie") or "", OPERATOR))


def named_cookie(name: str) -> str:
    """The cookie that keeps a name.

    >>> named_cookie("Ana Müller").partition(";")[0]
    'sightline-operator=Ana%20M%C3%BCller'
    """
    kept = quote(name.strip()[:MOST_OPERATOR_CHARS], safe="")
    return f"{OPERATOR}={kept}; HttpOnly; SameSite=Strict; Path=/; Max-Age=86400"


def read_token(file: Path | None) -> str | None:
    """The token: the first line of a file, else that of the environment, else none.

    Raises:
        UsageError: the file cannot be read.
    """
    if file is None:
        return os.environ.get(TOKEN)
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        raise UsageError(
            expected="a file with a token",
            got=error.strerror or type(error).__name__,
            where=str(file),
            action="give another file",
        ) from error
    return text.partition("\n")[0].strip()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches ``host``.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost")
    (True, True, True)
    >>> is_loopback("0.0.0.0"), is_loopback("my.example")
    (False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_our_name(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name.strip("[]"))


def _cookie(text: str, name: str) -> str:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
