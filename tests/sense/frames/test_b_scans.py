"""Files of B-scans, right and wrong."""

import numpy as np
import pytest

from perceive.inspection.scan_cases import write_scans
from sightline.errors import SourceError
from sightline.sense.frames.b_scans import read_b_scans


@pytest.fixture
def path(tmp_path):
    return write_scans(tmp_path, [0.0, 2.5, 4.0], seed=0)


def test_scans_come_with_the_sizes_of_their_flaws(path):
    found = read_b_scans(path)
    assert found.amplitude.shape == (3, 64, 64)
    assert found.amplitude.dtype == np.uint16
    assert found.size.tolist() == [0.0, 2.5, 4.0]


@pytest.mark.parametrize(
    ("suffix", "text", "error"),
    [
        (".meta", "UInt8, 64 x 64 x 3", "UInt16, rows x columns x scans"),
        (".meta", "UInt16, 64 x 64 x 4", "32768 bytes"),
        (".meta", "UInt16, 0 x 64 x 3", "0 bytes"),
        (".labels", "1 2.5\n", "3 labels"),
        (".labels", "0 0\n1 2.5\n1 nan\n", "line 3"),
        (".labels", "0 0\n0 2.5\n1 4\n", "line 2"),
        (".labels", "0 0\n1 2.5\none 4\n", "line 3"),
        (".labels", "0 0\n1 2.5\n1\n", "line 3"),
    ],
)
def test_a_wrong_file_is_refused_by_what_is_wrong(path, suffix, text, error):
    path.with_suffix(suffix).write_text(text)
    with pytest.raises(SourceError, match=error):
        read_b_scans(path)


@pytest.mark.parametrize("suffix", [".meta", ".labels"])
def test_a_missing_file_is_named(path, suffix):
    path.with_suffix(suffix).unlink()
    with pytest.raises(SourceError, match=f"scans{suffix}"):
        read_b_scans(path)
