"""Sense: get records in and make them trustworthy.

Contracts say what a source promises; sources read files, standard input or memory into rows;
admission lets the rows through that keep their contract and says why the others do not.
"""

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
