"""What the page of a run answers to each address, whoever asks: reads the log, renders, explains.

The log is read at most once in a while, however many look, and never for long (``Limits``). One
explanation is worked out at a time.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.console.camera_pictures import draw_picture, newest_picture
from sightline.console.following import FollowedRun
from sightline.console.overview import hidden_fields, live_part, standing_alarms, trouble_box
from sightline.console.reviewing import REVIEW_SCRIPT, REVIEW_STYLE, ReviewView
from sightline.decide.alerting.actions import (
    DESK_CONTROLS,
    MOST_OPERATOR_CHARS,
    operator_action,
)
from sightline.errors import SightlineError, UsageError
from sightline.evidence.account import Facts, explain
from sightline.evidence.drawing import SiteLayout
from sightline.evidence.report import account_sections
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.shown_text import markup
from sightline.runtime import RunDirectory
from sightline.runtime.alerting.controls import give_to_desk, parse_until, takes_controls
from sightline.sense.yaml_form import read_json

REVIEW_LINK = '<p><a href="/review">Review parts</a></p>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One page.

    Attributes:
        title: as plain text.
        body: as markup.
        is_live: whether its live part changes and is asked for again.
        style, script: of its own, beside those of every page.
    """

    title: str
    body: str
    is_live: bool = False
    style: str = ""
    script: str = ""


