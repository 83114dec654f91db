"""Sources: files, directories, standard input and memory as streams of chunks of rows.

Bad files and bad lines never raise: they come out beside the rows, in the quarantine layout.
"""

from sightline.sense.source import Chunk, MemorySource, Source, Stream

__all__ = ["Chunk", "MemorySource", "Source", "Stream"]
