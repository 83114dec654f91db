"""Recordings and cameras: what is read, when it was taken, and what is said of what cannot be read.

The cases' own scripts call FFmpeg; here PyAV makes the same inputs, from the cases' own scenes.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.cases.case import Case, Finished, case

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
