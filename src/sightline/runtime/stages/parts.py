"""``parts``: the parts of a line, from their triggers to where each goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from sightline.assess.parts import (
    PICTURE_WITHOUT_PART,
    Line,
    LineLayout,
    OpenPart,
    Place,
    Trigger,
)
from sightline.decide.disposition import (
    Costs,
    Disposed,
    Odds,
    ProcessCheck,
    RejectRun,
    Rule,
    dispose,
)
from sightline.decide.standing import Condition, condition_decision
from sightline.recorder.checkpoint import StateParts
from sightline.records.decision import Reason, Severity, Transition
from sightline.records.part import (
    Disposition,
    PartPicture,
    PartRecord,
    PartReview,
    ProcessValue,
    note_bytes,
)
from sightline.records.plain_json import null_or_number, number_or_null
from sightline.records.signals import KEY, NS_PER_S, TIME_NS
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import Form, ItemSettings, Name

REVIEW, RELEASE = "review_part", "release_line"
"""Operator inputs: what a person says of a part, and that a held line may go on."""
LINE_HELD = "LINE_HELD"
_SEVERITY = {
    Disposition.ACCEPT: Severity.INFO,
    Disposition.REVIEW: Severity.INFO,
    Disposition.REWORK: Severity.WARNING,
    Disposition.SCRAP: Severity.WARNING,
}
Metres = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LineForm(Form):
    """Which rows tell of the line itself."""

    source: Name
    """The source of rows."""
    key: str
    """Of the line's rows in it, as the key columns say, joined with "/"."""
    encoder: str = "encoder_m"
    """Column with the travel of the belt, in metres; it may go back."""
    trigger: str = "barrier"
    """Column that tells of a part: a light barrier or a PLC tag. Not read by: serial and pitch."""
    by: Literal["rise", "count", "serial", "pitch"] = "rise"
    """A part comes when the trigger rises to 1 (a light barrier), when it counts up (a PLC tag),
    with each serial number that is read, or each ``pitch_m`` of travel."""
    pitch_m: Annotated[float, Field(gt=0)] | None = None
    """Travel from part to part, with ``by: pitch``."""
    serial: str | None = None
    """Column with the serial number; null: there is none."""
    part_number: str | None = None
    """Column with the part number; what it says holds until it says something else."""
    recipe: str | None = None
    """Column with the recipe; the same."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.by == "pitch") != (self.pitch_m is not None):
            raise ValueError("pitch_m with by: pitch, and only with it")
        if self.by == "serial" and self.serial is None:
            raise ValueError("serial, the column, with by: serial")
        return self


class PlaceForm(Form):
    """Where something is seen of a part."""

    at_m: Metres
    """Travel from the trigger to there, in metres."""
    tolerance_m: Annotated[float, Field(gt=0)]
    """How far from there a part may be, in metres. Two parts closer than twice this can be in one
    picture."""


class ProcessForm(Form):
    """A process sensor that says something of each part."""

    column: str
    """Column of a series stage, as STAGE.COLUMN."""
    key: str
    """Of the series."""
    at_m: Metres = 0.0
    """Travel at which the part is before the sensor, in metres."""
    unit: str
    """Of the column, and of ``low`` and ``high``."""
    within_s: Seconds = 5.0
    """The first window that ends after the part was there counts, if it does so within this time;
    else the sensor is missing, in seconds."""
    low: float | None = None
    """Lowest value that is right; null: any."""
    high: float | None = None
    """Highest value that is right; null: any."""
    then: Disposition = Disposition.REVIEW
    """Where a part goes that is outside."""
    missing: Disposition = Disposition.ACCEPT
    """Where a part goes of which the sensor said nothing in time: ``accept`` leaves it to the
    pictures, with the stricter threshold of ``degraded_margin``."""


class RuleForm(Form):
    """What applies to some parts, stations and zones. The first rule that fits counts."""

    part_number: str = "*"
    """Pattern as in file names."""
    station: str = "*"
    """The same, of a station's name."""
    zone_px: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 in px: the middle of the most striking area lies in it; null: anywhere."""
    miss_cost: Money
    """Of a defect that is accepted."""
    false_reject_cost: Money
    """Of a good part that is scrapped, in the same unit."""
    review_cost: Money
    """Of a person who looks at a part."""
    rework_cost: Money | None = None
    """Of reworking a part; null: it cannot be."""
    odds_offset: float | None = None
    """With ``odds_slope``: log odds of a defect at score 0. `sightline parts RUN` works both out
    from reviews; null: the thresholds of the inspector decide, and costs do not."""
    odds_slope: Annotated[float, Field(gt=0)] | None = None
    """By how much the log odds rise with each unit of the score."""

    @model_validator(mode="after")
    def _both_odds(self) -> Self:
        if (self.odds_offset is None) != (self.odds_slope is None):
            raise ValueError("odds_offset and odds_slope, both or neither")
        return self

    def rule(self) -> Rule:
        """The rule itself."""
        odds = None
        if self.odds_offset is not None and self.odds_slope is not None:
            odds = Odds(offset=self.odds_offset, slope=self.odds_slope)
        costs = Costs(
            miss=self.miss_cost,
            false_reject=self.false_reject_cost,
            review=self.review_cost,
            rework=self.rework_cost,
        )
        return Rule(
            part_number=self.part_number,
            station=self.station,
            zone_px=self.zone_px,
            costs=costs,
            odds=odds,
        )


class HoldForm(Form):
    """When the line is held until somebody releases it."""

    rejects: Annotated[int, Field(ge=1)] = 5
    """So many parts reworked or scrapped …"""
    of: Annotated[int, Field(ge=1, le=10_000)] = 20
    """… among so many decided last."""
    drift_column: str | None = None
    """Column of a series stage that tells of drift, as STAGE.COLUMN: mostly the mean of a
    station's score; null: it is not looked at."""
    drift_key: str = ""
    """Of that series: the camera."""
    drift_above: float = 0.0
    """From here on it has drifted."""


