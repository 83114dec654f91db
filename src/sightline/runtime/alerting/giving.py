"""Giving a run an operator input for its alert desk, from a terminal or from a page."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.runtime.alerting.controls import give_control
from sightline.runtime.run_directory import RunDirectory

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
