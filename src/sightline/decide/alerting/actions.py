"""Operator inputs of a run as actions at its alert desk, each at its time.

An input with ``event_ns`` is done when event time reaches it, and waits until then. One without is
done at once: an operator acts on what the desk has come to, not on what it has yet to hear of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sightline.decide.alerting.hiding import ActionKind, OperatorAction
from sightline.decide.mask import ANY
from sightline.errors import UsageError

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
MOST_OPERATOR_CHARS = 100
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
            operator=_operator(control),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            expected="an operator input for the alert desk",
            got=f"{type(error).__name__}: {error}",
            where="operator inputs",
            action="mend the operator input; docs/alerting.md has the forms",
        ) from error


def _operator(control: Mapping[str, Any]) -> str:
    name = control.get("operator", "")
    if not isinstance(name, str) or len(name) > MOST_OPERATOR_CHARS:
        raise ValueError(f"operator: a name of at most {MOST_OPERATOR_CHARS} characters")
    return name


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
