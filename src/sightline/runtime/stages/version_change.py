"""``version_change``: a version changes a channel of those who run it, and nobody else's.

Two halves. In each partition :class:`DailyChannels` adds up the settled windows of each key to one
level and one noise of each channel and day, and says which version a key ran; both are in the log
of the fan-in, day by day. There :class:`VersionComparison` compares those who were updated with
those who were not, by :mod:`sightline.assess.version_change`. It looks at a day when nothing of it
can be late any more, so what it says depends neither on the order of arrival nor on the number of
workers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from sightline.assess.version_change import (
    BETS,
    RiskSet,
    UpdateDay,
    changes,
    comparable,
    effect,
    log_evidence,
    risk_sets,
    together,
)
from sightline.limits import Limits
from sightline.records import Decision
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.runtime.engine.stream import Names
from sightline.runtime.settings import DecidingSettings, Name, Scope
from sightline.runtime.stage import (
    AllKeysStage,
    Planning,
    Step,
    SubjectTransitions,
    Windows,
    Wiring,
)
from sightline.runtime.stages.daily_channels import DAY_NS, NO_DAY, DailyChannels, state_text

LEAST, MOST, UPDATED, EVIDENCE, SINCE = "AT_LEAST", "AT_MOST", "UPDATED", "EVIDENCE", "SINCE"
_INTERVAL_ERROR = 0.05
_NOT_NAMED = 0
"""Number of the version of those of whom nobody has said one."""
_LEVEL, _NOISE = 0, 1


class VersionChangeSettings(DecidingSettings):
    """Whether a new version changes a channel of those who run it, and nobody else's."""

    scope: Scope = "global"
    """What its decisions are about: all keys together, by version."""
    versions: Name
    """Source of rows that say which version a key runs from then on: its key is that of the
    telemetry and the version, as text."""
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("*.mean",)
    """Columns of the input, one of each channel: ``*.mean`` for that of every field."""
    days: Annotated[int, Field(ge=3, le=30)] = 10
    """Days after an update that are compared with as many before it. A third of them is tried
    too, for what is large."""
    false_alarms_per_version: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Probability that a version which changes nothing is ever told of, all its channels and all
    days on which it is looked at together."""
    intended: dict[str, tuple[str, ...]] = {}
    """By version, fields that it changes on purpose: those are not judged."""
    named_by: str | None = None
    """What decisions call a version, as in ``firmware=4.2``; null: the last key column of
    ``versions``."""


class VersionChangeStage(AllKeysStage):
    """A version changes a channel of those who run it, and nobody else's."""

    use = "version_change"
    Settings = VersionChangeSettings

    def plan(self, planning: Planning) -> Wiring:
        form: VersionChangeSettings = self.settings
        if DAY_NS % planning.slide_ns:
            planning.fail("windows that begin at a divisor of a day",
                          f"every {planning.slide_ns / NS_PER_S:g} s")  # fmt: skip
        reads = planning.measures_like(form.input, form.measures)
        if len({m.field or m.column for m in reads}) < len(reads):
            planning.fail("one measure of each field", ", ".join(m.column for m in reads))
        own = tuple(planning.contract.key)
        contract = planning.source(form.versions)
        if tuple(contract.key[:-1]) != own:
            planning.fail(f"versions: a source with the key [{', '.join(own)}, VERSION]",
                          f"{form.versions} with [{', '.join(contract.key)}]")  # fmt: skip
        if tuple(contract.watermark_columns) != own:
            planning.fail(
                f"versions: a source with timing.watermark_by: [{', '.join(own)}], so that its "
                f"rows go where the telemetry goes",
                f"[{', '.join(contract.watermark_columns)}]",
            )
        fields = [m.field for m in reads]
        for name in (name for names in form.intended.values() for name in names):
            if name not in fields:
                planning.fail("intended: fields of the measures", name, fields)
        named_by = form.named_by or contract.key[-1]
        return Wiring(reads=reads, settings=form.model_copy(update={"named_by": named_by}))

    @property
    def attribute(self) -> str:
        found: str = self.settings.named_by
        return found

    @property
    def lookback(self) -> int:
        return 3  # the second differences of the next settled window

    @property
    def beside(self) -> str | None:
        found: str = self.settings.versions
        return found

    def explain(self, reason: Reason) -> str:
        code = self.settings.code
        if reason.code == code:
            return (
                "by so much it differs on those who run the version from what it would be "
                "without, by those of the same days who did not get it"
            )
        return {
            f"{code}_OVER": "so many still run the version",
            LEAST: "the difference is at least that, with 95 %, however often it was looked at",
            MOST: "the difference is at most that, with 95 %, however often it was looked at",
            UPDATED: "so many were updated on days on which others were not, and are compared",
            EVIDENCE: "so much speaks against chance; the threshold is what the settings ask for",
            SINCE: "so long before that day ended the first of them was updated",
        }.get(reason.code) or super().explain(reason)

    def begin_state(self, step: Step, limits: Limits) -> DailyChannels:
        return DailyChannels(step, limits)

    def begin_all_keys(self, step: Step, *, pipeline: str, limits: Limits) -> VersionComparison:
        return VersionComparison(step, pipeline, limits)

    def run(self, windows: Windows) -> Sequence[SubjectTransitions]:
        """Nothing: it follows settled windows alone."""
        return ()


