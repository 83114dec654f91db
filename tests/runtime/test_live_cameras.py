"""A site over a real network camera that is cut and comes back: the machine stops, and goes on."""

import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from sense.frames.camera_servers import HEIGHT_PX, WIDTH_PX, MjpegServer, RtspServer
from sightline.act.json_lines import JsonLinesOutlet
from sightline.errors import UsageError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.engine.headers import FrameHeader
from sightline.sense.frames import LiveCamera
from sightline.sense.frames.live_camera import Reconnect
from simulation.site_cases import camera, plan_of, run_yard, told, yard

WAIT_S = 30.0


def live_plan():
    plain = yard(
        zones={"corner": {"camera": "east", "polygon_px": [[0, 0], [4, 0], [4, 4], [0, 4]]}}
    )
    plain["cameras"]["east"]["contract"].update(
        width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=25, max_age_s=2.0
    )
    # The pictures of these cameras are plain: what is checked here is that they come.
    health = dict.fromkeys(("frozen", "black", "over_exposed", "blurred", "covered"))
    plain["cameras"]["east"]["contract"]["health"] = {**health, "moved": None, "shifted": None}
    plain["machines"]["saw"].update(zones=["corner"], hold_s=0.3, max_age_s=0.6)
    plain["latency_budget_s"] = 5.0
    return plan_of(plain)


class Watching:
    """Follows what the machine is told."""

    def __init__(self, path):
        self.path = path

    def levels(self):
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().splitlines():
            level = ActuatorCommand.from_bytes(line).level
            if not found or found[-1] is not level:
                found.append(level)
        return found

    def until(self, count):
        end = time.monotonic() + WAIT_S
        while len(self.levels()) < count:
            assert time.monotonic() < end, self.levels()
            time.sleep(0.05)


@pytest.mark.parametrize("server", [RtspServer, MjpegServer], ids=["rtsp", "mjpeg"])
def test_a_camera_that_is_cut_stops_the_machine_and_one_that_is_back_lets_it_go(tmp_path, server):
    plan = live_plan()
    told_path = tmp_path / "commands.jsonl"
    watching, stopping, reports = Watching(told_path), threading.Event(), []

    def go(address):
        east = LiveCamera(
            "east", address, wall_ns=time.time_ns, reconnect=Reconnect(first_s=0.05, cap_s=0.2)
        )
        reports.append(
            run_pipeline(
                plan,
                {"east": east},
                tmp_path / "run",
                looking=told(plan),
                options=RunOptions(is_live=True, durable=False),
                commands={"saw": JsonLinesOutlet(told_path)},
                is_stopped=stopping.is_set,
            )
        )

    with server() as served:
        thread = threading.Thread(target=go, args=(served.address,))
        thread.start()
        try:
            watching.until(2)
            served.cut()
            watching.until(3)
            served.come_back()
            watching.until(4)
        finally:
            stopping.set()
            thread.join(WAIT_S)
    stop, none = CommandLevel.STOP, CommandLevel.NONE
    assert watching.levels()[:4] == [stop, none, stop, none]
    accounts = reports[0].accounts
    left = accounts.dropped.get("STOPPED", 0)
    assert accounts.received == accounts.decided + accounts.superseded + left
    assert accounts.decided > 20
    assert replay_run(RunDirectory.open(tmp_path / "run"))


# --- a live camera begins anew in each process ----------------------------------------------------


class Live:
    """Counts from 0 whenever a process starts it, and stamps its frames with the clock."""

    stream = "east"

    def __init__(self, frames):
        self.frames = frames
        self.given = 0

    def __iter__(self):
        for frame in camera(seconds=60):
            time.sleep(0.03)
            now_ns = time.time_ns()
            yield replace(frame, capture_ns=now_ns, received_ns=now_ns)
            self.given += 1

    def is_enough(self):
        return self.given >= self.frames


def run_live(out, *, frames, **options):
    """One process after the other: each is stopped when its camera has given so many frames."""
    east = Live(frames)
    return run_yard(plan_of(yard()), out, east, is_live=True, is_stopped=east.is_enough, **options)


def indices(out):
    """Places in the camera's counter of the frames in the log."""
    storage = RunDirectory.open(out).storage
    entries = read_entries(storage, "p000", kinds={EntryKind.FRAME})
    return [FrameHeader.of(entry).index for entry in entries]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    out = tmp_path_factory.mktemp("resumed") / "run"
    first = run_live(out, frames=25)
    before = len(indices(out))
    again = run_live(out, frames=15, resume=True)
    return SimpleNamespace(out=out, first=first, again=again, new=indices(out)[before:])


def test_a_resumed_live_camera_is_decided_on_although_it_counts_from_0_again(resumed):
    assert resumed.again.accounts.decided > resumed.first.accounts.decided > 0


def test_the_frames_of_a_resumed_live_camera_are_accounted_for(resumed):
    assert resumed.again.accounts.is_balanced


def test_the_log_of_a_resumed_live_camera_has_its_new_frames(resumed):
    assert resumed.new
    assert resumed.new[0] < 15


def test_a_resumed_live_run_replays_to_the_same_bytes(resumed):
    assert replay_run(RunDirectory.open(resumed.out))


def test_a_camera_that_is_no_recording_is_refused_in_a_finite_run(tmp_path):
    east = LiveCamera("east", "rtsp://127.0.0.1:9/x", wall_ns=time.time_ns)
    with pytest.raises(UsageError, match="source east: expected is_live"):
        run_yard(plan_of(yard()), tmp_path / "run", east)


def test_a_refused_live_camera_leaves_no_run_behind(tmp_path):
    east = LiveCamera("east", "rtsp://127.0.0.1:9/x", wall_ns=time.time_ns)
    with pytest.raises(UsageError):
        run_yard(plan_of(yard()), tmp_path / "run", east)
    assert not (tmp_path / "run").exists()


class Locked(BaseHTTPRequestHandler):
    """A camera that wants a password."""

    def do_GET(self):
        self.send_response(401, "Unauthorized")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_why_a_live_camera_cannot_be_reached_is_told_while_the_run_goes_on(tmp_path):
    told_of, stopping = [], threading.Event()

    def trouble(text):
        told_of.append(text)
        stopping.set()

    plan = live_plan()
    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        east = LiveCamera(
            "east",
            f"http://me:secret@127.0.0.1:{server.server_address[1]}/video",
            wall_ns=time.time_ns,
            reconnect=Reconnect(first_s=0.05, cap_s=0.2),
        )
        run_pipeline(
            plan,
            {"east": east},
            tmp_path / "run",
            looking=told(plan),
            options=RunOptions(is_live=True, durable=False),
            is_stopped=stopping.is_set,
            on_trouble=trouble,
        )
        server.shutdown()
    assert len(told_of) == 1
    assert "401" in told_of[0]
    assert "secret" not in told_of[0]
