"""Sources: files, directories, standard input and memory as streams of chunks of rows.

Bad files and bad lines never raise: they come out beside the rows, in the quarantine layout.
"""

from sightline.sense.sources.files import open_source
from sightline.sense.sources.memory import MemorySource
from sightline.sense.sources.stream import Chunk, Source, Stream

__all__ = ["Chunk", "MemorySource", "Source", "Stream", "open_source"]
