"""A site over a real network camera that is cut and comes back: the machine stops, and goes on."""

import threading
import time

import pytest

from sense.frames.camera_servers import HEIGHT_PX, WIDTH_PX, MjpegServer, RtspServer
from sightline.act.json_lines import JsonLinesOutlet
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.sense.frames import LiveCamera
from sightline.sense.frames.live_camera import Reconnect
from simulation.site_cases import plan_of, told, yard

WAIT_S = 30.0


def live_plan():
    plain = yard(zones={})
    plain["cameras"]["east"]["contract"].update(
        width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=25, max_age_s=2.0
    )
    # The pictures of these cameras are plain: what is checked here is that they come.
    health = dict.fromkeys(("frozen", "black", "over_exposed", "blurred", "covered"))
    plain["cameras"]["east"]["contract"]["health"] = {**health, "moved": None, "shifted": None}
    plain["machines"]["saw"].update(zones=[], hold_s=0.3, max_age_s=0.6)
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

    with server() as camera:
        thread = threading.Thread(target=go, args=(camera.address,))
        thread.start()
        try:
            watching.until(2)
            camera.cut()
            watching.until(3)
            camera.come_back()
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
