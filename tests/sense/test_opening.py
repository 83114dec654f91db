"""Sources by scheme: those that are built in, and one written outside the package."""

import importlib
import json
import sys

import cv2
import numpy as np
import polars as pl
import pytest

from sightline.errors import PipelineError, SourceError
from sightline.recorder import DirectoryStorage
from sightline.records.frames import Frame
from sightline.sense import Contract, MemorySource, open_source, source_registry
from sightline.sense.arrival import epochs
from sightline.sense.frames import FrameContract, LiveCamera, VideoFile
from sightline.sense.inbox import Inbox, SpillFolder
from sightline.sense.live import LiveReaders, live_epochs
from sightline.sense.source import chunk_of

CONTRACT = Contract.model_validate(
    {
        "contract": "belt",
        "key": ["drive"],
        "event_time": {"column": "t", "format": "unix_s"},
        "fields": {"speed": {"type": "number", "unit": "m/s"}},
    }
)
CAMERA = FrameContract(width_px=64, height_px=48, rate_hz=10, max_age_s=1)

# A source of one's own, whole: an offset log such as a broker keeps, which forgets what is kept.
OWN_SOURCE = '''
import json
from pathlib import Path

import polars as pl

from sightline.errors import SourceError
from sightline.sense.source import Source, SourceOptions, Stream, chunk_of


class QueueOptions(SourceOptions):
    batch_rows: int = 2
    """Rows asked for at a time."""


class Queue(Source):
    schemes = ("queue",)
    Options = QueueOptions

    def __init__(self, name, path, batch_rows):
        self.name, self.path, self.batch_rows = name, path, batch_rows

    @classmethod
    def open(cls, location, *, name, contract, options, surroundings):
        path = Path(location.removeprefix("queue://"))
        if not path.is_file():
            raise SourceError(expected="a queue", got="nothing", where=name, action="start it")
        return cls(name, path, options.batch_rows)

    def streams(self):
        return [Stream(origin="0", chunks=self._read)]

    def _read(self):
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        for first in range(0, len(rows), self.batch_rows):
            part = pl.DataFrame(rows[first : first + self.batch_rows])
            yield chunk_of(part, origin="0", first_row=first)

    def committed(self, positions):
        kept = self.path.read_text().splitlines(keepends=True)[positions["0"] :]
        self.path.write_text("".join(kept))
'''
OWN_CAMERA = """
import numpy as np

from sightline.sense.frames.delivery import CameraSource, Delivery


class Grey(CameraSource):
    schemes = ("grey",)

    def __init__(self, name, level):
        self.name, self.level = name, level

    @classmethod
    def open(cls, location, *, name, contract, options, surroundings):
        return cls(name, int(location.removeprefix("grey://")))

    def __iter__(self):
        yield from Delivery(self.name, "grey").frame(
            np.full((48, 64), self.level, np.uint8), capture_ns=5
        )
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module outside the package and gives a registry that knows it."""
    names = []

    def write(text):
        name = f"plugin_of_test_{len(names)}"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        names.append(name)
        return source_registry([importlib.import_module(name)])

    yield write
    for name in names:
        sys.modules.pop(name, None)


