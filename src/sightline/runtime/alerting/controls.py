"""Operator inputs while a live run goes on: one small file each, taken at the next tick.

    RUN/controls/.open          there while a live run takes inputs, or can be resumed to
    RUN/controls/NAME.json      one input that waits
    RUN/controls/NAME.refused   one that could not be read or applied
    RUN/controls/NAME.late      one that came when the run had ended

Whoever writes an input writes it elsewhere first and renames it, so that half of one is never
read. A file goes when the input is in every log. After a crash it may be taken again: its name is
the input's ``id``, and an ``id`` takes effect once.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sightline.errors import LogError, SightlineError, UsageError, writing
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.operator_inputs import in_ns
from sightline.runtime.run_directory import RunDirectory
from sightline.sense.yaml_form import read_json

_OPEN = ".open"
_MOST_FILES = 10_000
"""Inputs that wait. Beyond it a further one is refused to who gives it."""
_MOST_PER_TICK = 100
"""Inputs taken at one tick; the others wait for the next."""
_LIMITS = Limits(max_document_bytes=1 << 16)
"""One input. A larger one is refused."""


class ControlInbox:
    """The inputs of one live run, as the run sees them.

    Args:
        run: folder of the run.
        check: raises a SightlineError for an input that cannot be applied.
    """

    def __init__(self, run: Path, check: Callable[[Mapping[str, Any]], None]) -> None:
        self._folder = run / "controls"
        self._check = check
        self._taken: list[Path] = []
        with writing(self._folder):
            _check_own(self._folder)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            (self._folder / _OPEN).unlink(missing_ok=True)
            (self._folder / _OPEN).touch(mode=0o600, exist_ok=False)

    def take(self) -> list[dict[str, Any]]:
        """The inputs that have come, in order of their names; those taken before are left out."""
        found: list[dict[str, Any]] = []
        for path in self._waiting():
            if path in self._taken:
                continue
            if len(found) >= _MOST_PER_TICK:
                break
            control = self._read(path)
            if control is None:
                with suppress(OSError):  # it has gone, or cannot go: that ends no run
                    path.replace(path.with_suffix(".refused"))
                continue
            found.append(control)
            self._taken.append(path)
        return found

    def committed(self) -> None:
        """What was taken is in every log."""
        for path in self._taken:
            path.unlink(missing_ok=True)
        self._taken = []

    def close(self) -> None:
        """The run has ended: nothing is taken any more."""
        (self._folder / _OPEN).unlink(missing_ok=True)
        for path in self._waiting():
            path.replace(path.with_suffix(".late"))

    def _waiting(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            if path.is_symlink():
                return None
            given = read_json(path, where=path.name, kind_of_error=UsageError, limits=_LIMITS)
            plain = {**in_ns(given), "id": path.stem}
            self._check(plain)
        except (ValueError, TypeError, SightlineError):
            return None
        return plain


def give_control(run: Path, control: Mapping[str, Any], *, name: str) -> Path:
    """Give an input to a live run; the file in which it waits.

    Args:
        run: folder of the run.
        control: the input.
        name: of the file, and ``id`` of the input; names sort by time.

    Raises:
        UsageError: the run takes no inputs, or too many wait.
        StorageError: the folder cannot be written to.
    """
    folder = run / "controls"
    if not takes_controls(run):
        raise UsageError(
            expected="a live run that goes on, or can be resumed",
            got="a run that has ended, or that reads files",
            where=str(run),
            action="give the input at the start of a run: --control FILE, with event_ns",
        )
    if sum(1 for _ in folder.glob("*.json")) >= _MOST_FILES:
        raise UsageError(
            expected=f"at most {_MOST_FILES} inputs that wait",
            got="that many",
            where=str(folder),
            action="see whether the run still goes on",
        )
    _check_own(folder)
    path, unfinished = folder / f"{name}.json", folder / f".{name}.tmp"
    with writing(folder):
        unfinished.unlink(missing_ok=True)
        with unfinished.open("x", encoding="utf-8") as file:
            unfinished.chmod(0o600)
            json.dump(dict(control), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    return path


def takes_controls(run: Path) -> bool:
    """Whether the run in this folder takes inputs: it is live and goes on, or can be resumed."""
    return (run / "controls" / _OPEN).exists()


def _check_own(folder: Path) -> None:
    """Raise LogError for a link: what a run directory points to is not written to."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise LogError(
            expected="a folder of the run directory itself",
            got="a link, or something else",
            where=str(folder),
            action="delete it: it is made again",
        )


# --- from a terminal or a page --------------------------------------------------------------------

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def give_to_desk(run: RunDirectory, control: Mapping[str, Any]) -> Path:
    """Give an input to the desk of a live run; the file in which it waits for the next tick.

    Raises:
        UsageError: the run has no desk, takes no inputs, or too many wait.
        StorageError: the folder cannot be written to.
    """
    if run.plan.pipeline.alerting is None:
        raise UsageError(
            expected="a run with an alert desk",
            got="one whose pipeline has no `alerting`",
            where=str(run.path),
            action="add the section and run again; docs/alerting.md has an example",
        )
    return give_control(run.path, control, name=f"{time.time_ns():020d}-{secrets.token_hex(4)}")


def parse_until(text: str, *, now_ns: int, where: str = "--until") -> int:
    """An end in UTC ns: a date, or a time from now.

    Raises:
        UsageError: ``text`` is neither.

    >>> parse_until("2m", now_ns=0)
    120000000000
    >>> parse_until("1970-01-01T00:01:00Z", now_ns=0)
    60000000000
    """
    relative = re.fullmatch(r"\+?(\d{1,6})([smhd])", text)
    if relative:
        return now_ns + int(relative[1]) * _UNITS_S[relative[2]] * NS_PER_S
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            expected="2026-01-01T12:00:00Z, or 90s, 30m, 2h, 1d",
            got=text,
            where=where,
            action="write for example 2h",
        ) from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return round(at.timestamp()) * NS_PER_S
