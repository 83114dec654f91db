"""A video file takes pictures at their own times, and what it cannot hold is an error."""

import numpy as np
import pytest

from sightline.errors import StorageError
from sightline.evidence.drawing.rendering import movie

PICTURE = np.zeros((48, 64, 3), np.uint8)


def test_pictures_that_are_too_far_apart_for_the_format_are_a_storage_error(tmp_path):
    pytest.importorskip("av")

    def write():
        with movie(tmp_path / "x.mp4", size_px=(64, 48), rate_hz=10) as file:
            for at_s in (0.0, 0.1, 30_000.0, 30_000.1):
                file.add(PICTURE, at_s)

    with pytest.raises(StorageError, match=r"x\.mp4"):
        write()
    assert not list(tmp_path.iterdir())
