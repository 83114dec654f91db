"""``silence``: no data for longer than the time-out although contact was expected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from sightline.assess import ContactPlan, SilenceEpisodes, silence_episodes
from sightline.perceive.window_series import WindowSeries
from sightline.records import Decision
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.engine.outputs import StageRows
from sightline.runtime.engine.stream import Names
from sightline.runtime.settings import DecidingSettings, Scope
from sightline.runtime.stage import Planning, Step, SubjectTransitions, WatchStage, Wiring
from sightline.sense import Contract

_Episode = tuple[int, int, int]  # last datum, raised, cleared or -1; ns


class SilenceSettings(DecidingSettings):
    """No data for longer than the time-out although contact was expected."""

    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds without data, in expected contact, after which it is silence; null: the
    contract's."""


class SilenceStage(WatchStage):
    """No data for longer than the time-out although contact was expected."""

    use = "silence"
    Settings = SilenceSettings
    scopes: ClassVar[tuple[Scope, ...]] = ("key", "group", "global")
    decides = True

    def plan(self, planning: Planning) -> Wiring:
        timeout_s = self.settings.timeout_s
        if timeout_s is None:
            silence = planning.contract.silence
            if silence is None:
                planning.fail("timeout_s, here or in the contract's silence", "none")
            timeout_s = silence.timeout_s
        width_ns = planning.width_ns
        if timeout_s * NS_PER_S < width_ns:
            planning.fail(
                f"timeout_s of at least the presence width ({width_ns / 1e9:g} s)", f"{timeout_s:g}"
            )
        return Wiring()

    def explain(self, reason: Reason) -> str:
        if reason.code.endswith("_OVER"):
            return "data came again after so long"
        return "nothing came for so long, although contact was expected"

    def begin_watch(
        self, step: Step, *, pipeline: str, source: str, contract: Contract
    ) -> SilenceWatch:
        timeout_s = self.settings.timeout_s
        if timeout_s is None:
            silence = contract.silence
            assert silence is not None  # it was planned
            timeout_s = silence.timeout_s
        return SilenceWatch(pipeline, step, source, timeout_ns=round(timeout_s * NS_PER_S))


class SilenceWatch:
    """Silences of the subjects of one series, and what has changed since the last look.

    The same for keys and for groups.

    Args:
        pipeline: digest of the pipeline.
        step: a silence stage.
        source: whose contact plan applies.
        timeout_ns: expected contact time without data that makes a silence.
    """

    def __init__(self, pipeline: str, step: Step, source: str, *, timeout_ns: int) -> None:
        self._pipeline = pipeline
        self.step = step
        self._source = source
        self._timeout_ns = timeout_ns
        self._known: dict[str, tuple[_Episode, ...]] = {}
        self.digest = ""
        """Digest of what the last look changed; empty if nothing did."""

    def look(
        self,
        series: WindowSeries,
        names: Names,
        inputs: OperatorInputs,
        *,
        now_ns: int,
        heard_ns: IntArray | None,
        group_of: Callable[[int, int], str],
        observe: Callable[[StageRows], None] | None,
    ) -> list[SubjectTransitions]:
        """Changes up to ``now_ns``.

        Args:
            series: presence of the subjects.
            names: subjects by key id of the series.
            inputs: contacts.
            now_ns: time up to which all punctual data has arrived.
            heard_ns: see :func:`presence_episodes`.
            group_of: group of a subject, from its key id and its row in the series.
            observe: sees the episodes of the subjects that changed.
        """
        plans, default = inputs.plans(self._source, names)
        found = presence_episodes(
            series,
            now_ns=now_ns,
            timeout_ns=self._timeout_ns,
            plans=plans,
            default_plan=default,
            heard_ns=heard_ns,
        )
        now: dict[str, list[_Episode]] = {}
        groups: dict[str, str] = {}
        for key, row, *episode in zip(
            (series.code[found.row] >> 42).tolist(),
            found.row.tolist(),
            found.last_ns.tolist(),
            found.raised_ns.tolist(),
            found.cleared_ns.tolist(),
            strict=True,
        ):
            now.setdefault(names[key], []).append((episode[0], episode[1], episode[2]))
            groups[names[key]] = group_of(key, row)
        changed = [
            subject
            for subject in sorted({*now, *self._known})
            if tuple(now.get(subject, ())) != self._known.get(subject)
        ]
        self._known = {subject: tuple(episodes) for subject, episodes in now.items()}
        self.digest = ""
        if not changed:
            return []
        flat = [(s, e) for s in changed for e in now.get(s, [])]
        text = json.dumps([changed, flat]).encode()
        self.digest = hashlib.blake2b(text, digest_size=8).hexdigest()
        if observe is not None:
            observe(_rows(self.step.name, flat))
        oldest = _oldest_ns(series, names)
        return [
            SubjectTransitions(
                subject=subject,
                from_ns=oldest[subject],
                decisions=self._decisions(subject, groups.get(subject, ""), now.get(subject, [])),
            )
            for subject in changed
        ]

    def _decisions(self, subject: str, group: str, episodes: list[_Episode]) -> list[Decision]:
        found: list[Decision] = []
        code, timeout_s = self.step.stage.settings.code, self._timeout_ns / NS_PER_S
        for last_ns, raised_ns, cleared_ns in episodes:
            ends = [(True, code, timeout_s, last_ns, raised_ns)]
            if cleared_ns >= 0:
                silent_s = (cleared_ns - last_ns) / NS_PER_S
                ends.append((False, f"{code}_OVER", silent_s, raised_ns, cleared_ns))
            for raised, said, value_s, start_ns, end_ns in ends:
                reason = Reason(
                    code=said,
                    measure="silent_s",
                    value=value_s,
                    threshold=timeout_s,
                    unit="s",
                    version=self.step.version,
                )
                found.append(
                    self.step.decision(
                        self._pipeline,
                        subject=subject,
                        group=group,
                        raised=raised,
                        event_ns=end_ns,
                        window_start_ns=start_ns,
                        window_end_ns=end_ns,
                        score=value_s,
                        confidence=1.0,
                        reasons=(reason,),
                        mode=Mode.PRIMARY,
                    )
                )
        return found

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(self._known)

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._known = {s: tuple((e[0], e[1], e[2]) for e in es) for s, es in plain.items()}


