"""Recordings and cameras: what is read, when it was taken, and what is said of what cannot be read.

The cases' own scripts call FFmpeg; here PyAV makes the same inputs, from the cases' own scenes.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.cases.case import Case, Finished, case
from sightline.limits import DEFAULT_LIMITS
from sightline.sense.frames.video_parts import Damage, Picture, VideoLocation

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 15


def _scene(c: Case) -> ModuleType:
    """The cases' own painter of scenes."""
    sys.path.insert(0, str(c.folder.parent / "lib"))
    try:
        return importlib.import_module("scene")
    finally:
        sys.path.pop(0)


def _walker(c: Case, *, size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX), frames: int = 180) -> Any:
    """Someone who walks through the pit, 12 s long."""
    scene = _scene(c)
    walk = scene.walk(-20, size_px[0] + 20, size_px[1] * 5 // 6, size_px[1] // 4, 2, 10)
    return scene.frames(frames, *size_px, RATE_HZ, [walk])


def _write(
    path: Path,
    pictures: Iterator[Any],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate_hz: int = RATE_HZ,
    metadata: Mapping[str, str] | None = None,
    turned_deg: int | None = None,
    key_frame_every: int = 250,
    pts: Sequence[int] | None = None,
) -> None:
    import av  # noqa: PLC0415 - the extra `video`

    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(codec, rate=rate_hz)
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = key_frame_every
        for number, one in enumerate(pictures):
            if not number:
                stream.height, stream.width = one.shape[:2]
                if turned_deg is not None:
                    stream.set_display_rotation(turned_deg)
            frame = av.VideoFrame.from_ndarray(one, format="bgr24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _site(
    c: Case, *, size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX), rate_hz: int = RATE_HZ
) -> str:
    """A pipeline file as the cases' `try.sh` makes it."""
    width, height = size_px
    left, right, top, bottom = width * 39 // 100, width * 5 // 8, height * 2 // 5, height * 49 // 50
    (c.folder / "site.yaml").write_text(
        f"""use: site
pipeline: yard
latency_budget_s: 6
detectors: {{motion: {{use: motion, budget_s: 5, person_px: [85, 95]}}}}
cameras:
  east:
    contract: {{width_px: {width}, height_px: {height}, rate_hz: {rate_hz}, max_age_s: 0.5}}
    detector: motion
zones:
  pit:
    camera: east
    polygon_px: [[{left}, {top}], [{right}, {top}], [{right}, {bottom}], [{left}, {bottom}]]
    is_forbidden: true
machines: {{saw: {{cameras: [east], zones: [pit], valid_s: 8}}}}
""",
        encoding="utf-8",
    )
    return "site.yaml"


def _run(c: Case, pipeline: str, *sources: str, options: Sequence[str] = (), out: str = "") -> Any:
    """The report of a run, parsed; and how the command ended."""
    given = [word for source in sources for word in ("--source", source)]
    name = out or f"run{len(list(c.folder.glob('run*')))}"
    done = c.run("sightline", "run", pipeline, *given, "--out", name, "--json", *options)
    try:
        return json.loads(done.out), done
    except ValueError:
        return {}, done


def _words(done: Finished) -> str:
    return " ".join(done.text.split())


@case("cameras/05-recording-loses-frames-and-aborts")
def a_slow_detector_on_a_file(c: Case) -> Iterator[str]:
    """Every frame of a file is answered, however slow the detector; two runs decide alike."""
    import hashlib  # noqa: PLC0415

    library = c.folder.parent / "lib"
    made = c.run("python", library / "models.py", "models")
    if made.rc:
        yield f"models.py: exit {made.rc}, {made.err[-200:]}"
        return
    model = c.folder / "models" / "v8_slow.onnx"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    scene = _scene(c)

    def red(img: Any, t: float, _: int) -> Any:
        left = int(100 + 40 * t)
        scene.cv2.rectangle(img, (left, 200), (left + 59, 349), (10, 10, 250), -1)
        return img

    pictures = scene.frames(20, 960, 540, 5, [], fx=red, noise=1)
    _write(c.folder / "red.mkv", pictures, codec="ffv1", pixels="bgr0", rate_hz=5)
    (c.folder / "site.yaml").write_text(
        f"""use: site
pipeline: yard
detectors: {{people: {{use: onnx, model: models/v8_slow.onnx, sha256: "{digest}"}}}}
cameras:
  east:
    contract: {{width_px: 960, height_px: 540, rate_hz: 5, max_age_s: 0.5}}
    detector: people
zones:
  pit:
    camera: east
    polygon_px: [[100, 200], [250, 200], [250, 400], [100, 400]]
    is_forbidden: true
machines: {{saw: {{cameras: [east], zones: [pit]}}}}
""",
        encoding="utf-8",
    )
    digests = set()
    for _ in range(2):
        report, done = _run(c, "site.yaml", "east=red.mkv")
        if done.rc or done.is_defect:
            yield f"exit {done.rc}: {done.err[-200:]}"
            return
        if report["fallbacks"] or report["accounts"]["decided"] != 20:
            yield f"{report['accounts']['decided']} of 20 decided, fallbacks {report['fallbacks']}"
        digests.add(report["digest"])
    if len(digests) > 1:
        yield "two runs of one file decide differently"
    _, done = _run(c, "site.yaml", "east=red.mkv", options=("--deadlines", "on"))
    if done.rc or done.is_defect:
        yield f"with deadlines on purpose: exit {done.rc}, {done.err[-200:]}"


