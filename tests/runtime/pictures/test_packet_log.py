"""Pictures kept as packets: whole groups in the log, and the same pictures out of it again."""

import base64
import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from mcap.reader import make_reader

from sense.frames.frame_cases import write_video
from sightline.errors import LogError, PipelineError, UsageError
from sightline.evidence.drawing.rendering import RunPictures
from sightline.evidence.drawing.scenes import CameraScene, SiteScene
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.pictures.image_log import ImageLog
from sightline.runtime.pictures.logged_pictures import (
    LoggedPicture,
    LoggedPictures,
    looked_at_again,
)
from sightline.runtime.pictures.packet_log import PacketLog
from sightline.runtime.pipeline import ImagesForm
from sightline.sense.frames import VideoFile
from sightline.sense.frames.video_file import read_with_opencv
from sightline.sense.frames.video_parts import PacketTape, StreamCoding, StreamPacket
from simulation.site_cases import Told, by_camera, camera, plan_of, told, walker, yard

av = pytest.importorskip("av", reason="packets in logs not tested: PyAV is not installed")

FULL = {"keep": "full", "form": "packets"}
INSIDE = [[200.0, 100.0, 220.0, 160.0]]
FRAMES = 30


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Somebody walks through the yard, by codec; a key frame each second."""
    folder = tmp_path_factory.mktemp("videos")
    seen = camera(seconds=FRAMES / 10, things=(walker(from_s=0.3, until_s=2.8),))
    pictures = [frame.pixels for frame in seen]
    names = {"libx264": "a.mp4", "mpeg4": "b.avi", "mjpeg": "c.avi", "mpeg2video": "d.mkv"}
    return {
        codec: write_video(folder / name, codec=codec, pictures=pictures)
        for codec, name in names.items()
    }


def somebody(capture_ns):
    """Is in the pit for a second."""
    return INSIDE if NS_PER_S <= capture_ns < 2 * NS_PER_S else []


def run(plan, out, path, looking=None, **options):
    is_stopped = options.pop("is_stopped", lambda: False)
    return run_pipeline(
        plan,
        {"east": path if hasattr(path, "stream") else VideoFile("east", path)},
        out,
        looking=looking or told(plan, somebody),
        options=RunOptions(durable=False, **options),
        is_stopped=is_stopped,
    )


def after(calls):
    left = [calls]

    def is_stopped():
        left[0] -= 1
        return left[0] <= 0

    return is_stopped


@pytest.fixture(scope="module")
def runs(videos, tmp_path_factory):
    """Of each video, all packets kept, looked at by the motion detector: (folder, digest)."""
    folder, plan = tmp_path_factory.mktemp("runs"), plan_of(yard(images=FULL))
    return {
        codec: (folder / codec, run(plan, folder / codec, path, lookers(plan)).digest)
        for codec, path in videos.items()
    }


@pytest.fixture(scope="module")
def h264(runs):
    return runs["libx264"][0]


def entries(out, *kinds):
    return list(read_entries(RunDirectory.open(out).storage, "p000", kinds=set(kinds)))


def own(out, kind=EntryKind.VIDEO):
    return [json.loads(entry.payload)["sightline"] for entry in entries(out, kind)]


def headers(out):
    return [FrameHeader.from_bytes(entry.payload) for entry in entries(out, EntryKind.FRAME)]


def pictures(out):
    found = LoggedPictures()
    for entry in entries(out, EntryKind.IMAGE, EntryKind.VIDEO):
        yield from found.take(entry)
    yield from found.rest()


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_the_pictures_in_the_log_are_those_that_were_looked_at(runs, codec):
    out = runs[codec][0]
    seen = {header.capture_ns: header for header in headers(out)}
    found = list(pictures(out))
    assert [one.capture_ns for one in found] == sorted(seen)
    for one in found:
        header = seen[one.capture_ns]
        one.frame(index=header.index, received_ns=0, digest=header.digest)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg", "mpeg2video"])
def test_detectors_run_again_on_packets_give_the_same_answers(runs, codec):
    again = RunDirectory.open(runs[codec][0])
    assert list(looked_at_again(again, lookers(again.plan))) == []
    others = list(looked_at_again(again, told(again.plan, lambda _: INSIDE)))
    assert len(others) == FRAMES


def test_decisions_do_not_depend_on_the_form(tmp_path, videos, runs):
    plan = plan_of(yard())
    report = run(plan, tmp_path / "run", videos["libx264"], lookers(plan))
    assert report.digest == runs["libx264"][1]
    assert replay_run(RunDirectory.open(runs["libx264"][0]))


@pytest.mark.parametrize(
    ("codec", "schema", "form"),
    [
        ("libx264", "foxglove.CompressedVideo", "h264"),
        ("mpeg4", "foxglove.CompressedVideo", "mpeg4"),
        ("mjpeg", "foxglove.CompressedImage", "jpeg"),
    ],
)
def test_viewers_find_the_standard_schemas(runs, codec, schema, form):
    found = set()
    for path in sorted(runs[codec][0].glob("log/p000/*.mcap")):
        with path.open("rb") as file:
            for kind, _, message in make_reader(file).iter_messages():
                if kind is not None and "Compressed" in kind.name:
                    found.add((kind.name, json.loads(message.data)["format"]))
    assert found == {(schema, form)}


def test_each_key_packet_says_who_decoded_it(h264):
    keys = [one for one in own(h264) if one["is_key"]]
    assert len(keys) == FRAMES // 10
    for one in keys:
        versions = one["coding"]["versions"]
        assert versions["pyav"] == av.__version__
        assert {"libavcodec", "libswscale", "decoder", "threads", "machine"} <= set(versions)


def test_a_codec_whose_packets_cannot_be_kept_is_kept_as_png(runs):
    out = runs["mpeg2video"][0]
    assert not entries(out, EntryKind.VIDEO)
    kept = entries(out, EntryKind.IMAGE)
    assert {json.loads(entry.payload)["format"] for entry in kept} == {"png"}
    assert len(kept) == FRAMES


def test_a_truncated_video_runs_again_too(tmp_path, videos):
    path = tmp_path / "cut.avi"
    data = videos["mjpeg"].read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    run(plan_of(yard(images=FULL)), tmp_path / "run", path)
    assert 10 < len(headers(tmp_path / "run")) < FRAMES
    again = RunDirectory.open(tmp_path / "run")
    assert list(looked_at_again(again, told(again.plan, somebody))) == []


# --- frames that give way, resumed runs ---------------------------------------------------------


class Slow(Told):
    def look(self, frames):
        time.sleep(0.03)
        return super().look(frames)


def test_packets_of_superseded_frames_are_logged(tmp_path, videos):
    plan = plan_of(yard(images=FULL))
    slow = by_camera(east=Lookers(primary=Slow(), fallback=None, budget_s=1.0))
    report = run(plan, tmp_path / "run", videos["libx264"], slow, speed=10.0)
    assert report.accounts.superseded > 0
    found = own(tmp_path / "run")
    assert [one["number"] for one in found] == list(range(FRAMES))
    again = RunDirectory.open(tmp_path / "run")
    assert list(looked_at_again(again, told(again.plan))) == []


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_resumed_run_has_every_picture(tmp_path, videos, codec):
    plan = plan_of(yard(images=FULL))
    whole = run(plan, tmp_path / "whole", videos[codec])
    run(plan, tmp_path / "run", videos[codec], is_stopped=after(35))
    assert 10 < len(headers(tmp_path / "run")) < FRAMES
    report = run(plan, tmp_path / "run", videos[codec], resume=True)
    assert report.digest == whole.digest
    again = RunDirectory.open(tmp_path / "run")
    assert list(looked_at_again(again, told(again.plan, somebody))) == []


def test_pictures_that_a_crash_took_are_logged_when_the_run_goes_on(tmp_path, videos):
    plan = plan_of(yard(images=FULL))
    out = tmp_path / "run"
    run(plan, out, videos["libx264"], is_stopped=after(45))
    segment = sorted(out.glob("log/p000/*.mcap"))[-1]
    data = segment.read_bytes()
    segment.write_bytes(data[: len(data) * 8 // 10])
    stopped = RunDirectory.open(
        out, has_logs=False
    )  # neither run.json nor ledger know more than the log
    stopped.in_state(replace(stopped.state, is_closed=False, heads={}, ledger_digest=""))
    for ledger in out.glob("ledger.sqlite*"):
        ledger.unlink()
    report = run(plan, out, videos["libx264"], resume=True)
    assert report.recoveries
    again = RunDirectory.open(out)
    assert list(looked_at_again(again, told(again.plan, somebody))) == []


def test_the_data_of_the_messages_is_a_stream_that_any_player_reads(h264, tmp_path):
    path = tmp_path / "a.h264"
    path.write_bytes(
        b"".join(
            base64.b64decode(json.loads(entry.payload)["data"])
            for entry in entries(h264, EntryKind.VIDEO)
        )
    )
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


# --- around decisions ---------------------------------------------------------------------------


def test_around_decisions_whole_groups_are_kept_from_a_key_packet_on(tmp_path, videos):
    images = {"keep": "around_decisions", "form": "packets", "before_s": 0.5, "after_s": 0.2}
    plan = plan_of(yard(images=images, machines={}))
    seen = told(plan, lambda at_ns: INSIDE if at_ns >= 2.5 * NS_PER_S else [])
    run(plan, tmp_path / "run", videos["libx264"], seen)
    found = own(tmp_path / "run")
    assert 0 < len(found) < FRAMES
    gaps = [b for a, b in pairwise(found) if b["number"] != a["number"] + 1]
    assert all(one["is_key"] for one in [found[0], *gaps])
    said_ns = [d.event_ns for d in RunDirectory.open(tmp_path / "run").decisions()]
    by_time = {header.capture_ns: header for header in headers(tmp_path / "run")}
    kept = {one.capture_ns: one for one in pictures(tmp_path / "run")}
    for at_ns, header in by_time.items():
        if any(-0.5 <= (at_ns - said) / NS_PER_S <= 0.15 for said in said_ns):
            kept[at_ns].frame(index=header.index, received_ns=0, digest=header.digest)


def held(policy, *, packets, keys, bounds=None, decide_at=()):
    """Numbers and losses that are logged of one camera at 10 packets per second."""
    tape = PacketTape(bounds or Limits())
    log = PacketLog(policy, {"east": tape})
    coding = StreamCoding(decoder="h264", extradata=b"", settings={}, versions={})
    frames = list(camera(seconds=0.1))
    kept = []
    for n in range(packets):
        tape.add(
            StreamPacket(
                number=n,
                data=bytes(1000),
                is_key=n in keys,
                pts=n,
                dts=n,
                time_base=(1, 10),
                coding=coding,
            )
        )
        at_ns = n * NS_PER_S // 10
        tape.shown(n, index=n, capture_ns=at_ns)
        log.note(replace(frames[0], index=n, capture_ns=at_ns))
        kept += log.take(newest_ns=at_ns, until_ns=-1, has_decided=n in decide_at)
    return [
        (own["number"], own["lost"])
        for own in (json.loads(payload)["sightline"] for _, _, payload in kept)
    ]


AROUND = ImagesForm(keep="around_decisions", form="packets", before_s=0.5)


def test_groups_that_nobody_asked_for_are_let_go():
    found = held(AROUND, packets=45, keys=range(0, 45, 10), decide_at={42})
    assert found == [(n, 0) for n in range(30, 42)]


def test_a_second_decision_in_a_group_goes_on_where_the_log_ends():
    found = held(AROUND, packets=30, keys=range(0, 30, 10), decide_at={13, 17})
    assert found == [(n, 0) for n in range(17)]


def test_what_waits_for_a_decision_is_bounded_in_groups(monkeypatch):
    monkeypatch.setattr("sightline.runtime.pictures.packet_log.MAX_HELD_BYTES", 25_000)
    policy = ImagesForm(keep="around_decisions", form="packets", before_s=1000.0)
    found = held(policy, packets=48, keys=range(0, 48, 10), decide_at={47})
    assert found == [(30, 30), *((n, 0) for n in range(31, 47))]


def test_a_group_beyond_the_bound_is_let_go_up_to_the_next_key_packet(monkeypatch):
    monkeypatch.setattr("sightline.runtime.pictures.packet_log.MAX_HELD_PACKETS", 15)
    found = held(AROUND, packets=45, keys={0, 40}, decide_at={44})
    assert found == [(40, 40), *((n, 0) for n in range(41, 44))]


# --- reading back -------------------------------------------------------------------------------


def test_after_a_gap_pictures_begin_with_a_key_packet(h264):
    digests = {header.capture_ns: header for header in headers(h264)}
    found = LoggedPictures()
    logged = entries(h264, EntryKind.VIDEO)
    kept = [p for entry in logged[:7] + logged[13:] for p in found.take(entry)]
    kept += found.rest()
    holds = [[at_ns for _, at_ns in one["frames"]] for one in own(h264)]
    wanted = {at_ns for one in holds[:7] + holds[20:] for at_ns in one}
    assert {one.capture_ns for one in kept} == wanted
    for one in kept:
        header = digests[one.capture_ns]
        one.frame(index=header.index, received_ns=0, digest=header.digest)


def test_a_missing_packet_is_a_missing_picture(tmp_path, videos, monkeypatch):
    monkeypatch.setattr("sightline.runtime.pictures.packet_log.MAX_HELD_BYTES", 1)
    run(plan_of(yard(images=FULL)), tmp_path / "run", videos["libx264"])
    again = RunDirectory.open(tmp_path / "run")
    with pytest.raises(LogError, match="every picture"):
        list(looked_at_again(again, told(again.plan)))


def scene_of(header):
    """What a picture of this frame shows, without anything in it."""
    seen = CameraScene(
        name=header.camera,
        index=header.index,
        capture_ns=header.capture_ns,
        digest=header.digest,
        tracks=None,
    )
    return SiteScene(at_s=0.0, at_ns=header.capture_ns, cameras=(seen,), machines=())


def picture(**changes):
    versions = {"pyav": "18.1.0", "libavcodec": "62.28.102"}
    plain = {"logged": versions, "present": versions, **changes}
    return LoggedPicture(
        camera="east",
        capture_ns=0,
        sequence=7,
        pixels=lambda: np.zeros((2, 2), np.uint8),
        **plain,
    )


def test_a_picture_that_another_decoder_made_otherwise_names_both_decoders():
    other = picture(present={"pyav": "18.1.0", "libavcodec": "63.0.100"})
    with pytest.raises(LogError, match=r"libavcodec 62.28.102 in the run, 63.0.100 here"):
        other.frame(index=3, received_ns=0, digest="0" * 32)


def test_with_the_same_decoder_the_log_is_suspected():
    with pytest.raises(LogError, match="sightline verify"):
        picture().frame(index=3, received_ns=0, digest="0" * 32)


def test_a_run_is_drawn_with_the_pictures_of_its_packets(h264, videos):
    again = RunDirectory.open(h264)
    shown = RunPictures(again, {})
    frames = {f.index: f for f in VideoFile("east", videos["libx264"])}
    for header in headers(h264)[::7]:
        scene = scene_of(header)
        found = shown.shown(scene).cameras[0].picture
        assert np.array_equal(found, frames[header.index].pixels)


def test_a_drawn_picture_that_is_not_the_one_that_was_looked_at_is_refused(h264):
    header = replace(headers(h264)[5], digest="0" * 32)
    with pytest.raises(LogError, match="digest"):
        RunPictures(RunDirectory.open(h264), {}).shown(scene_of(header))


# --- refusals -----------------------------------------------------------------------------------


def test_packets_have_no_quality():
    with pytest.raises(PipelineError, match="quality"):
        plan_of(yard(images={"keep": "full", "form": "packets", "quality": 90}))


@pytest.mark.parametrize("kind", ["simulated", "opencv"])
def test_a_source_without_packets_is_refused_before_the_run(tmp_path, videos, kind):
    source = (
        camera()
        if kind == "simulated"
        else VideoFile("east", videos["libx264"], reader=read_with_opencv)
    )
    with pytest.raises(UsageError, match="camera east"):
        run(plan_of(yard(images=FULL)), tmp_path / "run", source)
    assert not (tmp_path / "run").exists()


def test_where_nothing_is_kept_any_source_will_do(tmp_path):
    plan = plan_of(yard(images={"keep": "digest", "form": "packets"}))
    run(plan, tmp_path / "run", camera(seconds=1))
    assert not ImageLog(plan.pipeline.images).is_on
