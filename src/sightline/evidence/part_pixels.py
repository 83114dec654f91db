"""The pictures of parts out of a run's log, found by camera and capture time."""

from __future__ import annotations

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.frames import Image
from sightline.records.part import PartPicture
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.pictures.logged_pictures import LoggedPictures
from sightline.runtime.run_directory import RunDirectory


class PartPixels:
    """Finds pictures; the log is read once, and on from there when a run goes on.

    Only image files are found, of which ``images: {keep: full}`` keeps all: packets of a video
    cannot be read one by one.

    Args:
        run: whose log.
        limits: bounds of reading it.
    """

    def __init__(self, run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._run = run
        self._limits = limits
        self._sequence: dict[tuple[str, int], int] = {}
        self._read_to = -1

    def read_on(self) -> None:
        """Take note of the pictures that have come since.

        Raises:
            LogError: the log is damaged.
        """
        pictures = LoggedPictures()
        for entry in read_entries(
            self._run.storage,
            partition_name(0),
            after=self._read_to,
            kinds={EntryKind.IMAGE},
            skip_pruned=True,
            limits=self._limits,
        ):
            self._read_to = entry.sequence
            for one in pictures.take(entry):
                self._sequence[one.camera, one.capture_ns] = entry.sequence

    def pixels(self, picture: PartPicture) -> Image | None:
        """uint8[height, width] or [height, width, 3]; None where the log does not have it.

        Raises:
            LogError: it cannot be decoded.
        """
        sequence = self._sequence.get((picture.camera, picture.capture_ns))
        if sequence is None:
            return None
        for entry in read_entries(
            self._run.storage,
            partition_name(0),
            after=sequence - 1,
            until=sequence,
            kinds={EntryKind.IMAGE},
            limits=self._limits,
        ):
            for one in LoggedPictures().take(entry):
                return one.pixels()
        raise LogError(
            expected=f"the picture of {picture.camera} at log sequence {sequence}",
            got="none",
            where=str(self._run.path),
            action="run `sightline verify` on the run",
        )