@case("cameras/07-rtsp-first-key-frame-dropped")
def the_first_key_frame_of_a_live_camera(c: Case) -> Iterator[str]:
    """A stream with one key frame, at its start, is seen from that key frame on.

    A transport stream over HTTP stands for the RTSP server, which is not installed everywhere: what
    is read to find out about a stream is kept, or thrown away, in the same way.
    """
    _write(c.folder / "m.ts", _walker(c, frames=60))
    data = (c.folder / "m.ts").read_bytes()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    from sightline.sense.frames.av_video import read_with_av  # noqa: PLC0415 - an extra

    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        parts = list(read_with_av(VideoLocation(address=address, is_live=True), DEFAULT_LIMITS))
        server.shutdown()
    seen = sum(isinstance(part, Picture) for part in parts)
    lost = [part.detail for part in parts if isinstance(part, Damage) and part.frames]
    if seen != 60 or lost:
        yield f"{seen} of 60 pictures are seen; {lost}"


@case("cameras/08-rotation-ignored")
def a_telephone_held_upright(c: Case) -> Iterator[str]:
    """The picture is turned as its file asks; a contract of the stored size is told so."""
    import numpy as np  # noqa: PLC0415

    pictures = (np.rot90(one) for one in _walker(c, size_px=(360, 640)))
    _write(c.folder / "phone.mp4", pictures, turned_deg=-90)
    report, done = _run(c, _site(c, size_px=(360, 640)), "east=phone.mp4")
    usable = report.get("cameras", {}).get("east", {}).get("usable")
    if done.rc or usable != 180:
        yield f"as every player shows it: exit {done.rc}, {usable} of 180 usable"
    if not any(kind.startswith("in_forbidden_zone") for kind in report.get("decisions", {})):
        yield f"nobody was seen in the pit: {report.get('decisions')}"
    _, done = _run(c, _site(c, size_px=(640, 360)), "east=phone.mp4")
    if done.rc != 5 or "set width_px: 360, height_px: 640" not in _words(done):
        yield f"as it is stored: exit {done.rc}, {_words(done)[-200:]}"


@case("cameras/09-nothing-usable-is-exit-0")
def nothing_usable(c: Case) -> Iterator[str]:
    """Exit 5, and the reason with the file."""
    import av  # noqa: PLC0415 - the extra `video`
    import numpy as np  # noqa: PLC0415

    _write(c.folder / "m.mp4", _walker(c))
    whole = (c.folder / "m.mp4").read_bytes()
    (c.folder / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 1000])
    (c.folder / "zero.mp4").write_bytes(b"")
    (c.folder / "html.mp4").write_text("<html>login</html>", encoding="utf-8")
    _write(c.folder / "gray.mkv", _walker(c, frames=20), codec="ffv1", pixels="gray")
    with av.open(str(c.folder / "audio.m4a"), "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    for name, reason in {
        "zero.mp4": "empty",
        "audio.m4a": "no video stream",
        "cut.mp4": "moov atom not found: the recording was cut off",
        "html.mp4": "web page",
        "gray.mkv": "grey pictures: set channels: 1",
    }.items():
        _, done = _run(c, _site(c), f"east={name}")
        if done.rc != 5 or reason not in _words(done) or done.is_defect:
            yield f"{name}: exit {done.rc}, {_words(done)[-200:]}"
    _, done = _run(c, _site(c, size_px=(1280, 720)), "east=m.mp4")
    if done.rc != 5 or "640 x 360" not in _words(done):
        yield f"another size: exit {done.rc}, {_words(done)[-200:]}"
    rows = "1 -1 100 200 30 90 0.9\n2 -1 105 200 30 90 0.9\n"
    (c.folder / "ws.txt").write_text(rows, encoding="utf-8")
    done = c.run("sightline", "track", "ws.txt", "-o", "t.txt", "--fps", "25")
    if done.rc != 5:
        yield f"track with every row refused: exit {done.rc}, {_words(done)[-200:]}"


