"""States of the site's watchers as JSON-ready mappings, for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from sightline.errors import UsageError

FORMAT = 1
StateT = TypeVar("StateT")


def snapshot(state: object) -> dict[str, Any]:
    """A frozen dataclass of arrays and numbers as JSON-ready mapping; NaN becomes null.

    >>> from sightline.assess.site.machines import PairsAtRisk
    >>> from_snapshot(PairsAtRisk, snapshot(PairsAtRisk.start())).person_id
    array([], dtype=int64)
    """
    plain: dict[str, Any] = {"format": FORMAT, "kind": type(state).__name__}
    for field in fields(state):  # type: ignore[arg-type]
        value = getattr(state, field.name)
        if isinstance(value, np.ndarray):
            flat = value.ravel().tolist()
            plain[field.name] = {
                "dtype": value.dtype.name,
                "shape": list(value.shape),
                "values": [None if v != v else v for v in flat],  # noqa: PLR0124
            }
        else:
            plain[field.name] = value
    return plain


def from_snapshot(kind: type[StateT], plain: Mapping[str, Any]) -> StateT:
    """Inverse of :func:`snapshot`.

    Args:
        kind: the class of the state.
        plain: what ``snapshot`` gave.

    Raises:
        UsageError: if it is no such state.
    """
    try:
        if plain["format"] != FORMAT or plain["kind"] != kind.__name__:
            raise ValueError(f"format {plain['format']}, kind {plain['kind']}")
        values = {}
        for field in fields(kind):  # type: ignore[arg-type]
            value = plain[field.name]
            if isinstance(value, Mapping):
                numbers = [np.nan if v is None else v for v in value["values"]]
                value = np.array(numbers, np.dtype(value["dtype"])).reshape(value["shape"])
            values[field.name] = value
        return kind(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            expected=f"a {kind.__name__} of format {FORMAT}",
            got=f"{type(error).__name__}: {error}",
            where="snapshot of a site's state",
            action="delete the checkpoint; the state is rebuilt from the log",
        ) from error
