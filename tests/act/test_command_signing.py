"""Keys, sessions and the form on the wire of signed commands."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from act.command_cases import command
from sightline.act import CommandKey, CommandSigner
from sightline.act.command_signing import KEY, next_session
from sightline.errors import StorageError, UsageError

HEX = "5e" * 32


def test_the_form_on_the_wire_is_the_documented_one() -> None:
    signed = CommandSigner(CommandKey(bytes.fromhex(HEX)), session=7).sign(command())
    plain = json.loads(signed.canonical_bytes())
    said = f"sightline-command-1\n7.0\n{plain['command']}".encode()
    assert plain["mac"] == hmac.new(bytes.fromhex(HEX), said, hashlib.sha256).hexdigest()
    assert plain["counter"] == [7, 0]
    assert json.loads(plain["command"]) == command().as_mapping()


def test_a_key_is_read_from_the_first_line_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "saw.key"
    path.write_text(f"{HEX}\n# of the saw\n")
    assert CommandKey.from_file(path) == CommandKey(bytes.fromhex(HEX))


def test_a_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert CommandKey.from_environment() is None
    monkeypatch.setenv(KEY, HEX)
    assert CommandKey.from_environment() == CommandKey(bytes.fromhex(HEX))


@pytest.mark.parametrize("text", ["", "s3cret", HEX[:-2], HEX[:-1], f"{HEX} {HEX}", "ü" * 64])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "saw.key"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        CommandKey.from_file(path)
    assert not text or text not in str(caught.value)


def test_a_key_is_never_shown() -> None:
    key = CommandKey(b"s3cret" * 6)
    assert "s3cret" not in repr(key) + str(key) + f"{[key]}"


def test_a_session_only_grows_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    path = tmp_path / "session"
    assert [next_session(path, now_ns=now_ns) for now_ns in (50, 10, 10, 99)] == [50, 51, 52, 99]


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.write_text("x"),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.mkdir(),
        os.mkfifo,  # to open it would wait for somebody who writes
    ],
    ids=["text", "link", "folder", "pipe"],
)
def test_a_session_file_that_holds_something_else_is_refused(
    tmp_path: Path, put: Callable[[Path], object]
) -> None:
    path = tmp_path / "session"
    put(path)
    with pytest.raises(StorageError):
        next_session(path, now_ns=1)
