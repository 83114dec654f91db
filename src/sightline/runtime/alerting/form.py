"""The ``alerting`` section of a pipeline: what makes messages of its decisions.

Every number is that of :class:`sightline.decide.alerting.AlertingRules`, in seconds here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sightline.decide.alerting import AlertingRules, GroupingRule, StormRule
from sightline.errors import PipelineError
from sightline.limits import Limits
from sightline.records.decision import Severity
from sightline.records.signals import NS_PER_S
from sightline.sense.yaml_form import read_yaml

_RULES = AlertingRules()
_MAX_SUBJECTS = 100_000
_MOST_TABLE_BYTES = 64 << 20
"""Of a file of subjects; a larger one is refused."""
Seconds = Annotated[float, Field(ge=0, le=31_536_000)]
PositiveSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Bound = Annotated[int, Field(ge=1, le=1_000_000)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StormForm(_Form):
    """When messages become a digest."""

    window_s: PositiveSeconds = _RULES.storm.window_ns / NS_PER_S
    """Length of the time over which messages are counted, in seconds."""
    max_messages: Bound = _RULES.storm.max_messages
    """More messages than this in the window are a storm: from then on a digest is sent."""
    calm_below: Bound = _RULES.storm.calm_below
    """Fewer alerts than this in the window end the storm."""
    digest_every_s: PositiveSeconds = _RULES.storm.digest_every_ns / NS_PER_S
    """Time between two digests of a storm, in seconds."""


class GroupingForm(_Form):
    """When alerts have a common cause."""

    member_probability: Annotated[float, Field(gt=0, lt=1)] = _RULES.grouping.member_probability
    """That a subject alerts by itself within ``hold_s``."""
    max_tail: Annotated[float, Field(gt=0)] = _RULES.grouping.max_tail
    """Largest probability of so many alerts by chance at which a common cause is named."""
    min_members: Annotated[int, Field(ge=2)] = _RULES.grouping.min_members
    """Fewest subjects for which a common cause is named."""


class AlertingForm(_Form):
    """What one operator is told of the decisions of a pipeline.

    >>> AlertingForm(hold_s=30).hold_s, AlertingForm().storm.max_messages
    (30.0, 10)
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = _RULES.name
    """Of the desk, in messages and metrics."""
    hold_s: Seconds = _RULES.hold_ns / NS_PER_S
    """How long an alert waits for others of the same cause, in seconds of event time."""
    urgent: tuple[Severity, ...] = _RULES.urgent
    """Severities that do not wait."""
    join_s: Seconds = _RULES.join_ns / NS_PER_S
    """How long after the message of a cause further alerts join it, in seconds."""
    repeat_s: Seconds = _RULES.repeat_ns / NS_PER_S
    """How long after an alert the same subject and code is counted on it, in seconds."""
    update_every_s: PositiveSeconds = _RULES.update_every_ns / NS_PER_S
    """Shortest time between two updates of one message, in seconds."""
    tell_ends: bool = _RULES.tell_ends
    """Whether a message says that what was told is over."""
    storm: StormForm = StormForm()
    """From when on messages become a digest."""
    grouping: GroupingForm = GroupingForm()
    """From when on alerts have a common cause."""
    by: tuple[str, ...] | None = None
    """Attributes that may name a common cause: key columns, the contract's group column, columns
    of ``subjects``. Null: all of them."""
    digest_by: str | None = None
    """Attribute by which a digest is grouped; null: the first key column."""
    subjects: Annotated[dict[str, dict[str, str]], Field(max_length=_MAX_SUBJECTS)] = {}
    """Further attributes of a key or group: ``sat-7: {gateway: g-1, firmware: "4.2"}``."""
    subjects_file: str | None = None
    """The same as a YAML file, relative to the pipeline's; read into ``subjects``."""
    latching: tuple[str, ...] = _RULES.latching
    """Reason codes that stand until somebody resets them, even when their cause is gone."""
    max_shelve_s: PositiveSeconds = _RULES.max_shelve_ns / NS_PER_S
    """Longest time for which an alarm can be shelved, in seconds; more is cut to this."""
    late_s: Seconds = _RULES.late_ns / NS_PER_S
    """How long a mask is kept behind its end for alerts that come late, in seconds."""
    revise_s: Seconds | None = None
    """How long after its last event an alert can be retracted; null: the longest
    ``max_backlog_s`` of the sources."""
    max_points: Bound = _RULES.max_points
    """Alarms (subject and code) that are followed. Further ones are counted as untracked."""
    max_waiting: Bound = _RULES.max_waiting
    """Alerts that wait for others. At the bound they are released early."""
    max_digest: Bound = _RULES.max_digest
    """Alerts in a digest. At the bound it is sent early."""
    max_hidings: Bound = _RULES.max_hidings
    """Masks and shelves in force or to come. Further ones are refused."""
    max_placed: Bound = _RULES.max_placed
    """Alerts that can still be retracted. Beyond it the oldest cannot any more."""
    max_named: Bound = _RULES.max_named
    """Alerts named in one message or row of a digest; the others are counted."""
    max_groups: Bound = 100_000
    """Values of attributes whose subjects are counted. Further ones are never named as a cause."""
    max_controls: Bound = 1_000
    """Operator inputs whose time has not come. Further ones are refused, which is logged."""

    def rules(
        self,
        *,
        revise_ns: int,
        digest_by: str,
        population: Mapping[tuple[str, str], int] | None = None,
    ) -> AlertingRules:
        """The rules of the desk.

        Args:
            revise_ns: where ``revise_s`` is not given.
            digest_by: where it is not given.
            population: subjects by (attribute, value), as far as known.

        Raises:
            UsageError: numbers that do not fit together.
        """
        return AlertingRules(
            name=self.name,
            hold_ns=_ns(self.hold_s),
            urgent=self.urgent,
            grouping=GroupingRule(
                population=population or {},
                member_probability=self.grouping.member_probability,
                max_tail=self.grouping.max_tail,
                min_members=self.grouping.min_members,
            ),
            join_ns=_ns(self.join_s),
            repeat_ns=_ns(self.repeat_s),
            update_every_ns=_ns(self.update_every_s),
            tell_ends=self.tell_ends,
            storm=StormRule(
                window_ns=_ns(self.storm.window_s),
                max_messages=self.storm.max_messages,
                calm_below=self.storm.calm_below,
                digest_every_ns=_ns(self.storm.digest_every_s),
            ),
            digest_by=self.digest_by or digest_by,
            latching=self.latching,
            max_shelve_ns=_ns(self.max_shelve_s),
            revise_ns=revise_ns if self.revise_s is None else _ns(self.revise_s),
            late_ns=_ns(self.late_s),
            max_points=self.max_points,
            max_waiting=self.max_waiting,
            max_digest=self.max_digest,
            max_hidings=self.max_hidings,
            max_placed=self.max_placed,
            max_named=self.max_named,
        )