class PartsSettings(ItemSettings):
    """The parts of a line, from their triggers to where each goes."""

    line: LineForm
    """Which rows tell of the belt, and of parts that come."""
    stations: dict[Name, PlaceForm]
    """Where the pictures of each `inspect` stage are taken; one for each input."""
    serial_at: PlaceForm | None = None
    """Where serial numbers are read; null: in the row of the trigger, if at all."""
    gate_m: Annotated[float, Field(gt=0)]
    """Travel at which a part must have been decided: where it would be taken out."""
    deadline_s: Seconds
    """Longest time from trigger to decision, whatever the belt does, in seconds."""
    min_gap_m: Annotated[float, Field(gt=0)]
    """Parts closer to each other than this are one: its trigger has come twice."""
    nominal_m_s: Annotated[float, Field(ge=0)]
    """Speed of the belt while nothing is heard of the encoder, in m/s."""
    silent_s: Seconds = 1.0
    """After so long without a reading nothing is heard of the encoder."""
    takt_s: Seconds | None = None
    """Longest time from the receipt of a part's last picture to its decision, in seconds. A part
    that waits longer, mostly for a sensor or the encoder, says OVER_TAKT and is `degraded`; where
    it goes does not change. null: nothing is promised."""
    late_s: Annotated[float, Field(ge=0)] = 0.0
    """How long rows may come late, and so how long each decision waits for them."""
    process: dict[Name, ProcessForm] = {}
    """Sensors that say something of each part."""
    rules: tuple[RuleForm, ...] = (RuleForm(miss_cost=100, false_reject_cost=10, review_cost=1),)
    """What applies to which parts; the last one must fit all."""
    degraded_margin: Annotated[float, Field(ge=0)] = 1.0
    """Added to each score where a sensor is missing: parts are rejected so much earlier, in
    deviations of the score."""
    reject_as: Disposition = Disposition.SCRAP
    """Where a picture above the inspector's threshold sends a part: rework or scrap."""
    fallback: Disposition = Disposition.REVIEW
    """Where a part goes of which a picture, or its serial number, is missing. Never accept."""
    hold: HoldForm = HoldForm()
    """When the line is held."""
    tells: Literal["not_accepted", "all"] = "not_accepted"
    """Which parts are decisions, that alerts tell of: ``all`` for a line controller that waits for
    each. Records of all parts are kept anyway."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if set(self.stations) != set(self.inputs):
            raise ValueError("stations: one for each stage under input")
        if self.fallback is Disposition.ACCEPT or self.reject_as not in (
            Disposition.REWORK,
            Disposition.SCRAP,
        ):
            raise ValueError("fallback: not accept; reject_as: rework or scrap")
        last = self.rules[-1] if self.rules else None
        if last is None or (last.part_number, last.station, last.zone_px) != ("*", "*", None):
            raise ValueError("rules whose last one fits all: no part_number, station or zone_px")
        beyond = [n for n, place in self.stations.items() if place.at_m >= self.gate_m]
        if beyond:
            raise ValueError(f"gate_m behind every station, and {beyond[0]} is not before it")
        return self


class PartsStage(ItemStage):
    """A part is born at a trigger, joined with what is seen of it, and decided before the gate."""

    use = "parts"
    Settings = PartsSettings
    reads = ("inspections",)
    writes = "parts"
    controls = (REVIEW, RELEASE)
    version = 2

    @property
    def rows_from(self) -> tuple[str, ...]:
        return (self.settings.line.source,)

    def plan(self, planning: ItemPlanning) -> None:
        form: PartsSettings = self.settings
        line = form.line
        contract = planning.contracts.get(line.source)
        if contract is None:
            planning.fail("line.source: a source of rows", line.source, sorted(planning.contracts))
        wanted = {"encoder": (line.encoder, "number")}
        for name in ("serial", "part_number", "recipe"):
            wanted[name] = (getattr(line, name), "text")
        if line.by in ("rise", "count"):
            wanted["trigger"] = (line.trigger, "number")
        for name, (column, kind) in wanted.items():
            if column is None:
                continue
            field = contract.fields.get(column)
            if field is None:
                planning.fail(f"line.{name}: a field of {line.source}", column,
                              sorted(contract.fields))  # fmt: skip
            if (field.type == "text") != (kind == "text"):
                planning.fail(f"line.{name}: a field of type {kind}", f"{column}: {field.type}")
        if contract.fields[line.encoder].unit != "m":
            planning.fail("line.encoder: a field in m", f"{contract.fields[line.encoder].unit}")
        for name, process in form.process.items():
            unit = planning.column(process.column).unit
            if unit != process.unit:
                planning.fail(f"process.{name}.unit: that of the column", f"{process.unit}, {unit}")
            if process.at_m >= form.gate_m:
                planning.fail(f"process.{name}.at_m before gate_m", f"{process.at_m:g}")
        if form.hold.drift_column is not None:
            planning.column(form.hold.drift_column)
        least_s = form.late_s + planning.tick_s
        if form.takt_s is not None and form.takt_s < least_s:
            planning.fail(
                f"takt_s of late_s and a tick at least, {least_s:g} s", f"{form.takt_s:g}"
            )
        if len(planning.cameras) != len(form.stations):
            planning.fail("a camera of its own for each station", ", ".join(planning.cameras))

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        if control["control"] == RELEASE:
            return None if control.get("reviewer") else "reviewer: who releases the line"
        try:
            review_of(control)
        except (KeyError, TypeError, ValueError) as error:
            return f"no review of a part ({error})"
        return None

    def explain(self, reason: Reason) -> str:
        return _MEANINGS.get(reason.code) or super().explain(reason)

    def begin(self, plan: ItemPlan) -> ItemState:
        return PartsState(self, plan)


_MEANINGS = {
    "REJECTED": "A picture is too unlike good parts.",
    "DOUBTFUL": "A picture is unlike good parts, and not enough to be sure.",
    "EXPECTED_COST": "Accepting it would cost more than this, by the odds of a defect.",
    "PICTURE_NOT_SEEN": "Nobody could look at a picture in time.",
    "MISSING_PICTURE": "A station took no picture of it before the gate or the deadline.",
    "NO_SERIAL": "Its serial number was not read.",
    "DUPLICATE_SERIAL": "Its serial number was read of another part before.",
    "SERIAL_CONFLICT": "Two serial numbers were read of it.",
    "TWO_PARTS_IN_PICTURE": "A picture shows two parts, and nobody can say which is meant.",
    "PROCESS_OUT_OF_RANGE": "A process sensor was outside of what is right.",
    "SENSOR_MISSING": "A process sensor said nothing in time: the threshold is a stricter one.",
    "OVER_TAKT": "It was decided later after its last picture than `takt_s` promises.",
    "ENCODER_SILENT": "The encoder was silent, so its place was worked out from the usual speed.",
    "TOO_MANY_PARTS": "More parts waited than can be held.",
    PICTURE_WITHOUT_PART: "A picture shows no part that a trigger has told of.",
    LINE_HELD: "The line is held until somebody releases it.",
}


def review_of(control: Mapping[str, Any]) -> PartReview:
    """The review that an operator input says.

    Raises:
        KeyError, TypeError, ValueError: it says none.
    """
    plain = {"kind": "", "station": "", "box_px": [0, 0, 0, 0], "size_px": 0.0, "mask_sha256": ""}
    plain |= {n: v for n, v in control.items() if n not in ("control", "id")}
    found = PartReview.from_mapping({**plain, "review_id": str(control.get("id") or "")})
    for name in ("part_id", "kind", "station", "mask_sha256", "reviewer"):
        if not isinstance(getattr(found, name), str) or len(getattr(found, name)) > _MOST_CHARS:
            raise ValueError(f"{name}: text of at most {_MOST_CHARS} characters")
    if not found.part_id or not found.reviewer or not isinstance(found.given_ns, int):
        raise ValueError("part_id, reviewer and given_ns")
    if not math.isfinite(found.size_px) or not all(map(math.isfinite, found.box_px)):
        raise ValueError("size_px and box_px: finite numbers")
    return found


_MOST_CHARS = 200


class PartsState(ItemState):
    """The parts that are on the line now."""

    def __init__(self, stage: PartsStage, plan: ItemPlan) -> None:
        form: PartsSettings = stage.settings
        self._name = stage.name
        self._form = form
        self._rules = tuple(one.rule() for one in form.rules)
        self._pipeline = plan.pipeline
        self._versions = {
            step.name: step.version
            for step in plan.items
            if step.name in {*form.inputs, stage.name}
        }
        self._stations = {
            step.cameras[0]: step.name for step in plan.items if step.name in form.inputs
        }
        self._line = Line(
            LineLayout(
                stations={n: _place(p) for n, p in form.stations.items()},
                serial=_serial_place(form),
                gate_m=form.gate_m,
                deadline_ns=_ns(form.deadline_s),
                min_gap_m=form.min_gap_m,
                nominal_m_s=form.nominal_m_s,
                silent_ns=_ns(form.silent_s),
                late_ns=_ns(form.late_s),
            )
        )
        self._rows: list[pl.DataFrame] = []
        self._process: dict[int, dict[str, tuple[float, int]]] = {}
        self._run = RejectRun(most=form.hold.rejects, of=form.hold.of)
        self._held: Reason | None = None
        self._trigger = math.nan  # what the trigger's column said last
        self._said = {"part_number": "", "recipe": ""}
        self._next_pitch_m = math.nan

    # --- what comes -------------------------------------------------------------------------------

    def on_rows(self, source: str, signals: pl.DataFrame) -> None:
        del source
        ours = signals.filter(pl.col(KEY) == self._form.line.key)
        if ours.height:
            self._rows.append(ours)

    def on_item(self, turn: Turn) -> None:
        assert turn.header is not None
        station = self._stations[turn.header.camera]
        picture = PartPicture.from_mapping(turn.value(station))
        self._line.see(picture, turn.header.received_ns)

    def on_refused(self, turn: Turn) -> None:
        header = turn.header
        assert header is not None
        self._line.see(
            PartPicture(
                station=self._stations[header.camera],
                camera=header.camera,
                index=header.index,
                digest=header.digest,
                capture_ns=header.capture_ns,
                code=header.signs[0].code if header.signs else "UNUSABLE",
                score=math.nan, reject_from=math.nan, review_from=math.nan,
                box_px=(0.0, 0.0, 0.0, 0.0), novelty=math.nan, likeness=math.nan,
            ),
            header.received_ns,
        )  # fmt: skip

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        if control["control"] == RELEASE:
            self._held = None
            self._run = RejectRun(most=self._form.hold.rejects, of=self._form.hold.of)
        else:
            turn.record(review_of(control))

    # --- time -------------------------------------------------------------------------------------

    def on_tick(self, turn: Turn) -> None:
        self._take_rows()
        self._line.advance(turn.at_ns, is_final=turn.is_final)
        self._note_process(turn)
        due = self._line.due(turn.at_ns, is_final=turn.is_final)
        ready = [p for p in self._line.open if p not in due and self._is_ready(p)]
        for part in sorted([*due, *ready], key=lambda p: p.number):
            self._decide(part, turn)
        self._hold(turn)
        self._say_orphans(turn)

    def _take_rows(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        table = pl.concat(rows).sort(TIME_NS, maintain_order=True)
        line = self._form.line
        time_ns = table[TIME_NS].to_numpy()
        travel_m = _numbers(table, line.encoder)
        known = np.isfinite(travel_m)
        self._line.belt.read(time_ns[known], travel_m[known])
        serials = _texts(table, line.serial)
        born = self._triggered(table, travel_m, serials)
        held = {n: _held(_texts(table, getattr(line, n)), self._said, n) for n in self._said}
        self._line.trigger(
            [
                Trigger(
                    at_ns=int(time_ns[i]),
                    serial=serials[i],
                    part_number=held["part_number"][i],
                    recipe=held["recipe"][i],
                )
                for i in np.flatnonzero(born).tolist()
            ]
        )
        if self._form.serial_at is not None:
            self._line.read_serials(
                [(int(time_ns[i]), serials[i]) for i in np.flatnonzero(~born).tolist()
                 if serials[i]]
            )  # fmt: skip

    def _triggered(self, table: pl.DataFrame, travel_m: Any, serials: list[str]) -> Any:
        """bool[n]: at which rows a part has come."""
        line = self._form.line
        if line.by == "serial":
            return np.array([bool(text) for text in serials])
        if line.by == "pitch":
            return self._at_pitch(travel_m)
        level = _numbers(table, line.trigger)
        known = np.flatnonzero(np.isfinite(level))
        found = np.zeros(table.height, np.bool_)
        if len(known):
            before = np.concatenate([[self._trigger], level[known][:-1]])
            with np.errstate(invalid="ignore"):
                rises = (level[known] >= 0.5) & ~(before >= 0.5)
                counts = (level[known] > before) & np.isfinite(before)
            found[known] = rises if line.by == "rise" else counts
            self._trigger = float(level[known][-1])
        return found

    def _at_pitch(self, travel_m: Any) -> Any:
        pitch_m = self._form.line.pitch_m
        assert pitch_m is not None
        found = np.zeros(len(travel_m), np.bool_)
        for i in np.flatnonzero(np.isfinite(travel_m)).tolist():
            if math.isnan(self._next_pitch_m):
                self._next_pitch_m = float(travel_m[i])
            if travel_m[i] >= self._next_pitch_m:
                found[i] = True
                passed = math.floor((travel_m[i] - self._next_pitch_m) / pitch_m) + 1
                self._next_pitch_m += passed * pitch_m
        return found

    def _note_process(self, turn: Turn) -> None:
        """What each sensor says of each part, as soon as its window has closed."""
        for part in self._line.open:
            known = self._process.setdefault(part.number, {})
            for name, form in self._form.process.items():
                if name in known:
                    continue
                at_ns = self._line.when_at(part, form.at_m)
                newest = turn.known(form.column, form.key)
                if 0 <= at_ns <= newest.end_ns <= at_ns + _ns(form.within_s):
                    known[name] = (newest.value, newest.end_ns)

    def _is_ready(self, part: OpenPart) -> bool:
        return self._line.is_complete(part) and len(self._process.get(part.number, {})) == len(
            self._form.process
        )

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self, part: OpenPart, turn: Turn) -> None:
        form, line = self._form, self._line
        line.decided(part)
        known = self._process.pop(part.number, {})
        process = []
        checks = []
        for name, one in form.process.items():
            value, end_ns = known.get(name, (math.nan, -1))
            process.append(
                ProcessValue(name=name, value=value, unit=one.unit, window_end_ns=end_ns)
            )
            checks.append(
                ProcessCheck(
                    name=name, value=value, unit=one.unit, then=one.then, missing=one.missing,
                    low=-math.inf if one.low is None else one.low,
                    high=math.inf if one.high is None else one.high,
                )
            )  # fmt: skip
        pictures = tuple(part.pictures[n] for n in form.stations if n in part.pictures)
        found = dispose(
            part.part_number,
            pictures,
            process=checks,
            marks=part.marks,
            rules=self._rules,
            margin=form.degraded_margin,
            reject_as=form.reject_as,
            fallback=form.fallback,
            version=turn.version,
            waited_s=0.0 if part.seen_ns < 0 else (turn.at_ns - part.seen_ns) / NS_PER_S,
            takt_s=math.inf if form.takt_s is None else form.takt_s,
        )
        self._run = self._run.after(found.disposition in (Disposition.REWORK, Disposition.SCRAP))
        record = PartRecord(
            part_id=f"{form.line.key}/{part.number:08d}",
            serial=part.serial,
            part_number=part.part_number,
            recipe=part.recipe,
            born_ns=part.born_ns,
            decided_ns=turn.at_ns,
            disposition=found.disposition,
            mode=found.mode,
            is_held=self._held is not None,
            reasons=found.reasons,
            pictures=pictures,
            process=tuple(process),
            probability=found.probability,
            costs=found.costs,
            pipeline=self._pipeline,
            versions=self._versions,
        )
        turn.record(record)
        turn.wrote(note_bytes(record))
        if form.tells == "all" or found.disposition is not Disposition.ACCEPT:
            self._say(record, found, turn)

    def _say(self, record: PartRecord, found: Disposed, turn: Turn) -> None:
        """A part that is not accepted is told of: to a line controller, or a person."""
        turn.decide(
            condition_decision(
                Condition(
                    kind=f"part_{found.disposition}",
                    subject=record.part_id,
                    group=self._form.line.key,
                    severity=_SEVERITY[found.disposition],
                    reason=found.reasons[0],
                ),
                turn.pipeline,
                turn.at_ns,
                Transition.RAISED,
                found.mode,
                reasons=found.reasons,
            )
        )

    def _say_orphans(self, turn: Turn) -> None:
        """A picture that shows no part: a trigger was lost, or something else passed by."""
        orphans, self._line.orphans = self._line.orphans, []
        for station in self._form.stations:
            newest = [one for one in orphans if one.station == station][-1:]
            turn.say(
                f"{self._name}/{station}",
                [
                    Condition(
                        kind=PICTURE_WITHOUT_PART.lower(),
                        subject=f"{self._form.line.key}/{station}",
                        group=self._form.line.key,
                        severity=Severity.WARNING,
                        reason=Reason(
                            code=PICTURE_WITHOUT_PART, measure="frame", value=float(one.index),
                            threshold=math.nan, unit="1", version=turn.version,
                        ),
                    )
                    for one in newest
                ],
            )  # fmt: skip

    def _hold(self, turn: Turn) -> None:
        """Hold the line where too many were rejected or the score has drifted; say so."""
        hold = self._form.hold
        if self._held is None and self._run.is_too_many:
            self._held = Reason(
                code=LINE_HELD, measure=f"rejects among {hold.of}",
                value=float(self._run.rejects), threshold=float(hold.rejects), unit="1",
                version=turn.version,
            )  # fmt: skip
        if self._held is None and hold.drift_column is not None:
            drift = turn.known(hold.drift_column, hold.drift_key)
            if drift.value >= hold.drift_above:
                self._held = Reason(
                    code=LINE_HELD, measure=hold.drift_column, value=drift.value,
                    threshold=hold.drift_above, unit="1", version=turn.version,
                )  # fmt: skip
        conditions = []
        if self._held is not None:
            conditions.append(
                Condition(
                    kind=LINE_HELD.lower(), subject=self._form.line.key, group="",
                    severity=Severity.CRITICAL, reason=self._held,
                )
            )  # fmt: skip
        turn.say(f"{self._name}/hold", conditions)

    # --- accounts, checkpoint ---------------------------------------------------------------------

    @property
    def left_aside(self) -> Mapping[str, int]:
        return dict(self._line.left_aside)

    def snapshot(self) -> StateParts:
        plain, arrays = self._line.snapshot()
        return StateParts(
            meta={
                "line": plain,
                "process": [
                    [number, name, number_or_null(value), end_ns]
                    for number, known in self._process.items()
                    for name, (value, end_ns) in known.items()
                ],
                "recent": list(self._run.recent),
                "held": None if self._held is None else self._held.as_mapping(),
                "trigger": number_or_null(self._trigger),
                "said": dict(self._said),
                "next_pitch_m": number_or_null(self._next_pitch_m),
            },
            arrays=arrays,
        )

    def restore(self, parts: StateParts) -> None:
        plain = parts.meta
        self._line.restore(plain["line"], parts.arrays)
        self._process = {}
        for number, name, value, end_ns in plain["process"]:
            self._process.setdefault(number, {})[name] = (null_or_number(value), end_ns)
        form = self._form.hold
        self._run = RejectRun(most=form.rejects, of=form.of, recent=tuple(plain["recent"]))
        self._held = None if plain["held"] is None else Reason.from_mapping(plain["held"])
        self._trigger = null_or_number(plain["trigger"])
        self._said = dict(plain["said"])
        self._next_pitch_m = null_or_number(plain["next_pitch_m"])


def _place(form: PlaceForm) -> Place:
    return Place(at_m=form.at_m, tolerance_m=form.tolerance_m)


def _serial_place(form: PartsSettings) -> Place | None:
    """Where serial numbers are read: at the trigger itself where nothing else is said."""
    if form.line.serial is None:
        return None
    if form.serial_at is None:
        return Place(at_m=0.0, tolerance_m=form.min_gap_m / 2)
    return _place(form.serial_at)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _numbers(table: pl.DataFrame, column: str) -> Any:
    """float64[n]; NaN where the row does not say."""
    return table[column].cast(pl.Float64).fill_null(math.nan).to_numpy()


def _texts(table: pl.DataFrame, column: str | None) -> list[str]:
    """Texts; empty where the row does not say."""
    if column is None:
        return [""] * table.height
    found: list[str] = table[column].fill_null("").str.strip_chars().to_list()
    return found


def _held(texts: list[str], said: dict[str, str], name: str) -> list[str]:
    """What holds at each row: what it says, or the last that did."""
    found = []
    for text in texts:
        said[name] = text or said[name]
        found.append(said[name])
    return found
