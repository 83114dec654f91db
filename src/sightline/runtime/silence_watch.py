"""A silence stage over one presence series: what has changed since it was last looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sightline.perceive.window_series import WindowSeries
from sightline.records.windows import IntArray
from sightline.runtime.deciding import (
    SubjectTransitions,
    presence_episodes,
    silence_decisions,
)
from sightline.runtime.operator_inputs import OperatorInputs
from sightline.runtime.plan import Plan, Step, silence_timeout_ns
from sightline.runtime.stage_rows import StageRows
from sightline.runtime.stream import Names

_Episode = tuple[int, int, int]  # last datum, raised, cleared or -1; ns


class SilenceWatch:
    """Silences of the subjects of one series; the same for keys and for groups.

    Args:
        plan: the checked pipeline.
        step: a silence stage.
        source: whose contact plan applies.
    """

    def __init__(self, plan: Plan, step: Step, source: str) -> None:
        self._plan = plan
        self.step = step
        self._source = source
        self._timeout_ns = silence_timeout_ns(plan, step)
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
            heard_ns: see :func:`.deciding.presence_episodes`.
            group_of: group of a subject, from its key id and its row in the series.
            observe: sees the episodes of the subjects that changed.
        """
        plans, default = inputs.plans(self._source, names.all())
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
                decisions=silence_decisions(
                    self._plan,
                    self.step,
                    subject=subject,
                    group=groups.get(subject, ""),
                    timeout_ns=self._timeout_ns,
                    episodes=now.get(subject, []),
                ),
            )
            for subject in changed
        ]

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(self._known)

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._known = {s: tuple((e[0], e[1], e[2]) for e in es) for s, es in plain.items()}


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
