"""``--source NAME=LOCATION``: what is refused, and that no location is repeated."""

import pytest

from sightline.cli.sources import (
    _tell_ignored,
    parse_locations,
    parse_source_options,
    split_start,
)
from sightline.errors import UsageError
from sightline.sense.frames import ImageDirectory
from sightline.sense.frames.image_files import RateTimes


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (["hal=a.csv"], "got hal;"),
        (["hall=a.csv", "hall=b.csv"], "got hall again;"),
        (["a.csv"], "got no NAME=;"),
        (["rtsp://user:hunter2=x@gate/1"], "got no NAME=;"),
    ],
)
def test_what_is_no_location_of_a_source_is_refused_by_its_name_alone(given, got):
    with pytest.raises(UsageError, match="NAME=LOCATION, once for each of yard, hall") as caught:
        parse_locations(given, ["yard", "hall"])
    assert got in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "options"),
    [
        ("3", {"start_s": 3.0}),
        ("2024-05-01T10:00:03Z", {"start": "2024-05-01T10:00:03Z"}),
        ("creation", {"start": "creation"}),
    ],
)
def test_a_recording_is_told_when_it_began_behind_an_at(tmp_path, start, options):
    path = tmp_path / "gate@night.mp4"
    path.touch()
    assert split_start(f"{path}@{start}") == (str(path), options)


@pytest.mark.parametrize("location", ["rtsp://user:word@gate/1", "missing.mp4@3", "-"])
def test_an_at_in_what_is_no_file_is_part_of_the_location(location):
    assert split_start(location) == (location, {})


def test_a_file_whose_name_has_an_at_is_that_file(tmp_path):
    path = tmp_path / "gate@3"
    path.touch()
    assert split_start(str(path)) == (str(path), {})


@pytest.mark.parametrize("given", ["yard=3", "yard.start_s", "hal.start_s=3", ".start_s=3"])
def test_what_is_no_option_of_a_source_is_refused(given):
    with pytest.raises(UsageError, match=r"NAME\.OPTION=VALUE"):
        parse_source_options([given], ["yard", "hall"])


def test_a_source_without_a_location_is_not_the_folder_that_one_is_in():
    with pytest.raises(UsageError, match="expected a location, got none"):
        parse_locations(["yard="], ["yard"])


def test_files_that_are_not_read_are_named_when_a_run_starts(tmp_path, capsys):
    for name in ("1.jpg", "2.tiff", "3.webp", "._1.jpg"):
        (tmp_path / name).write_bytes(b"")
    source = ImageDirectory("east", tmp_path, times=RateTimes(start_ns=0, rate_hz=10))
    _tell_ignored(source)
    assert capsys.readouterr().err == (
        "warning: source east: files that are not read: 2.tiff, 3.webp\n"
    )
