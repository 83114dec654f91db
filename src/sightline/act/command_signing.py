r"""Signed commands: a keyed digest and a counter, so that nobody else can command a machine.

On the wire a signed command is one JSON object::

    {"command": "<the command's own JSON, as text>", "counter": [session, number], "mac": "<hex>"}

The mac is HMAC-SHA-256 with the machine's key over ``sightline-command-1\n``, the two numbers of
the counter in decimal with a full stop between them, ``\n``, and the text of ``command`` in UTF-8.
So a receiver in any language checks the bytes as they came, and parses the command afterwards.

The counter orders commands whatever their times say. A session is one start of a sender, a number
one command of it. Both only grow: a session is the time of the start, and more than the one before
it where that is known, so that no restart begins to count anew.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sightline.errors import StorageError, UsageError
from sightline.records.command import ActuatorCommand
from sightline.records.plain_json import canonical_json, read_json

KEY = "SIGHTLINE_COMMAND_KEY"
"""Environment variable with the key of all machines, in hexadecimal."""

_PURPOSE = b"sightline-command-1\n"
_HEX_KEY = re.compile(r"(?:[0-9a-fA-F]{2}){32,128}")
_MOST_KEY_BYTES = 1024
_MOST_NUMBER = 2**63 - 1
_SESSION_DIGITS = 40  # more than any session has


class Counter(NamedTuple):
    """Orders the signed commands of a machine.

    Attributes:
        session: of the sender's start, UTC ns or more.
        number: of the command in its session, from 0.
    """

    session: int
    number: int


@dataclass(frozen=True, slots=True)
class CommandKey:
    """What sender and machine share and nobody else knows: 32 bytes or more. It is never shown.

    Raises:
        UsageError: it is too short.
    """

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise _no_key(f"{len(self.secret)} bytes", "command key")

    def __repr__(self) -> str:
        return "CommandKey(…)"

    @classmethod
    def from_text(cls, text: str, *, where: str) -> CommandKey:
        """64 hexadecimal digits or more.

        Raises:
            UsageError: it is something else, which is not repeated.
        """
        if not _HEX_KEY.fullmatch(text.strip()):
            raise _no_key("something else", where)
        return cls(bytes.fromhex(text.strip()))

    @classmethod
    def from_file(cls, path: Path) -> CommandKey:
        """The first line of a file.

        Raises:
            UsageError: it cannot be read, or holds something else.
        """
        try:
            with path.open("rb") as file:
                text = file.read(_MOST_KEY_BYTES).decode("ascii", errors="replace")
        except OSError as error:
            raise _no_key(error.strerror or type(error).__name__, str(path)) from error
        return cls.from_text(text.partition("\n")[0], where=str(path))

    @classmethod
    def from_environment(cls) -> CommandKey | None:
        """The key of all machines, if the environment has one."""
        text = os.environ.get(KEY)
        return None if text is None else cls.from_text(text, where=KEY)

    def mac(self, text: str, counter: Counter) -> str:
        """64 hexadecimal digits over a command's text and its counter."""
        signed = _PURPOSE + f"{counter.session}.{counter.number}\n".encode() + text.encode()
        return hmac.new(self.secret, signed, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class SignedCommand:
    """A command with its counter and its mac, ready to be sent.

    Attributes:
        command: what is signed.
        counter: its place among the commands of the machine.
        mac: 64 hexadecimal digits.
    """

    command: ActuatorCommand
    counter: Counter
    mac: str

    @cached_property
    def _bytes(self) -> bytes:
        return canonical_json(
            {
                "command": self.command.canonical_bytes().decode(),
                "counter": list(self.counter),
                "mac": self.mac,
            }
        )

    def canonical_bytes(self) -> bytes:
        """What goes over the wire."""
        return self._bytes


class CommandSigner:
    """Signs the commands of one sender to one machine, in their order.

    Args:
        key: shared with the machine.
        session: of this start; see :func:`next_session`.
    """

    def __init__(self, key: CommandKey, *, session: int) -> None:
        self._key = key
        self._session = session
        self._number = -1

    def sign(self, command: ActuatorCommand) -> SignedCommand:
        """The next command. To be called in the order in which they are issued."""
        self._number += 1
        counter = Counter(self._session, self._number)
        text = command.canonical_bytes().decode()
        return SignedCommand(command, counter, self._key.mac(text, counter))


def verified(payload: bytes, key: CommandKey) -> SignedCommand:
    """Read a signed command.

    Raises:
        ValueError, TypeError, KeyError, UsageError: it is none, or not of this key.
    """
    plain = read_json(payload)
    if not isinstance(plain, dict) or set(plain) != {"command", "counter", "mac"}:
        raise ValueError("no signed command")
    text, numbers, mac = plain["command"], plain["counter"], plain["mac"]
    if not (isinstance(text, str) and isinstance(mac, str) and isinstance(numbers, list)):
        raise TypeError("no signed command")
    if len(numbers) != 2 or not all(type(n) is int and 0 <= n <= _MOST_NUMBER for n in numbers):
        raise ValueError("no counter")
    counter = Counter(*numbers)
    if not hmac.compare_digest(key.mac(text, counter).encode(), mac.encode()):
        raise ValueError("another key")
    return SignedCommand(ActuatorCommand.from_bytes(text.encode()), counter, mac)


def next_session(path: Path, *, now_ns: int) -> int:
    """Begin a session: more than the last one that ``path`` knows, and never before ``now_ns``.

    The number is on the disk before it is used.

    Raises:
        StorageError: the file cannot be read or written, or holds something else.
    """
    try:
        last = _last_session(path)
        session = max(last + 1, now_ns)
        fresh = path.with_name(f"{path.name}.tmp")
        fresh.unlink(missing_ok=True)  # whatever it is, a link perhaps
        with fresh.open("x", encoding="ascii") as file:
            file.write(str(session))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            expected="a file with the number of the last session",
            got=getattr(error, "strerror", None) or type(error).__name__,
            where=str(path),
            action="check the disk; a file that is damaged may be deleted: the clock goes on",
        ) from error
    return session


def _last_session(path: Path) -> int:
    """What the file holds, -1 without one; no link is followed, no pipe is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    with os.fdopen(descriptor, "rb") as file:
        return int(file.read(_SESSION_DIGITS))


def _no_key(got: str, where: str) -> UsageError:
    return UsageError(
        expected="a key of 64 hexadecimal digits or more",
        got=got,
        where=where,
        action="make one for each machine: openssl rand -hex 32 > saw.key",
    )