def with_subjects(form: AlertingForm | None, folder: Path) -> AlertingForm | None:
    """The section with the subjects of its file in it, so that a run depends on no file.

    Args:
        form: the section as written.
        folder: of the pipeline file.

    Raises:
        PipelineError: the file cannot be read, is no table of subjects, or repeats one.
    """
    if form is None or form.subjects_file is None:
        return form
    path = folder / form.subjects_file
    try:
        limits = Limits(max_document_bytes=_MOST_TABLE_BYTES)
        plain = read_yaml(path, kind_of_error=PipelineError, as_text=True, limits=limits)
        table = _table(plain)
    except ValueError as error:
        raise PipelineError(
            expected="a YAML table of subjects: `sat-7: {gateway: g-1}`, one a line",
            got=" ".join(str(error).split())[:200],
            where=str(path),
            action="mend the file",
        ) from error
    repeated = sorted(set(table) & set(form.subjects))
    if repeated:
        raise PipelineError(
            expected="each subject once",
            got=f"{repeated[0]} in the file and in the pipeline",
            where=f"{path}",
            action="remove it from one of them",
        )
    return form.model_copy(update={"subjects": {**form.subjects, **table}, "subjects_file": None})


def _table(plain: Any) -> dict[str, dict[str, str]]:
    if not isinstance(plain, dict) or len(plain) > _MAX_SUBJECTS:
        raise ValueError(f"no mapping of at most {_MAX_SUBJECTS} subjects")
    found: dict[str, dict[str, str]] = {}
    for subject, attributes in plain.items():
        if not isinstance(attributes, dict):
            raise ValueError(f"{subject}: no mapping of attributes")
        found[str(subject)] = {str(name): str(value) for name, value in attributes.items()}
    return found


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