@case("cameras/13-recordings-start-together")
def recordings_that_began_one_after_the_other(c: Case) -> Iterator[str]:
    """The start of a recording can be given, in seconds, as a time, or as the file says it."""
    pictures = list(_walker(c))
    made = {"creation_time": "2024-05-01T10:00:00Z"}, {"creation_time": "2024-05-01T10:00:03Z"}
    _write(c.folder / "c15.mp4", iter(pictures), metadata=made[0])
    _write(c.folder / "c5.mp4", iter(pictures[45::3]), rate_hz=5, metadata=made[1])
    two = (c.folder.parent / "lib" / "two.yaml").read_text(encoding="utf-8")
    (c.folder / "two.yaml").write_text(two, encoding="utf-8")
    for starts in (("", "@3"), ("@2024-05-01T10:00:00Z", "@2024-05-01T10:00:03Z")):
        sources = [f"east=c15.mp4{starts[0]}", f"west=c5.mp4{starts[1]}"]
        yield from _raised_together(c, sources)
    yield from _raised_together(c, ["east=c15.mp4@creation", "west=c5.mp4@creation"])
    _, done = _run(c, "two.yaml", "east=c15.mp4", "west=c5.mp4")
    if "@creation" not in done.err:
        yield "nothing is said of recordings that began at different times by their own word"


def _raised_together(c: Case, sources: list[str]) -> Iterator[str]:
    """Both cameras see the same person enter the same pit, at nearly the same time."""
    from sightline.runtime import RunDirectory  # noqa: PLC0415

    name = f"run{len(list(c.folder.glob('run*')))}"
    _, done = _run(c, "two.yaml", *sources, out=name)
    if done.rc:
        yield f"{' '.join(sources)}: exit {done.rc}, {_words(done)[-200:]}"
        return
    began: dict[str, float] = {}
    for one in RunDirectory.open(c.folder / name).decisions():
        if one.transition == "raised" and "forbidden" in one.kind:
            began.setdefault(one.subject.split("/")[0], one.event_ns / 1e9)
    times = list(began.values())
    if len(times) < 2 or max(times) - min(times) > 1.0:
        yield f"{' '.join(sources)}: not seen together, {began}"


_HANGING = """
import time
from sightline.runtime.item_stage import ItemStage
from sightline.runtime.settings import GuardSettings, ItemSettings

class HangingSettings(ItemSettings):
    guarded: GuardSettings

class Hanging(ItemStage):
    use = "hanging"
    Settings = HangingSettings
    looks = True
    finds = ("level",)

    def look(self, frames):
        time.sleep(3600)

    def on_item(self, turn):
        pass
"""


@case("reliability/17_deadlines")
def a_stage_that_hangs(c: Case) -> Iterator[str]:
    """On a thread and in a process each request is answered within its budget, and the run ends."""
    (c.folder / "hanging_stage.py").write_text(_HANGING, encoding="utf-8")
    digests = set()
    for run_on in ("thread", "process"):
        (c.folder / f"{run_on}.yaml").write_text(
            f"""pipeline: p
plugins: [hanging_stage]
latency_budget_s: 10
sources:
  east:
    frames: {{width_px: 320, height_px: 240, rate_hz: 10, max_age_s: 1}}
    options: {{frames: 60}}
stages:
  hangs: {{use: hanging, input: east, guarded: {{budget_s: 0.3, run_on: {run_on}}}}}
""",
            encoding="utf-8",
        )
        report, done = _run(c, f"{run_on}.yaml", "east=simulated://", options=("--deadlines", "on"))
        if done.rc or done.is_defect:
            yield f"{run_on}: exit {done.rc}, {_words(done)[-200:]}"
            continue
        digests.add(report["digest"])
        worst_s = report["stage_s"]["hangs"]["worst"]
        if worst_s > 1.5:  # of 0.3 s; starting a process takes several seconds
            yield f"{run_on}: a budget of 0.3 s, answered after {worst_s:.1f} s"
    if len(digests) > 1:
        yield "a stage that hangs on a thread and one that hangs in a process decide differently"
