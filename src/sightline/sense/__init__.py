"""Sense: get records in and make them trustworthy.

Contracts say what a source promises; sources read files, standard input or memory into rows;
admission lets the rows through that keep their contract and says why the others do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightline.late_names import late_names

if TYPE_CHECKING:
    from sightline.sense.admission import Admission, admit
    from sightline.sense.contract import Contract, load_contract
    from sightline.sense.opening import open_source, source_registry
    from sightline.sense.refused_rows import feed_again_frame, refuse
    from sightline.sense.source import MemorySource, Source

__all__ = [
    "Admission",
    "Contract",
    "MemorySource",
    "Source",
    "admit",
    "feed_again_frame",
    "load_contract",
    "open_source",
    "refuse",
    "source_registry",
]

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "Admission": "sightline.sense.admission",
        "Contract": "sightline.sense.contract",
        "MemorySource": "sightline.sense.source",
        "Source": "sightline.sense.source",
        "admit": "sightline.sense.admission",
        "feed_again_frame": "sightline.sense.refused_rows",
        "load_contract": "sightline.sense.contract",
        "open_source": "sightline.sense.opening",
        "refuse": "sightline.sense.refused_rows",
        "source_registry": "sightline.sense.opening",
    }
)
__getattr__ = late_names(__name__, _PLACES)