# --- over all keys --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Judged:
    """What is known of one version.

    Attributes:
        first_day: on which somebody got it while somebody else did not; -1 before that.
        products: for each number of days, float64[BETS, c], logarithms.
        updated: for each number of days, subjects that were compared.
        told: metrics that were told of.
        is_standing: whether something told of it stands.
    """

    products: list[FloatArray]
    updated: list[int]
    first_day: int = NO_DAY
    told: set[int] = field(default_factory=set)
    is_standing: bool = False


class VersionComparison:
    """The half over all keys: days and versions of every subject, and the evidence by version.

    Args:
        step: of the plan.
        pipeline: digest.
        limits: ``max_learnt_series``, ``max_versions``.
    """

    def __init__(self, step: Step, pipeline: str, limits: Limits) -> None:
        self.step = step
        self._pipeline = pipeline
        self._form: VersionChangeSettings = step.stage.settings
        self._metrics = [(kind, m) for kind in (_LEVEL, _NOISE) for m in step.reads]
        self._lengths = (max(self._form.days // 3, 1), self._form.days)
        # Enough to compare those who were updated in the last three times `days` with each other.
        self._kept = 6 * self._form.days + 1
        self._max_subjects = limits.max_learnt_series // len(step.reads)
        self._max_versions = limits.max_versions
        self._without_room = 0
        self._subjects = Names()
        self._versions = Names([""])
        self._judged: dict[int, _Judged] = {}
        self._next = NO_DAY
        """Number of the first day that is not looked at yet; the ring ends before it."""
        self._daily = np.empty((0, self._kept, len(self._metrics)))
        self._ran = np.empty((0, self._kept), np.int64)
        self._runs = np.empty(0, np.int64)
        self._waiting: dict[int, dict[int, list[float | None]]] = {}
        self._named: dict[int, dict[int, int]] = {}

    # --- what partitions report -------------------------------------------------------------------

    def take(self, report: Any) -> None:
        """Days that are over, and versions that were named, in one partition."""
        self._without_room += report["without_room"]
        for subject, day, values in report["days"]:
            identity = self._identity(self._subjects, subject, self._max_subjects)
            if identity is not None and day >= self._next:
                self._waiting.setdefault(day, {})[identity] = values
        for subject, day, version in report["versions"]:
            identity = self._identity(self._subjects, subject, self._max_subjects)
            number = self._identity(self._versions, version, self._max_versions + 1)
            if identity is not None and number is not None and day >= self._next:
                self._named.setdefault(day, {})[identity] = number

    def _identity(self, names: Names, name: str, most: int) -> int | None:
        found = names.find(name)
        if found is None and len(names) >= most:
            self._without_room += 1
        elif found is None:
            found = int(names.encode(pl.Series([name]), most=most)[0])
        return found

    def _resize(self) -> None:
        new = len(self._subjects) - len(self._runs)
        if new > 0:
            nothing = np.full((new, self._kept, len(self._metrics)), np.nan)
            self._daily = np.concatenate([self._daily, nothing])
            self._ran = np.concatenate([self._ran, np.full((new, self._kept), _NOT_NAMED)])
            self._runs = np.append(self._runs, np.full(new, _NOT_NAMED))

    # --- days -------------------------------------------------------------------------------------

    def look(self, settled_ns: int) -> list[SubjectTransitions]:
        """What follows from all days that ended at or before ``settled_ns``, UTC ns."""
        days = {*self._waiting, *self._named}
        if not days:
            return []
        end = min(settled_ns // DAY_NS, max(days) + 1)
        if self._next == NO_DAY and min(days) < end:
            self._next = min(days)
        said: dict[str, list[Decision]] = {}
        while NO_DAY < self._next < end:
            self._jump(min(end, *(day for day in days if day >= self._next)))
            for decision in self._end_day():
                said.setdefault(decision.subject, []).append(decision)
        return [
            SubjectTransitions(subject=subject, from_ns=found[0].event_ns, decisions=found)
            for subject, found in sorted(said.items())
        ]

    def _jump(self, to: int) -> None:
        """To the next day of which there is anything, if nothing before it is left in the ring."""
        if to - self._next > self._kept:
            self._daily[:] = np.nan
            self._ran[:] = self._runs[:, None]
            self._next = to - self._kept

    def _end_day(self) -> Iterator[Decision]:
        """Take the next day into the ring, and look at what it completes."""
        self._resize()
        day = self._next
        self._next += 1
        for ring in (self._daily, self._ran):
            ring[:, :-1] = ring[:, 1:].copy()  # numpy moves what overlaps only by a copy
        self._daily[:, -1] = np.nan
        for identity, values in self._waiting.pop(day, {}).items():
            self._daily[identity, -1] = [np.nan if v is None else v for v in values]
        for identity, number in self._named.pop(day, {}).items():
            self._runs[identity] = number
        self._ran[:, -1] = self._runs
        grown: set[int] = set()
        for at, length in enumerate(self._lengths):
            for found, changed in self._update_days(length, self._kept):
                one = self._judged.get(found.version)
                if one is None:
                    nothing = np.zeros((BETS, len(self._metrics)))
                    one = self._judged[found.version] = _Judged(
                        products=[nothing.copy() for _ in self._lengths],
                        updated=[0 for _ in self._lengths],
                        first_day=day - length,
                    )
                one.products[at] += log_evidence(changed)
                one.updated[at] += int(changed.is_updated.sum())
                grown.add(found.version)
        for number in sorted(grown, key=self._versions.__getitem__):
            yield from self._tell(number, day)
        for number, one in sorted(self._judged.items()):
            if one.is_standing and not (self._runs == number).any():
                one.is_standing = False
                yield self._over(number, one, day)

    def _update_days(self, length: int, end: int) -> Iterator[tuple[RiskSet, UpdateDay]]:
        """The risk sets whose days after an update end with column ``end - 1`` of the ring."""
        begin = end - 3 * length - 1
        if begin < 0:
            return
        found = risk_sets(self._ran[:, begin:end], days=length, known_from=_NOT_NAMED + 1)
        # By name, not by number: numbers hang on the order of arrival.
        name = self._versions.__getitem__
        for one in sorted(found, key=lambda one: (name(one.version), name(one.before))):
            at = np.array(
                sorted(np.flatnonzero(one.has).tolist(), key=self._subjects.__getitem__), np.int64
            )
            yield (
                one,
                UpdateDay(
                    change=changes(
                        comparable(self._daily[at, begin:end], self._ran[at, begin:end]),
                        days=length,
                    ),
                    share=one.share[at],
                    is_updated=one.is_updated[at],
                ),
            )

    # --- telling ----------------------------------------------------------------------------------

    def _tell(self, number: int, day: int) -> Iterator[Decision]:
        """A decision, if the evidence is enough for metrics that were not told of yet."""
        one, version = self._judged[number], self._versions[number]
        intended = self._form.intended.get(version, ())
        tests = len(self._metrics) * len(self._lengths)
        limit = math.log(tests / self._form.false_alarms_per_version)
        evidence = np.stack([together(products) for products in one.products])
        best = evidence.max(axis=0)
        new = [
            metric
            for metric in np.argsort(-best, kind="stable").tolist()
            if best[metric] >= limit
            and metric not in one.told
            and self._metrics[metric][1].field not in intended
        ]
        if not new:
            return
        one.told.update(new)
        one.is_standing = True
        reasons: list[Reason] = []
        for metric in new:
            at = int(evidence[:, metric].argmax())
            reasons += self._reasons(number, metric, at, float(best[metric]), limit)
        reasons.append(
            self._reason(SINCE, "since the first update", float(day + 1 - one.first_day), "d")
        )
        yield self._decision(version, one, day, raised=True, reasons=tuple(reasons))

    def _reasons(
        self, number: int, metric: int, at: int, evidence: float, limit: float
    ) -> list[Reason]:
        """What is told of one metric: its size, between which bounds, of how many, and how sure."""
        kind, measure = self._metrics[metric]
        length = self._lengths[at]
        update_days = [
            changed
            for end in range(3 * length + 1, self._kept + 1)
            for found, changed in self._update_days(length, end)
            if found.version == number
        ]
        size = effect(update_days, metric, error=_INTERVAL_ERROR / len(self._lengths))
        said = measure.column if kind == _LEVEL else f"noise of {measure.column}"
        digits = math.log(10)
        return [
            self._reason(self._form.code, said, size.size, measure.unit),
            self._reason(LEAST, "at least", size.low, measure.unit),
            self._reason(MOST, "at most", size.high, measure.unit),
            self._reason(UPDATED, "updated", float(self._judged[number].updated[at]), "1"),
            self._reason(
                EVIDENCE,
                "powers of ten against chance",
                evidence / digits,
                "1",
                threshold=limit / digits,
            ),
        ]

    def _over(self, number: int, one: _Judged, day: int) -> Decision:
        code = f"{self._form.code}_OVER"
        return self._decision(
            self._versions[number], one, day, raised=False,
            reasons=(self._reason(code, "run the version", 0.0, "1"),),
        )  # fmt: skip

    def _reason(
        self, code: str, measure: str, value: float, unit: str, *, threshold: float = math.nan
    ) -> Reason:
        # Nine digits are more than anybody reads, and hide the last bits of a processor.
        rounded = float(f"{value:.9g}") if math.isfinite(value) else math.nan
        return Reason(
            code=code,
            measure=measure,
            value=rounded,
            threshold=threshold,
            unit=unit,
            version=self.step.version,
        )

    def _decision(
        self, version: str, one: _Judged, day: int, *, raised: bool, reasons: tuple[Reason, ...]
    ) -> Decision:
        stage = self.step.stage
        assert isinstance(stage, VersionChangeStage)
        end_ns = (day + 1) * DAY_NS
        return self.step.decision(
            self._pipeline,
            subject=f"{stage.attribute}={version}",
            group="",
            raised=raised,
            event_ns=end_ns,
            window_start_ns=one.first_day * DAY_NS,
            window_end_ns=end_ns,
            score=reasons[0].value,
            confidence=1.0,
            reasons=reasons,
            mode=Mode.PRIMARY,
        )

    # --- what it came to --------------------------------------------------------------------------

    def advice(self) -> str:
        """What could not be judged, and why."""
        named = [self._versions[number] for number in range(1, len(self._versions))]
        if not named:
            return (
                f"nothing could be judged: no row of {self._form.versions} says which version "
                "a key runs"
            )
        first = set(self._judged)
        missed = sorted(n for i, n in enumerate(named, 1) if i not in first)
        if not first:
            return (
                f"nothing could be judged of {', '.join(missed[:5])}: nobody got it with "
                f"{2 * self._lengths[0]} days before and {self._lengths[0]} after while others "
                "were left behind"
            )
        return ""

    def at_bounds(self) -> tuple[tuple[str, int], ...]:
        """Reports of keys or versions that found no room."""
        name = f"max_versions or max_learnt_series of {self.step.name}"
        return ((name, self._without_room),) if self._without_room else ()

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """Between two epochs."""
        plain = {
            "version": self.step.stage.version,
            "subjects": self._subjects.all(),
            "versions": self._versions.all(),
            "next": self._next,
            "without_room": self._without_room,
            "waiting": [[day, list(map(list, of.items()))] for day, of in self._waiting.items()],
            "named": [[day, list(map(list, of.items()))] for day, of in self._named.items()],
            "judged": [
                [number, one.first_day, one.updated, sorted(one.told), one.is_standing]
                for number, one in self._judged.items()
            ],
        }
        arrays = {
            f"products.{number}": np.stack(one.products) for number, one in self._judged.items()
        }
        return {
            **arrays,
            "plain": np.frombuffer(json.dumps(plain).encode(), np.uint8).copy(),
            "daily": self._daily.copy(),
            "ran": self._ran.copy(),
            "runs": self._runs.copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: state of another version of the stage.
        """
        plain = state_text(self.step, arrays)
        self._subjects, self._versions = Names(plain["subjects"]), Names(plain["versions"])
        self._next, self._without_room = plain["next"], plain["without_room"]
        self._waiting = {day: dict(of) for day, of in plain["waiting"]}
        self._named = {day: dict(of) for day, of in plain["named"]}
        self._judged = {
            number: _Judged(
                products=list(arrays[f"products.{number}"].astype(np.float64)),
                updated=list(updated),
                first_day=first_day,
                told=set(told),
                is_standing=is_standing,
            )
            for number, first_day, updated, told, is_standing in plain["judged"]
        }
        self._daily = arrays["daily"].astype(np.float64)
        self._ran = arrays["ran"].astype(np.int64)
        self._runs = arrays["runs"].astype(np.int64)
