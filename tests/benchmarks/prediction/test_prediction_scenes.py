"""Recordings cut into pasts and futures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction.scenes import (
    GRID_S,
    HORIZONS_S,
    MAX_SCENES,
    cut_walks,
    read_pets,
    read_scenes,
)
from sightline.errors import SourceError
from tests.benchmarks.prediction.scene_files import ETH_UCY, PETS, save_scene, wanderers

needs_eth = pytest.mark.skipif(not ETH_UCY.is_dir(), reason=f"no ETH and Hotel at {ETH_UCY}")

needs_pets = pytest.mark.skipif(not PETS.is_dir(), reason=f"no PETS 2009 at {PETS}")


def cut(rows, frames_per_step=10):
    return cut_walks(
        "scene",
        frame=rows[:, 0].astype(int),
        track_id=rows[:, 1].astype(int),
        position_m=rows[:, 2:],
        frames_per_step=frames_per_step,
        frames_per_sample=frames_per_step,
    )


def line(samples, person=1, frames_per_step=10):
    """One person who is at x = s, y = 0 at second s."""
    count = np.arange(samples)
    return np.column_stack(
        [count * frames_per_step, np.full(samples, person), 0.4 * count, 0 * count]
    )


@pytest.mark.parametrize("samples, windows", [(19, 0), (20, 1), (24, 5)])
def test_a_person_has_a_window_for_each_sample_with_past_and_future(samples, windows):
    assert len(cut(line(samples))) == windows


def test_a_window_is_eight_samples_and_the_places_after_them():
    walks = cut(line(20))
    assert np.allclose(walks.history.time_s[0], -0.4 * np.arange(7, -1, -1))
    now_m = walks.history.position_m[0, -1, 0]
    assert np.allclose(walks.truth_m[0, :, 0] - now_m, HORIZONS_S)


def test_horizons_are_the_grid_and_one_second():
    assert np.allclose(np.setdiff1d(HORIZONS_S, GRID_S), [1.0])


def test_a_gap_in_a_track_belongs_to_no_window():
    assert len(cut(wanderers(people=1, seed=0, samples=30, gap_samples=1))) == 1  # behind the gap


def test_the_end_of_one_track_and_the_beginning_of_the_next_are_no_track():
    late, early = line(12, person=1, frames_per_step=1), line(12, person=2, frames_per_step=1)
    late[:, 0] += 12
    assert len(cut(np.concatenate([late, early]), frames_per_step=1)) == 0


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_windows_do_not_depend_on_the_order_of_rows(seed):
    rows = wanderers(people=5, seed=seed)
    shuffled = np.random.default_rng(seed).permutation(rows)
    plain, mixed = cut(rows), cut(shuffled)
    places = [
        np.array(sorted(w.history.position_m.reshape(len(w), -1).tolist())) for w in (plain, mixed)
    ]
    assert np.array_equal(*places)


def test_scenes_are_found_below_a_folder_and_named_after_theirs(tmp_path):
    for name in ("b", "a"):
        save_scene(tmp_path / "ETH", name, wanderers(people=2, seed=0))
    assert [w.scene for w in read_scenes(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("frames_per_step", [6, 10])
def test_the_step_of_a_scene_is_that_of_its_frames(tmp_path, frames_per_step):
    save_scene(tmp_path, "a", wanderers(people=3, seed=0, frames_per_step=frames_per_step))
    (walks,) = read_scenes(tmp_path)
    assert len(walks) == 3 * 5
    assert np.allclose(np.diff(walks.history.time_s), 0.4)


def test_published_reads_the_resampled_file_where_there_is_one(tmp_path):
    rows = wanderers(people=3, seed=0)
    resampled = save_scene(tmp_path, "a", rows)
    save_scene(tmp_path, "b", rows)
    np.savetxt(resampled / "biwi_a_10fps.txt", line(22))
    assert [len(w) for w in read_scenes(tmp_path, published=True)] == [3, 15]


def test_the_resampled_file_is_not_read_unless_asked_for(tmp_path):
    scene = save_scene(tmp_path, "a", wanderers(people=3, seed=0))
    (scene / "biwi_a_10fps.txt").write_text("not numbers")
    assert len(read_scenes(tmp_path)[0]) == 15


@pytest.mark.parametrize(
    "text, got",
    [
        ("", "0 rows"),
        ("1 2 3\n", "1 rows of 3"),
        ("1 1 0 0 nan 0 0 0\n", "NaN"),
        ("1 1 0 0 zero 0 0 0\n", "zero"),
        ("1 1 0 0 0 0 0 0\n1 1\n", "columns"),
    ],
    ids=["empty", "short", "nan", "text", "ragged"],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, got):
    (tmp_path / "obsmat.txt").write_text(text)
    with pytest.raises(SourceError, match=got):
        read_scenes(tmp_path)


def test_a_recording_in_which_nobody_is_followed_is_refused(tmp_path):
    save_scene(tmp_path, "a", wanderers(people=3, seed=0, samples=19))
    with pytest.raises(SourceError, match="nobody"):
        read_scenes(tmp_path)


def test_a_recording_of_one_frame_is_refused(tmp_path):
    save_scene(tmp_path, "a", line(1))
    with pytest.raises(SourceError, match="nobody"):
        read_scenes(tmp_path)


@pytest.mark.parametrize("scenes", [0, MAX_SCENES + 1])
def test_a_folder_of_no_or_too_many_scenes_is_refused(tmp_path, scenes):
    for i in range(scenes):
        save_scene(tmp_path, str(i), line(20))
    with pytest.raises(SourceError, match=f"1 to {MAX_SCENES} folders"):
        read_scenes(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="folders with obsmat"):
        read_scenes(tmp_path / "nowhere")


@needs_eth
def test_the_published_protocol_has_the_known_number_of_windows():
    # 364 and 1197 are the numbers of trajectories that papers on these files count.
    assert {w.scene: len(w) for w in read_scenes(ETH_UCY, published=True)} == {
        "eth": 364,
        "hotel": 1197,
    }


@needs_eth
def test_people_of_eth_and_hotel_walk_at_the_pace_of_people():
    for walks in read_scenes(ETH_UCY):
        moved = np.linalg.norm(walks.truth_m[:, -1] - walks.history.position_m[:, -1], axis=1)
        pace_m_s = moved / HORIZONS_S[-1]
        assert 0.8 < np.quantile(pace_m_s, 0.75) < 2.5


def test_a_folder_without_boxes_is_not_pets(tmp_path):
    with pytest.raises(SourceError, match="gt_frames"):
        read_pets(tmp_path)


@needs_pets
def test_pasts_of_pets_have_every_frame_and_how_sure_each_is():
    walks = read_pets(PETS)
    assert walks.history.samples == 29  # 2.8 s at 10 frames per second
    assert np.allclose(np.diff(walks.history.time_s), 0.1)
    sd_m = np.sqrt(np.linalg.eigvalsh(walks.history.covariance_m2))
    assert 0.005 < sd_m.min() < sd_m.max() < 0.5
