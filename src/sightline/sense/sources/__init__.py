"""Sources: files, directories, standard input and memory as streams of chunks of rows.

Bad files and bad lines never raise: they come out beside the rows, in the quarantine layout.
"""

from sightline.sense.source import Chunk, Source, Stream
from sightline.sense.sources.memory import MemorySource

__all__ = ["Chunk", "MemorySource", "Source", "Stream"]