class Console:
    """The page of one run. Safe to be asked by several threads.

    Args:
        run: live or finished.
        refresh_s: time between two looks at the log, at least.
        review: the review view of a run of parts; None: it has none.
        wall_ns: the time now, UTC ns, from which the ends of masks and shelves count.
        limits: bounds.

    Raises:
        LogError: the log is damaged.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        refresh_s: float,
        review: ReviewView | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.run = run
        self._wall_ns = wall_ns
        self.refresh_s = refresh_s
        self.review = review
        self._limits = limits
        self._followed = FollowedRun(run, limits=limits)
        self._layout = SiteLayout.of(run.plan) if run.plan.cameras else None
        self._reading = threading.Lock()
        self._explaining = threading.Lock()
        self._next_s = 0.0
        self._trouble = ""
        self._looks = 0
        self._shown: tuple[object, str] | None = None
        self._accounts: OrderedDict[tuple[str, int], tuple[Facts, str]] = OrderedDict()
        self._pictures: dict[str, tuple[str, bytes]] = {}

    def overview(self, *, form_key: str, operator: str = "") -> Shown:
        """The page itself; ``operator`` is the name that whoever looks has given."""
        name = self.run.plan.pipeline.pipeline
        description = self.run.plan.pipeline.description
        return Shown(
            title=f"{name}: run",
            body=f"<header><h1>{markup(name)}</h1>"
            '<p class="soft"><button id="pause" type="button" hidden>Pause updates</button> '
            '<span id="updated" role="status"></span></p></header>'
            f"{self._who(operator, form_key=form_key)}"
            f'<p class="soft">{markup(description)} Folder {markup(self.run.path.name)}.</p>'
            f"{'' if self.review is None else REVIEW_LINK}"
            f'<div id="live">{self.live(form_key=form_key)}</div>',
            is_live=True,
        )

    def review_page(self, *, form_key: str, operator: str, after: str) -> Shown | None:
        """The next part to be looked at; None of a run without parts."""
        if self.review is None:
            return None
        body = self.review.body(
            form_key=form_key,
            operator=operator,
            who=_name_form(operator, form_key=form_key, back="/review"),
            after=after,
        )
        name = self.run.plan.pipeline.pipeline
        return Shown(title=f"{name}: review", body=body, style=REVIEW_STYLE, script=REVIEW_SCRIPT)

    def _who(self, operator: str, *, form_key: str) -> str:
        """Where an operator says who they are, before they answer."""
        if not self.run.plan.has_desk or not takes_controls(self.run.path):
            return ""
        return _name_form(operator, form_key=form_key, back="/")

    def live(self, *, form_key: str) -> str:
        """The part of it that changes."""
        with self._reading:
            self._read_on()
            followed = self._followed
            has_desk = followed.desk is not None
            inputs = waiting_inputs(self.run.path) if has_desk else []
            takes_inputs = takes_controls(self.run.path)
            state = (self._looks, inputs, takes_inputs)
            if self._shown is None or self._shown[0] != state:
                part = live_part(
                    followed,
                    desk=None if followed.desk is None else followed.desk.account(),
                    inputs=inputs,
                    takes_inputs=takes_inputs,
                    pictures={
                        name: str(0 if seen.newest is None else seen.newest.index)
                        for name, seen in followed.cameras.items()
                    },
                    form_key=form_key,
                    trouble=self._trouble,
                )
                self._shown = (state, part)
            return self._shown[1]

    def camera(self, name: str) -> bytes | None:
        """The newest picture of a camera, a JPEG; None of one that there is not.

        Raises:
            LogError, UsageError: the picture in the log cannot be decoded.
        """
        if self._layout is None or name not in self._followed.cameras:
            return None
        with self._reading:
            self._read_on()
            newest = newest_picture(self._followed, name)
            key = f"{newest.entries_key} {newest.scene.zones_at_risk} {newest.scene.is_stale}"
            known = self._pictures.get(name)
            if known is None or known[0] != key:
                budget_s = self.run.plan.pipeline.latency_budget_s
                known = (key, draw_picture(newest, self._layout, budget_s=budget_s))
                self._pictures[name] = known
            return known[1]

    def why(self, said_id: str, *, form_key: str) -> Shown | None:
        """The page about one decision; None while another one is worked out.

        Raises:
            UsageError: an unknown id.
            LogError: the log is damaged.
        """
        with self._reading:
            self._read_on()
            key = (said_id, self._followed.decisions)
        found = self._accounts.get(key)
        if found is None:
            if not self._explaining.acquire(timeout=self._limits.console_request_s):
                return None
            try:
                facts = explain(self.run, said_id, limits=self._limits)
                found = (facts, account_sections(self.run, facts, limits=self._limits))
                self._accounts[key] = found
                while len(self._accounts) > self._limits.console_accounts:
                    self._accounts.popitem(last=False)
            finally:
                self._explaining.release()
        facts, account = found
        subject = getattr(facts.what, "subject", "")
        return Shown(
            title=f"why: {subject}",
            body=f'<nav><a href="/">Back to the run</a></nav>{account}'
            f"{self._answer_forms(facts, form_key=form_key)}",
        )

    def give(self, form: Mapping[str, str]) -> None:
        """Write an operator input.

        Raises:
            UsageError: it means nothing here, or the run takes none.
            StorageError: the folder cannot be written to.
        """
        with self._reading:
            self._read_on()
            desk = None if self._followed.desk is None else self._followed.desk.account()
        known = [] if desk is None else [*desk["standing"], *desk["hidden"]]
        control = control_of(
            form, known=frozenset(row["subject"] for row in known), now_ns=self._wall_ns()
        )
        give_to_desk(self.run, control)

    def _read_on(self) -> None:
        """Read the log on, unless that was done a moment ago."""
        began_s = time.monotonic()
        if began_s < self._next_s:
            return
        self._looks += 1
        until_s = began_s + self._limits.console_read_s
        try:
            self._followed.advance(lambda: time.monotonic() >= until_s)
            self._trouble = ""
        except SightlineError as error:
            self._trouble = str(error)
        took_s = time.monotonic() - began_s
        self._next_s = time.monotonic() + max(self.refresh_s, took_s * self._limits.console_rest)
        if not self._followed.is_read and not self._trouble:
            self._next_s = 0.0  # the beginning is read at once, as far as somebody waits for it

    def _answer_forms(self, facts: Facts, *, form_key: str) -> str:
        with self._reading:
            followed = self._followed
            desk = None if followed.desk is None else followed.desk.account()
            alarms = [] if desk is None else standing_alarms(followed, desk)
        alarm = next((a for a in alarms if a.decision_id == facts.said.said_id), None)
        if alarm is None or not takes_controls(self.run.path):
            return ""
        return answer_forms(alarm.subject, stage=alarm.stage, form_key=form_key)


def answer_forms(subject: str, *, stage: str, form_key: str) -> str:
    """Forms to shelve and to mask the subject of an alarm."""
    parts = []
    for control, title, words in (
        ("shelve", "Shelve", "Not told until then; still recorded."),
        ("mask", "Mask", "Out of service for maintenance; still recorded."),
    ):
        parts.append(
            f'<form method="post" action="/input"><fieldset><legend>{title} {markup(subject)}'
            f'</legend><div class="soft">{words}</div>'
            f"{hidden_fields(control, {'subject': subject}, form_key)}"
            f'<label for="{control}-stage">Of which stage</label>'
            f'<select id="{control}-stage" name="stage"><option value="{markup(stage)}">'
            f'{markup(stage)}</option><option value="*">all stages</option></select>'
            f'<label for="{control}-until">Until, for example 30m, 2h, 1d or '
            "2026-01-31T12:00:00Z</label>"
            f'<input id="{control}-until" name="until" value="2h" required>'
            f'<label for="{control}-reason">Reason</label>'
            f'<input id="{control}-reason" name="reason" required maxlength="500" '
            'autocomplete="off">'
            f"<button>{title}</button></fieldset></form>"
        )
    return f'<h2 id="answer">Answer</h2><div class="forms">{"".join(parts)}</div>'


def _name_form(operator: str, *, form_key: str, back: str) -> str:
    """Where somebody says who they are; ``back``: the page that comes then."""
    said = "Answers are recorded under this name." if operator else "Needed before you answer."
    return (
        '<form method="post" action="/operator" class="who">'
        f'<input type="hidden" name="form_key" value="{markup(form_key)}">'
        f'<input type="hidden" name="back" value="{markup(back)}">'
        '<label for="operator">Your name</label><input id="operator" name="operator" required '
        f'maxlength="{MOST_OPERATOR_CHARS}" autocomplete="name" value="{markup(operator)}">'
        f'<button>Answer as this</button> <span class="soft">{said}</span></form>'
    )


def error_body(error: SightlineError | str) -> str:
    """What went wrong, and the way back."""
    text = error if isinstance(error, str) else str(error)
    return f'<nav><a href="/">Back to the run</a></nav><h1>Not done</h1>{trouble_box(text)}'


# --- answers given on the page --------------------------------------------------------------------

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