def queue_of(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"queue://{path}"


def rows_at(*times_s):
    return [{"drive": "a", "t": t, "speed": 1.5} for t in times_s]


def test_a_source_of_ones_own_is_opened_by_its_scheme(plugin, tmp_path):
    location = queue_of(tmp_path / "q", rows_at(1, 2, 3))
    source = open_source("belt", location, CONTRACT, registry=plugin(OWN_SOURCE))
    found = list(epochs([(source, CONTRACT)], tick_ns=10**10))
    assert [epoch.rows for epoch in found] == [3]


def test_what_is_committed_is_gone_from_a_source_of_ones_own(plugin, tmp_path):
    location = queue_of(tmp_path / "q", rows_at(1, 2, 31, 32, 61))
    source = open_source("belt", location, CONTRACT, registry=plugin(OWN_SOURCE))
    first = next(epochs([(source, CONTRACT)], tick_ns=10**10))
    source.committed(first.positions["belt"])
    assert [json.loads(line)["t"] for line in (tmp_path / "q").read_text().splitlines()] == [
        31,
        32,
        61,
    ]


def test_options_of_ones_own_are_checked_like_ours(plugin, tmp_path):
    location = queue_of(tmp_path / "q", rows_at(1))
    registry = plugin(OWN_SOURCE)
    with pytest.raises(SourceError, match=r"source belt, options, batch_rows: .*whole number"):
        open_source("belt", location, CONTRACT, registry=registry, options={"batch_rows": "few"})


def test_options_of_ones_own_have_a_json_schema_with_their_words(plugin):
    found = plugin(OWN_SOURCE).find("rows.queue", where="test")
    field = found.Options.model_json_schema()["properties"]["batch_rows"]
    assert (field["description"], field["default"]) == ("Rows asked for at a time.", 2)


def test_a_camera_of_ones_own_is_opened_by_its_scheme(plugin):
    camera = open_source("yard", "grey://7", CAMERA, registry=plugin(OWN_CAMERA))
    assert [(item.index, int(item.pixels[0, 0])) for item in camera] == [(0, 7)]


def test_an_unknown_scheme_names_those_that_are_known_and_not_the_location():
    with pytest.raises(PipelineError, match=r"rows\.file.* got rows\.pulsar") as caught:
        open_source("belt", "pulsar://user:secret@host/topic", CONTRACT)
    assert "secret" not in str(caught.value)


def test_rows_and_frames_may_share_a_scheme(tmp_path):
    (tmp_path / "a.csv").write_text("drive,t,speed\na,1,2\n")
    assert open_source("belt", f"file://{tmp_path}", CONTRACT).gives == "rows"
    (tmp_path / "a.mp4").write_bytes(b"")
    assert isinstance(open_source("yard", str(tmp_path / "a.mp4"), CAMERA), VideoFile)


def test_an_address_is_a_live_camera_and_not_durable():
    camera = open_source("yard", "RTSP://user:secret@gate/1", CAMERA)
    assert isinstance(camera, LiveCamera)
    assert not camera.durable


def test_a_simulated_camera_needs_no_file_and_gives_the_same_frames_again():
    camera = open_source("yard", "simulated://", CAMERA, options={"frames": 3, "people": 1})
    first, again = list(camera), list(camera)
    assert [item.index for item in first] == [0, 1, 2]
    assert all(isinstance(item, Frame) for item in first)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


def test_the_start_of_a_recording_is_an_option(tmp_path):
    path = tmp_path / "none.mp4"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"options, start: .*ISO 8601"):
        open_source("yard", str(path), CAMERA, options={"start": "soon"})


def test_the_times_of_images_may_stand_in_their_names(tmp_path):
    for at_s in (3, 7):
        cv2.imwrite(str(tmp_path / f"yard_{at_s}.png"), np.zeros((48, 64, 3), np.uint8))
    options = {"time_in_name": r"_(?P<time>\d+)", "time_format": "unix_s"}
    images = open_source("yard", str(tmp_path), CAMERA, options=options)
    assert [item.capture_ns for item in images] == [3 * 10**9, 7 * 10**9]


# --- positions ---------------------------------------------------------------------------------


def memory(*parts):
    """A source whose chunks are the given times in s."""

    class Parts(MemorySource):
        def _chunks(self, origin):
            first = 0
            for part in parts:
                yield chunk_of(pl.DataFrame(rows_at(*part)), origin=origin, first_row=first)
                first += len(part)

    return Parts("belt", {"wire": pl.DataFrame()})


def test_a_position_is_given_once_the_last_row_before_it_was():
    source = memory([1, 11], [12, 13], [25])
    found = list(epochs([(source, CONTRACT)], tick_ns=10**10))
    assert [dict(epoch.positions) for epoch in found] == [
        {},
        {"belt": {"wire": 4}},
        {"belt": {"wire": 5}},
    ]


def test_a_file_that_cannot_be_read_to_its_end_has_a_position_behind_it(tmp_path):
    (tmp_path / "a.csv").write_text("drive,t,speed\na,1,2\na,2\n")
    source = open_source("belt", str(tmp_path), CONTRACT)
    (epoch,) = epochs([(source, CONTRACT)], tick_ns=10**10)
    assert epoch.positions == {"belt": {"a.csv": 2}}


@pytest.mark.parametrize("policy", ["block", "latest", "spill"])
def test_a_live_epoch_says_how_far_it_has_taken(policy, tmp_path):
    spill = SpillFolder(DirectoryStorage(tmp_path), "belt") if policy == "spill" else None
    inbox = Inbox("belt", policy=policy, max_rows=3, spill=spill)
    source = memory([1], [2], [3]) if policy == "block" else memory([1, 2], [3, 4], [5])
    readers = LiveReaders([(source, CONTRACT, inbox)], wall_ns=lambda: 10)
    readers.start()
    inbox.wait(10)
    (epoch,) = live_epochs(
        [inbox],
        tick_ns=10,
        first_number=0,
        wall_ns=lambda: 10,
        wait_s=lambda _: None,
        is_stopped=lambda: False,
    )
    assert epoch.positions == {"belt": {"wire": 3 if policy == "block" else 5}}
