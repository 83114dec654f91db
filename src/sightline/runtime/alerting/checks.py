"""Checks of the ``alerting`` section of a pipeline, before the first record is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from sightline.errors import UsageError
from sightline.runtime.pipeline import AlarmForm, Pipeline, SilenceForm
from sightline.sense import Contract


class Fail(Protocol):
    """Raises a PipelineError."""

    def __call__(
        self, stage: str, expected: str, got: str, near: Sequence[str] = ()
    ) -> NoReturn: ...


def check_alerting(pipeline: Pipeline, contracts: Mapping[str, Contract], fail: Fail) -> None:
    """Numbers that fit together, attributes that exist, and a code for each deciding stage."""
    form = pipeline.alerting
    if form is None:
        return
    if form.subjects_file is not None:
        fail("", "alerting.subjects: read from its file, as load_plan does", form.subjects_file)
    try:
        form.rules(revise_ns=0, digest_by="")
    except UsageError as error:
        fail("", f"alerting: {error.expected}", error.got)
    known = {column for contract in contracts.values() for column in contract.key}
    known |= {c.group for c in contracts.values() if c.group is not None}
    known |= {name for attributes in form.subjects.values() for name in attributes}
    digest_by = [form.digest_by] if form.digest_by is not None else []
    for name in (*(form.by or ()), *digest_by):
        if name not in known:
            fail("", "alerting.by: key or group columns, or attributes of subjects", name,
                 near=sorted(known))  # fmt: skip
    stage_of: dict[str, str] = {}
    for name, stage in pipeline.stages.items():
        if not isinstance(stage, AlarmForm | SilenceForm):
            continue
        other = stage_of.setdefault(stage.code, name)
        if other != name:
            # An alarm point is a subject and a code: one stage would clear what another raised.
            fail(name, "a code of its own, as there is an alert desk", f"{stage.code}, of {other}")
    for code in form.latching:
        if code not in stage_of:
            fail("", "alerting.latching: codes of stages", code, near=sorted(stage_of))