def presence_episodes(
    series: WindowSeries,
    *,
    now_ns: int,
    timeout_ns: int,
    plans: dict[int, ContactPlan],
    default_plan: ContactPlan | None,
    heard_ns: IntArray | None = None,
) -> SilenceEpisodes:
    """Silences of every subject of a presence series.

    Args:
        series: presence, with ``first_offset_ns`` and ``last_offset_ns``.
        now_ns: time up to which all punctual data has arrived.
        timeout_ns: expected contact time without data that makes a silence.
        plans: contact plan by subject id.
        default_plan: of all others; None: always expected.
        heard_ns: int64[subjects], when each last delivered anything, however old. A subject that
            delivers its backlog is behind, not silent: the silence it may end with is not known
            yet. None: nothing more can come.
    """
    start = series.window * series.slide_ns
    found = silence_episodes(
        subject=series.key,
        first_ns=start + series.column("first_offset_ns").astype(np.int64),
        last_ns=start + series.column("last_offset_ns").astype(np.int64),
        now_ns=now_ns,
        timeout_ns=timeout_ns,
        plans=plans,
        default_plan=default_plan,
    )
    if heard_ns is None:
        return found
    subject = (series.code[found.row] >> 42).astype(np.int64)
    is_known = (found.cleared_ns >= 0) | (heard_ns[subject] + timeout_ns <= now_ns)
    return SilenceEpisodes(
        row=found.row[is_known],
        last_ns=found.last_ns[is_known],
        raised_ns=found.raised_ns[is_known],
        cleared_ns=found.cleared_ns[is_known],
    )


def _oldest_ns(series: WindowSeries, names: Names) -> dict[str, int]:
    """Last datum of the oldest slot held of each subject: what lies before is settled."""
    key = series.code >> 42
    is_first = np.ones(len(key), np.bool_)
    is_first[1:] = key[1:] != key[:-1]
    rows = np.flatnonzero(is_first)
    last_ns = series.start_ns(rows) + series.column("last_offset_ns")[rows].astype(np.int64)
    return {names[k]: t for k, t in zip(key[rows].tolist(), last_ns.tolist(), strict=True)}


def _rows(stage: str, flat: list[tuple[str, _Episode]]) -> StageRows:
    return StageRows(
        stage=stage,
        subjects=tuple(subject for subject, _ in flat),
        start_ns=np.array([episode[0] for _, episode in flat], np.int64),
        values=np.array([episode for _, episode in flat], np.float64).reshape(-1, 3),
        columns=("last_ns", "raised_ns", "cleared_ns"),
    )
