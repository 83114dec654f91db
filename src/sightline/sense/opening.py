"""Opening sources: from a location and options to the class that knows its scheme."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import BinaryIO, overload

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.registry import Registry
from sightline.sense.contract import Contract
from sightline.sense.frames.delivery import CameraSource
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.source import Source, Surroundings
from sightline.sense.yaml_form import parse_form

STANDARD_INPUT = "-"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_FILES = "sightline.sense.files"
_FRAMES = "sightline.sense.frames"
_BUILT_IN = {
    "rows.file": f"{_FILES}:FileSource",
    "rows.stdin": f"{_FILES}:StandardInput",
    **{
        f"rows.{scheme}": f"sightline.sense.broker_source:{found}"
        for scheme, found in {
            **dict.fromkeys(("nats", "nats+tls"), "JetStreamSource"),
            **dict.fromkeys(("kafka", "kafka+tls"), "KafkaSource"),
            **dict.fromkeys(("amqp", "amqps"), "AmqpQueueSource"),
            **dict.fromkeys(("amqp+stream", "amqps+stream"), "AmqpStreamSource"),
            **dict.fromkeys(("mqtt", "mqtts"), "MqttSource"),
        }.items()
    },
    "frames.file": f"{_FRAMES}.video_file:VideoFile",
    "frames.rtsp": f"{_FRAMES}.live_camera:LiveCamera",
    "frames.rtsps": f"{_FRAMES}.live_camera:LiveCamera",
    "frames.http": f"{_FRAMES}.live_camera:LiveCamera",
    "frames.https": f"{_FRAMES}.live_camera:LiveCamera",
    "frames.simulated": f"{_FRAMES}.simulated_camera:SimulatedCamera",
}


def source_registry(plugins: Sequence[ModuleType] = ()) -> Registry[Source]:
    """Sources by what they give and their scheme: ``rows.file``, ``frames.rtsp``.

    An entry point of the group ``sightline.sources`` has such a name, and ``module:Class``.

    >>> "rows.file" in source_registry()
    True
    """
    return Registry(
        "source",
        Source,
        built_in=_BUILT_IN,
        group="sightline.sources",
        plugins=plugins,
        names=lambda found: [f"{found.gives}.{scheme}" for scheme in found.schemes],
    )


def scheme_of(location: str) -> str:
    """The scheme of a location; of a plain path ``file``, of ``-`` ``stdin``.

    >>> [scheme_of(location) for location in ("days/2026-01-01.csv", "-", "RTSP://gate/1")]
    ['file', 'stdin', 'rtsp']
    """
    if location == STANDARD_INPUT:
        return "stdin"
    found = _SCHEME.match(location)
    return found[1].lower() if found else "file"


@overload
def open_source(
    name: str,
    location: str,
    contract: Contract,
    *,
    options: Mapping[str, object] | None = None,
    registry: Registry[Source] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    wall_ns: Callable[[], int] = time.time_ns,
    stdin: BinaryIO | None = None,
    is_live: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Source: ...
@overload
def open_source(
    name: str,
    location: str,
    contract: FrameContract,
    *,
    options: Mapping[str, object] | None = None,
    registry: Registry[Source] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    wall_ns: Callable[[], int] = time.time_ns,
    stdin: BinaryIO | None = None,
    is_live: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> CameraSource: ...
def open_source(
    name: str,
    location: str,
    contract: Contract | FrameContract,
    *,
    options: Mapping[str, object] | None = None,
    registry: Registry[Source] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    wall_ns: Callable[[], int] = time.time_ns,
    stdin: BinaryIO | None = None,
    is_live: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Source:
    """The source at ``location``.

    Args:
        name: the source's name in the pipeline.
        location: ``SCHEME://…``, a path, or ``-`` for JSON lines on standard input. Rows in files:
            ``.csv``, ``.jsonl`` and ``.ndjson`` (each also with ``.gz``), ``.parquet``; ``.npz``
            alone when the contract has an ``archive``; a directory is read recursively in sorted
            order. Frames: a video, a directory of images, ``rtsp(s)://…``, or ``http(s)://…``
            (MJPEG).
        contract: what the rows or frames should be; it decides between the two.
        options: as the class of the source says in its ``Options``.
        registry: :func:`source_registry` with the plugins of the pipeline.
        limits: bounds of files, lines, chunks, pictures and waits.
        wall_ns: the clock, UTC ns.
        stdin: the bytes behind ``-``.
        is_live: whether the run takes rows as they come.
        tell: told what is wrong while a source goes on.

    Raises:
        PipelineError: no such source is installed.
        SourceError: nothing is there, nothing that can be read, too much of it, or wrong options.
        UsageError: ``-`` without ``stdin``.
    """
    gives = "frames" if isinstance(contract, FrameContract) else "rows"
    where = f"source {name}"
    found = (registry or source_registry()).find(f"{gives}.{scheme_of(location)}", where=where)
    source = found.open(
        location,
        name=name,
        contract=contract,
        options=parse_form(
            options or {}, found.Options, where=f"{where}, options", kind_of_error=SourceError
        ),
        surroundings=Surroundings(
            limits=limits, wall_ns=wall_ns, stdin=stdin, is_live=is_live, tell=tell
        ),
    )
    if source.gives != gives or (gives == "frames" and not isinstance(source, CameraSource)):
        raise SourceError(
            expected=f"a source of {gives}",
            got=f"{type(source).__name__}, which gives {source.gives}",
            where=where,
            action="mend the class of the source",
        )
    return source
