"""Operator inputs of a run: planned contacts and masks, as state that replays.

Without an alert desk a mask hides decisions. Acknowledging and shelving are logged and change no
decision: what is shelved is decided, kept in the outbox, and told to nobody. With a desk the desk
handles all of them (:mod:`.alerting.controls`), and every decision is made and recorded.

An item stage handles the inputs that it names in ``controls`` (the reset button of a machine).

An input with ``event_ns`` takes effect with the first tick that reaches it, one without at once.
One with an ``id`` takes effect once, however often it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sightline.assess import ContactPlan
from sightline.assess.links import EVERYONE
from sightline.decide import Mask, unmasked
from sightline.decide.alerting.actions import DESK_CONTROLS, operator_action
from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision
from sightline.runtime.engine.stream import Names
from sightline.sense import Contract
from sightline.sense.contract import utc_ns

_TIMES = ("from", "until", "event", "start", "end")
_ONLY_DESK = DESK_CONTROLS - {"acknowledge", "shelve", "mask"}


class Taker(Protocol):
    """A stage that takes inputs."""

    @property
    def controls(self) -> Sequence[str]:
        """Names of the inputs that it takes."""

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        """Why an input of its kind cannot be taken; None if it can."""


class Taking(Protocol):
    """What of a plan says which inputs are taken."""

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """Of the sources of rows, by name: their planned contacts."""

    @property
    def has_desk(self) -> bool:
        """Whether it has an alert desk."""

    @property
    def takers(self) -> Sequence[Taker]:
        """The stages that take inputs."""


class OperatorInputs:
    """Contacts by source, beginning with those of the contracts, and masks.

    Args:
        plan: the checked pipeline.
        limits: ``waiting_controls``, ``known_controls``.
    """

    def __init__(self, plan: Taking, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._contacts = {
            name: [(c.key, c.start_ns, c.end_ns) for c in contract.contacts]
            for name, contract in plan.contracts.items()
        }
        self._has_desk = plan.has_desk
        self._takers = plan.takers
        self._masks: list[Mask] = []
        self._waiting: list[dict[str, Any]] = []
        self._seen: list[str] = []

    def apply(self, payload: bytes) -> dict[str, Any] | None:
        """Apply the payload of a CONTROL entry, or keep it until its time.

        Returns:
            The input, if it is for an alert desk or an item stage and has not come before.

        Raises:
            LogError: the payload is no operator input.
        """
        try:
            plain: dict[str, Any] = json.loads(payload)
            name = plain["control"]
            if self._is_known(plain.get("id")):
                return None
            problems = [s.check_control(plain) for s in self._takers if name in s.controls]
            if None in problems:
                if plain.get("event_ns") is not None:
                    raise ValueError(f"{name}: with event_ns, but it takes effect as it comes")
                return plain
            if self._has_desk and name in DESK_CONTROLS:
                operator_action(plain)
                return plain
            if problems:
                raise ValueError(f"{name}: {'; '.join(p for p in problems if p)}")
            if name in _ONLY_DESK:
                raise ValueError(f"{name}: the pipeline has no `alerting`")
            _check(plain, self._contacts)
            if plain.get("event_ns") is None:
                self._take(plain)
                return None
            self._waiting = sorted([*self._waiting, plain], key=lambda c: int(c["event_ns"]))
            if len(self._waiting) > self._limits.waiting_controls:
                self._take(self._waiting.pop(0))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise LogError(
                expected="an operator input",
                got=f"{payload[:80].decode(errors='replace')} ({_said(error)})",
                where="log entry of kind control",
                action="mend the operator input and start the run again",
            ) from error
        return None

    def go_to(self, tick_ns: int) -> None:
        """Event time has reached ``tick_ns``: apply what is due."""
        while self._waiting and int(self._waiting[0]["event_ns"]) <= tick_ns:
            self._take(self._waiting.pop(0))

    def _is_known(self, identity: str | None) -> bool:
        if identity is None:
            return False
        if identity in self._seen:
            return True
        self._seen = [*self._seen, str(identity)][-self._limits.known_controls :]
        return False

    def _take(self, plain: Mapping[str, Any]) -> None:
        match plain["control"]:
            case "contacts":
                self._contacts[plain["source"]] = _check_contacts(plain)
            case "mask":
                self._masks.append(Mask.from_mapping(plain))
            case _:
                pass  # acknowledged or shelved: logged, for people

    @classmethod
    def check(cls, plan: Taking, controls: Sequence[Mapping[str, Any]]) -> None:
        """Raise UsageError unless every control can be applied."""
        for control in controls:
            try:
                cls(plan).apply(json.dumps(dict(control)).encode())
            except LogError as error:
                raise UsageError(
                    expected=error.expected,
                    got=error.got,
                    where="operator inputs",
                    action="mend the operator input",
                ) from error

    def plans(self, source: str, names: Names) -> tuple[dict[int, ContactPlan], ContactPlan | None]:
        """Contact plans by id in ``names``, and that of all others (None: always)."""
        contacts = self._contacts.get(source)
        if not contacts:
            return {}, None
        everyone = [(start, end) for key, start, end in contacts if key == EVERYONE]
        by_key: dict[str, list[tuple[int, int]]] = {}
        for key, start, end in contacts:
            if key != EVERYONE:
                by_key.setdefault(key, []).append((start, end))
        plans = {
            identity: ContactPlan.of([*own, *everyone])
            for name, own in by_key.items()
            if (identity := names.find(name)) is not None
        }
        return plans, ContactPlan.of(everyone) if everyone else None

    def visible(self, decisions: Sequence[Decision]) -> list[Decision]:
        """The decisions that no mask hides; with an alert desk all of them."""
        return unmasked(decisions, self._masks)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "contacts": self._contacts,
            "masks": [m.as_mapping() for m in self._masks],
            "waiting": self._waiting,
            "seen": self._seen,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._contacts = {n: [(k, s, e) for k, s, e in cs] for n, cs in plain["contacts"].items()}
        self._masks = [Mask.from_mapping(m) for m in plain["masks"]]
        self._waiting = [dict(control) for control in plain.get("waiting", ())]
        self._seen = list(plain.get("seen", ()))


def in_ns(control: Mapping[str, Any]) -> dict[str, Any]:
    """An input of which each time is in UTC ns: ``until: 2026-01-01T12:00:00Z`` is ``until_ns``.

    Args:
        control: times are ``from``, ``until`` and ``event``, of contacts ``start`` and ``end``; a
            time that states no zone is UTC.

    Raises:
        ValueError: a text that is no time, or a time that is given in both ways.

    >>> in_ns({"control": "shelve", "until": "1970-01-01T00:00:01Z"})
    {'control': 'shelve', 'until_ns': 1000000000}
    """
    found = dict(control)
    for name in _TIMES:
        if name not in found:
            continue
        if f"{name}_ns" in found:
            raise ValueError(f"{name} and {name}_ns: give one of them")
        text = str(found.pop(name))
        has_zone = re.search(r"(Z|[+-]\d\d:?\d\d)$", text) is not None
        try:
            found[f"{name}_ns"] = utc_ns(text if has_zone else f"{text}Z")
        except ValueError:
            raise ValueError(f"{name}: {text!r} is no time as 2026-01-01T12:00:00Z") from None
    if isinstance(found.get("contacts"), list):
        found["contacts"] = [in_ns(c) if isinstance(c, dict) else c for c in found["contacts"]]
    return found


def _check(plain: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
    """Whether an input can be taken, now or when its time has come."""
    int(plain.get("event_ns") or 0)
    match plain["control"]:
        case "contacts":
            _check_contacts(plain)
            if plain["source"] not in sources:
                raise ValueError(f"contacts: no source {plain['source']!r}")
        case "mask" | "shelve":
            Mask.from_mapping(plain)
        case "acknowledge":
            pass
        case other:
            raise ValueError(f"no input {other!r}")


def _check_contacts(plain: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The contacts of an input."""
    return [(str(c["key"]), int(c["start_ns"]), int(c["end_ns"])) for c in plain["contacts"]]


def _said(error: Exception) -> str:
    return error.got if isinstance(error, UsageError) else str(error)


def is_for_desk(control: Mapping[str, Any]) -> bool:
    """Whether an input that was taken is an alert desk's."""
    return control["control"] in DESK_CONTROLS and "subject" in control
