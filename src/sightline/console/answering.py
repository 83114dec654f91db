"""What an operator sends from the page, as an input for the alert desk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.decide.alerting.actions import (
    DESK_CONTROLS,
    MOST_OPERATOR_CHARS,
    operator_action,
)
from sightline.errors import SightlineError, UsageError
from sightline.limits import Limits
from sightline.runtime.alerting.controls import parse_until
from sightline.sense.yaml_form import read_json

_HIDING = frozenset({"shelve", "mask"})
_WITH_CODE = frozenset({"acknowledge", "reset"})
_MOST_CHARS = 500
_SHOWN = 20
_LIMITS = Limits(max_document_bytes=1 << 16)


def control_of(form: Mapping[str, str], *, known: frozenset[str], now_ns: int) -> dict[str, Any]:
    """A form as an operator input.

    Args:
        form: its fields: ``control``, ``subject``, ``code`` or ``stage``, and of what hides an
            alarm ``until`` and ``reason``; ``operator``, who answers.
        known: subjects that stand or are hidden; about others nothing can be said.
        now_ns: UTC ns, from which ``until`` counts.

    Raises:
        UsageError: something is missing, or means nothing here.
    """
    name, subject = form.get("control", ""), form.get("subject", "")
    if name not in DESK_CONTROLS:
        raise _wrong("control", "an operator input", name)
    if subject not in known:
        raise _wrong("subject", "the subject of an alarm that stands or is hidden", subject)
    operator = form.get("operator", "").strip()
    if not operator or len(operator) > MOST_OPERATOR_CHARS:
        raise _wrong("operator", "your name, at the top of the page", operator[:40])
    control: dict[str, Any] = {"control": name, "subject": subject, "operator": operator}
    if name in _WITH_CODE:
        control["code"] = form.get("code") or "*"
    else:
        control["kind"] = form.get("stage") or "*"
    if name in _HIDING:
        reason = form.get("reason", "").strip()
        if not reason or len(reason) > _MOST_CHARS:
            raise _wrong("reason", f"why, in 1 to {_MOST_CHARS} characters", reason[:40])
        control["until_ns"] = parse_until(form.get("until", ""), now_ns=now_ns, where="until")
        control["reason"] = reason
    if name == "mask":
        control["as"] = "suppressed" if form.get("as") == "suppressed" else "out_of_service"
    operator_action(control)
    return control


def waiting_inputs(run: Path) -> list[tuple[str, str]]:
    """Inputs in the run's folder that wait or were not taken: (state, words), the newest first."""
    folder = run / "controls"
    states = {
        ".json": "waits for the next tick",
        ".refused": "refused: it cannot be applied",
        ".late": "came when the run had ended",
    }
    if folder.is_symlink():  # a run directory of others shows nothing of this machine
        return []
    try:
        paths = sorted((p for p in folder.iterdir() if p.suffix in states), reverse=True)
    except OSError:
        return []
    return [(states[path.suffix], _words(path)) for path in paths[:_SHOWN]]


def _words(path: Path) -> str:
    if path.is_symlink():
        return path.name
    try:
        plain = read_json(path, where=path.name, kind_of_error=UsageError, limits=_LIMITS)
        reason = f": {plain['reason']}" if plain.get("reason") else ""
        by = f" by {plain['operator']}" if plain.get("operator") else ""
        return f"{plain['control']} {plain['subject']}{by}{reason}"
    except (SightlineError, OSError, KeyError, TypeError, ValueError):
        return path.name


def _wrong(field: str, expected: str, got: str) -> UsageError:
    return UsageError(
        expected=expected,
        got=got or "nothing",
        where=f"field {field!r} of the form",
        action="go back and mend it",
    )
