"""What alerts may have in common: attributes of their subjects, and how many share each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sightline.records import Decision
from sightline.runtime.alerting.form import AlertingForm
from sightline.runtime.engine.summary import KnownKey
from sightline.runtime.plan import ITEM_KEY, Plan

_EVERYWHERE = "*"  # subject of a silence of scope global, and group where there is none


class Subjects:
    """Attributes of subjects, and the subjects heard of so far.

    A group's population counts what may alert in it: of each key the key itself, if a stage
    decides on it, and each of its fields that a stage decides on.

    Args:
        plan: with an ``alerting`` section.
    """

    def __init__(self, plan: Plan) -> None:
        form = plan.pipeline.alerting
        assert form is not None
        self._form: AlertingForm = form
        self._contracts = plan.streams
        self._source_of: dict[str, str] = {}
        self._is_group: dict[str, bool] = {}
        parts: dict[str, set[str]] = {}
        for chain in plan.chains:
            for step in chain.steps:
                if step.stage.decides:
                    self._source_of[step.name] = chain.source
                    fields = {m.field for m in step.reads} or {""}
                    parts.setdefault(chain.source, set()).update(fields)
        for step in plan.watches:
            self._source_of[step.name] = plan.chain_of(step.name).source
            self._is_group[step.name] = True
        self._subjects_per_key = {source: len(found) for source, found in parts.items()}
        self._population: dict[tuple[str, str], int] = {}
        self.is_changed = True

    @property
    def population(self) -> Mapping[tuple[str, str], int]:
        """Subjects by (attribute, value), of the keys heard of so far."""
        return MappingProxyType(self._population)

    def note(self, keys: Iterable[KnownKey]) -> None:
        """Keys that were heard of for the first time."""
        for source, key, group in keys:
            count = self._subjects_per_key.get(source, 0)
            if not count:
                continue
            for pair in self._of_key(source, key, group).items():
                if pair not in self._population:
                    if len(self._population) >= self._form.max_groups:
                        continue
                    self._population[pair] = 0
                self._population[pair] += count
                self.is_changed = True

    def attributes(self, decision: Decision) -> dict[str, str]:
        """What the subject of a decision may share with others."""
        source = self._source_of.get(decision.kind)
        if source is None:  # of an item stage: its subject begins with the camera or the machine
            return self._chosen({ITEM_KEY: decision.subject.split("/")[0]})
        if self._is_group.get(decision.kind):
            group = "" if decision.subject == _EVERYWHERE else decision.subject
            return self._of_group(source, group)
        width = len(self._contracts[source].key)
        key = "/".join(decision.subject.split("/")[:width])
        return self._of_key(source, key, decision.group)

    def _of_key(self, source: str, key: str, group: str) -> dict[str, str]:
        contract = self._contracts[source]
        own = dict(zip(contract.key, key.split("/"), strict=False))
        if contract.group is not None and group:
            own[contract.group] = group
        return self._chosen({**own, **self._form.subjects.get(key, {})})

    def _of_group(self, source: str, group: str) -> dict[str, str]:
        name = self._contracts[source].group
        own = {name: group} if name is not None and group else {}
        return self._chosen({**own, **self._form.subjects.get(group, {})})

    def _chosen(self, found: Mapping[str, str]) -> dict[str, str]:
        by = self._form.by
        return {n: v for n, v in found.items() if by is None or n in by or n == self.digest_by}

    @property
    def digest_by(self) -> str:
        """Attribute by which a digest is grouped."""
        first = next(iter(self._contracts.values()), None)
        return self._form.digest_by or (ITEM_KEY if first is None else first.key[0])

    def snapshot(self) -> list[list[Any]]:
        """JSON-ready."""
        return [[*pair, count] for pair, count in sorted(self._population.items())]

    def restore(self, plain: Iterable[Iterable[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._population = {(str(name), str(value)): int(n) for name, value, n in plain}
        self.is_changed = True
