"""Which column of a source carries what: names as found, and the units they state."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.records.signals import ORIGIN, RECEIVED_NS, ROW
from sightline.sense.contract import Contract

_ADDED = (ORIGIN, ROW, RECEIVED_NS)
_NAME_WITH_UNIT = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\[\]]*)\]$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumns:
    """Columns of one batch, matched with a contract.

    Attributes:
        of_field: field name to the source's column; None for an optional field that is absent.
        unit_of_field: field name to the unit stated in the column's name, where one is.
        problem: (field, expected, got) when the batch as a whole does not fit; else None.
    """

    of_field: Mapping[str, str | None]
    unit_of_field: Mapping[str, str]
    problem: tuple[str, str, str] | None


def find_columns(contract: Contract, names: Sequence[str]) -> SourceColumns:
    """Match the column ``names`` of a batch with ``contract``.

    A field's column may state its unit in brackets: ``snr_db [dB]``. The plain name wins where
    both are there.
    """
    of_field: dict[str, str | None] = {}
    units: dict[str, str] = {}
    with_unit = _names_with_unit(names)
    used = {n for n in contract.columns if n in names}
    problem: tuple[str, str, str] | None = None
    for field, form in contract.fields.items():
        wanted = form.column or field
        found: str | None = wanted if wanted in names else None
        if found is None and wanted in with_unit:
            found, units[field] = with_unit[wanted]
        of_field[field] = found
        if found is not None:
            used.add(found)
        elif form.required:
            problem = problem or (field, f"a column {wanted}", _listed(names))
    for wanted in contract.columns:
        if wanted not in used and wanted in _needed(contract):
            problem = (wanted, f"a column {wanted}", _listed(names))
            break
    if problem is None and contract.extra_columns == "refuse":
        extra = [n for n in names if n not in used and n not in _ADDED]
        if extra:
            problem = (extra[0], "no other columns than the contract's", _listed(extra))
    return SourceColumns(of_field=of_field, unit_of_field=units, problem=problem)


def plain_name(name: str) -> str:
    """A column's name without the unit it states.

    >>> plain_name("snr_db [dB]")
    'snr_db'
    """
    match = _NAME_WITH_UNIT.match(name)
    return name if match is None else match["name"]


def _needed(contract: Contract) -> set[str]:
    """Columns that every batch must have, apart from fields."""
    needed = {*contract.key}
    for form in (contract.event_time, contract.receipt_time, contract.sequence):
        if form is not None and form.column is not None:
            needed.add(form.column)
    if contract.group is not None:
        needed.add(contract.group)
    needed.update(f.unit_column for f in contract.fields.values() if f.unit_column is not None)
    return needed


def _names_with_unit(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Plain name to (name as found, unit)."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        match = _NAME_WITH_UNIT.match(name)
        if match is not None:
            found.setdefault(match["name"], (name, match["unit"].strip()))
    return found


def _listed(names: Sequence[str]) -> str:
    shown = [n for n in names if n not in _ADDED]
    text = ", ".join(shown) or "none"
    return text if len(text) <= 80 else text[:79] + "…"
