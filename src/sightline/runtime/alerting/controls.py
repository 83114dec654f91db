"""What operators say to a run: inputs as actions at its alert desk, and the inbox of a live run.

An input with ``event_ns`` waits until event time reaches it. One without takes effect at once: an
operator acts on what the desk shows now.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sightline.decide.alerting import ActionKind, OperatorAction
from sightline.decide.mask import ANY
from sightline.errors import SightlineError, StorageError, UsageError

OUT_OF_SERVICE = "out_of_service"
_ACTIONS: Mapping[str, ActionKind] = MappingProxyType(
    {
        "acknowledge": ActionKind.ACKNOWLEDGE,
        "reset": ActionKind.RESET,
        "shelve": ActionKind.SHELVE,
        "unshelve": ActionKind.UNSHELVE,
        "put_back": ActionKind.PUT_BACK,
    }
)
_MASKS: Mapping[str, ActionKind] = MappingProxyType(
    {OUT_OF_SERVICE: ActionKind.TAKE_OUT, "suppressed": ActionKind.SUPPRESS}
)
DESK_CONTROLS = frozenset({*_ACTIONS, "mask"})
"""Operator inputs that are the desk's."""
_HIDE = frozenset({ActionKind.SHELVE, ActionKind.SUPPRESS, ActionKind.TAKE_OUT})


def operator_action(control: Mapping[str, Any]) -> OperatorAction:
    """An operator input as an action; one without ``event_ns`` gets time 0.

    A mask is maintenance (``"as": "out_of_service"``, the default) or hides what a command will
    make look like a fault (``"as": "suppressed"``).

    Raises:
        UsageError: if it is none.

    >>> str(operator_action({"control": "acknowledge", "subject": "sat-1"}).kind)
    'acknowledge'
    """
    try:
        name = control["control"]
        kind = _MASKS[control.get("as", OUT_OF_SERVICE)] if name == "mask" else _ACTIONS[name]
        subject = control["subject"]
        if not isinstance(subject, str) or not subject:
            raise ValueError("subject: a name")
        until_ns = _time(control, "until_ns")
        if kind in _HIDE and until_ns is None:
            raise ValueError("until_ns: when it ends")
        return OperatorAction(
            kind=kind,
            event_ns=_time(control, "event_ns") or 0,
            subject=subject,
            code=str(control.get("code", ANY)),
            decided_by=str(control.get("kind", ANY)),
            from_ns=_time(control, "from_ns"),
            until_ns=until_ns,
            reason=str(control.get("reason", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            expected="an operator input for the alert desk",
            got=f"{type(error).__name__}: {error}",
            where="operator inputs",
            action="mend the operator input; docs/alerting.md has the forms",
        ) from error


def _time(control: Mapping[str, Any], name: str) -> int | None:
    value = control.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{name}: nanoseconds since 1970, a whole number")
    return value


class PendingActions:
    """Operator inputs that were taken and are not done yet.

    Args:
        most: that wait for their time.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._waiting: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, control: Mapping[str, Any]) -> None:
        """Take an input; one that finds no room is refused with the next actions."""
        (self._waiting if len(self._waiting) < self._most else self._refused).append(dict(control))

    def due(
        self, *, now_ns: int, reached_ns: int
    ) -> tuple[list[OperatorAction], list[OperatorAction]]:
        """The actions to be done now: those without a time, at ``reached_ns``, and the others."""
        at_once = [c for c in self._waiting if c.get("event_ns") is None]
        timed = [c for c in self._waiting if c.get("event_ns") is not None]
        due = [operator_action(c) for c in timed if c["event_ns"] <= now_ns]
        self._waiting = [c for c in timed if c["event_ns"] > now_ns]
        return [operator_action({**c, "event_ns": reached_ns}) for c in at_once], due

    def take_refused(self) -> list[tuple[OperatorAction, str]]:
        """The inputs that found no room, once."""
        refused, self._refused = self._refused, []
        return [(operator_action(control), "TOO_MANY_WAITING") for control in refused]

    def snapshot(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """JSON-ready."""
        return {"waiting": list(self._waiting), "refused": list(self._refused)}

    def restore(self, plain: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._waiting = [dict(control) for control in plain["waiting"]]
        self._refused = [dict(control) for control in plain["refused"]]


def action_as_mapping(action: OperatorAction) -> dict[str, Any]:
    """JSON-ready form, for the log."""
    return {
        "kind": str(action.kind),
        "event_ns": action.event_ns,
        "subject": action.subject,
        "code": action.code,
        "decided_by": action.decided_by,
        "from_ns": action.from_ns,
        "until_ns": action.until_ns,
        "reason": action.reason,
    }


# --- operator inputs while a live run goes on -----------------------------------------------------
#
#     RUN/controls/.open          there while a live run takes inputs, or can be resumed to
#     RUN/controls/NAME.json      one input that waits
#     RUN/controls/NAME.refused   one that could not be read or applied
#     RUN/controls/NAME.late      one that came when the run had ended
#
# Whoever writes an input writes it elsewhere first and renames it, so that half of one is never
# read. A file goes when the input is in every log. After a crash it may be taken again: its name is
# the input's ``id``, and an ``id`` takes effect once.

_OPEN = ".open"
_MOST_FILES = 10_000
"""Inputs that wait. Beyond it a further one is refused to who gives it."""
_MOST_PER_TICK = 100
"""Inputs taken at one tick; the others wait for the next."""
_MOST_BYTES = 65_536
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
        try:
            self._folder.mkdir(exist_ok=True)
            (self._folder / _OPEN).touch()
        except OSError as error:
            raise _unwritable(self._folder, error) from error

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
            if path.stat().st_size > _MOST_BYTES:
                return None
            plain = {**json.loads(path.read_text(encoding="utf-8")), "id": path.stem}
            self._check(plain)
        except (OSError, ValueError, TypeError, SightlineError):
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
    if not (folder / _OPEN).exists():
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
    path, unfinished = folder / f"{name}.json", folder / f".{name}.tmp"
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(dict(control), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return path


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        expected="a folder that can be written to",
        got=error.strerror or type(error).__name__,
        where=str(folder),
        action="check its permissions and the free space",
    )
