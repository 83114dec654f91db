"""Pictures show what was missed and what was told for nothing, and lose no spike."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.galleries import JudgedSeries
from benchmarks.galleries.decimation import extreme_columns, extreme_rows
from benchmarks.galleries.picture import (
    MOST_CHANNELS,
    MOST_STRIPS,
    draw_series,
    draw_strips,
)
from sightline.errors import StorageError, UsageError
from sightline.records.windows import FloatArray
from tests.benchmarks.galleries.gallery_cases import judged

MISS, FALSE = (0xC0, 0x26, 0x2D), (0xD9, 0x85, 0x00)

columns = st.lists(
    st.floats(-1e9, 1e9, allow_nan=False) | st.just(float("nan")), min_size=1, max_size=200
).map(lambda values: np.array(values, np.float64))


def drawn(path: Path, series: JudgedSeries) -> np.ndarray:
    draw_series(path, series)
    return cv2.imread(str(path))[:, :, ::-1]


def pixels(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=2).sum())


# --- long columns -------------------------------------------------------------------------------


@given(values=columns, stretches=st.integers(1, 40))
def test_the_least_and_greatest_of_every_stretch_are_kept(
    values: FloatArray, stretches: int
) -> None:
    rows = extreme_rows(values, stretches=stretches)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= 2 * stretches
    if len(rows) == len(values):
        return
    edges = np.linspace(0, len(values), stretches + 1).astype(np.int64)
    for begin, end in pairwise(edges.tolist()):
        whole, kept = values[begin:end], values[rows[(rows >= begin) & (rows < end)]]
        assert len(kept)
        if np.isfinite(whole).any():
            assert np.nanmin(whole) == kept.min()
            assert np.nanmax(whole) == kept.max()


def test_a_stretch_without_values_stays_a_gap() -> None:
    values = np.zeros(100)
    values[40:60] = np.nan
    kept = values[extreme_rows(values, stretches=10)]
    assert np.isnan(kept).sum() == 2


def test_a_map_keeps_what_is_farthest_from_the_middle() -> None:
    values = np.array([[0.0, -4.0, 1.0, 3.0, np.nan, np.nan]])
    np.testing.assert_array_equal(extreme_columns(values, stretches=3), [[-4.0, 3.0, np.nan]])


# --- pictures -----------------------------------------------------------------------------------


def test_a_picture_is_1200_by_500(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a.png", judged(labels=[(10, 20)])).shape == (500, 1200, 3)


def test_equal_series_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_series(tmp_path / name, judged(labels=[(10, 20)], events=[(500, 520)]))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_missed_label_is_outlined_and_a_hit_is_not(tmp_path: Path) -> None:
    missed = drawn(tmp_path / "a.png", judged(labels=[(100, 300)]))
    hit = drawn(tmp_path / "b.png", judged(labels=[(100, 300)], events=[(150, 160)]))
    assert pixels(missed, MISS) > 1000
    assert pixels(hit, MISS) == 0


def test_a_false_alarm_is_marked_and_a_true_one_is_not(tmp_path: Path) -> None:
    nothing = drawn(tmp_path / "a.png", judged())
    false = drawn(tmp_path / "b.png", judged(events=[(600, 700)]))
    assert pixels(false, FALSE) > pixels(nothing, FALSE) + 500


def test_a_label_of_one_row_in_a_million_is_seen(tmp_path: Path) -> None:
    found = drawn(tmp_path / "a.png", judged(labels=[(500_000, 500_000)], rows=1_000_000))
    assert pixels(found, MISS) > 30


def test_a_spike_of_one_row_in_a_million_is_seen(tmp_path: Path) -> None:
    flat = np.zeros(1_000_000)
    flat[0] = 1.0  # so that both pictures have the same scale
    spike = flat.copy()
    spike[654_321] = 1.0
    plain, spiked = (
        drawn(tmp_path / f"{k}.png", judged(rows=len(v), channels={"value": v}))
        for k, v in enumerate((flat, spike))
    )
    changed = (plain != spiked).any(axis=2)
    assert changed.any(axis=1).sum() > 150  # rows of pixels: nearly the height of the panel
    assert 0 < changed.any(axis=0).sum() < 8


@pytest.mark.parametrize("count", [3, 20])
def test_many_channels_share_a_picture(tmp_path: Path, count: int) -> None:
    channels = {f"sensor {k}": np.cos(np.arange(1000) / (5 + k)) for k in range(count)}
    channels["dead"] = np.full(1000, np.nan)
    found = drawn(tmp_path / "a.png", judged(labels=[(100, 200)], channels=channels))
    assert pixels(found, MISS) > 500


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": np.inf},
        {"score": np.full(1000, np.nan)},
        {"channels": {"value": np.full(1000, np.nan)}},
        {"channels": {"value": np.zeros(1)}, "score": np.zeros(1)},
        {"time_ns": np.zeros(1000, np.int64)},
    ],
)
def test_what_knows_little_is_drawn_all_the_same(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    assert drawn(tmp_path / "a.png", judged(**changes)).shape == (500, 1200, 3)


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    channels = {str(k): np.zeros(1000) for k in range(MOST_CHANNELS + 1)}
    with pytest.raises(UsageError, match="channels"):
        draw_series(tmp_path / "a.png", judged(channels=channels))


def test_too_many_strips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="series"):
        draw_strips(tmp_path / "a.png", [(judged(), "a")] * (MOST_STRIPS + 1), title="")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        draw_series(tmp_path / "nowhere" / "a.png", judged())
