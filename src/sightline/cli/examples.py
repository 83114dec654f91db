"""What the help of each command shows as examples: what a newcomer would type.

A test types those of :data:`EXAMPLES` that need nothing but a made-up run, and checks the words of
the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import typer

EXAMPLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "init": (
            "sightline init telemetry.csv -o mine",
            "sightline init yard.mp4 -o mine --model detector.onnx",
            "sightline init gateway -o demo",
        ),
        "check": (
            "sightline check mine/telemetry.yaml",
            "sightline check site.yaml --expanded",
        ),
        "run": (
            "sightline run mine/telemetry.yaml --source telemetry=telemetry.csv --out RUN",
            "sightline run mine/telemetry.yaml --source telemetry=- --live --out RUN "
            "--alerts jsonl:alerts.jsonl",
            "sightline run mine/telemetry.yaml --live --out RUN "
            "--source telemetry=nats://localhost:4222/TELEMETRY",
            "sightline run site.yaml --source east=rtsp://camera/1 --out RUN",
        ),
        "live": (
            "sightline live mine/telemetry.yaml --source telemetry=- --out RUN "
            "--alerts jsonl:alerts.jsonl",
            "sightline live site.yaml --source east=rtsp://camera/1 --out RUN",
        ),
        "detect": (
            "sightline detect telemetry.csv --time time --value bus_voltage_v --key satellite",
            "sightline detect telemetry.csv --time time --value bus_voltage_v --key satellite "
            "-o events.csv --plot events.png",
        ),
        "publish": (
            "sightline publish telemetry.parquet nats://localhost:4222/TELEMETRY/telemetry "
            "--as arrow --rows 4000 --create",
        ),
        "tiles": ("sightline tiles detections.parquet --zoom 12 --window 3600 -o tiles.geojson",),
        "decisions": (
            "sightline decisions RUN",
            "sightline decisions RUN --subject 'sat-7*' --transition raised -o decisions.csv",
        ),
        "explain": (
            "sightline explain RUN",
            "sightline explain RUN ID -o why.svg",
        ),
        "alerts": ("sightline alerts RUN",),
        "alert acknowledge": (
            "sightline alert acknowledge RUN sat-7/bus_voltage_v --operator 'Ana Silva'",
        ),
        "alert reset": ("sightline alert reset RUN sat-7 --code STATION_ERRORS",),
        "alert shelve": (
            "sightline alert shelve RUN sat-7 --until 2h --reason 'known since Monday'",
        ),
        "alert unshelve": ("sightline alert unshelve RUN sat-7",),
        "alert mask": (
            "sightline alert mask RUN sat-7 --until 2030-01-01T12:00:00Z --reason 'wheel test'",
        ),
        "alert put-back": ("sightline alert put-back RUN sat-7",),
        "report": (
            "sightline report RUN",
            "sightline report RUN -o report.html",
        ),
        "serve": (
            "sightline serve RUN",
            "sightline serve RUN --host 0.0.0.0 --token-file token",
        ),
        "replay": (
            "sightline replay RUN",
            "sightline replay RUN --against OTHER",
        ),
        "verify": ("sightline verify RUN",),
        "doctor": (
            "sightline doctor",
            "sightline doctor mine/telemetry.yaml --out RUN",
        ),
        "stages": (
            "sightline stages",
            "sightline stages alarm",
        ),
        "schema contract": ("sightline schema contract",),
        "schema pipeline": ("sightline schema pipeline",),
        "schema check": ("sightline schema check --ledger postgresql://localhost/sightline",),
        "schema upgrade": (
            "sightline schema upgrade --ledger postgresql://localhost/sightline?schema=gateway",
        ),
        "telemetry load": (
            "sightline telemetry load telemetry.parquet --ledger postgresql://localhost/sightline",
        ),
        "telemetry throughput": (
            "sightline telemetry throughput --ledger postgresql://localhost/sightline",
            "sightline telemetry throughput --plan --ledger postgresql://localhost/sightline",
        ),
        "telemetry retain": (
            "sightline telemetry retain --days 30 --ledger postgresql://localhost/sightline",
        ),
        "prune": ("sightline prune RUN --older-than-days 30",),
        "quarantine": (
            "sightline quarantine RUN",
            "sightline quarantine RUN --feed-again mine/telemetry.contract.yaml",
        ),
        "outbox": ("sightline outbox RUN",),
        "render": (
            "sightline render RUN -o drawn.mp4 --source east=VIDEO.mp4",
            "sightline render RUN -o moment.png --at 9.5",
        ),
        "train inspection": ("sightline train inspection good/ -o model",),
        "pod": ("sightline pod hitmiss.csv -o pod.svg",),
        "inspect": ("sightline inspect parts/ --model model -o RUN",),
        "demo": (
            "sightline demo",
            "sightline demo --minutes 20 --speed max --out runs/short",
        ),
        "parts": (
            "sightline parts RUN",
            "sightline parts RUN S000042",
        ),
        "review": (
            "sightline review RUN",
            "sightline review RUN --export REVIEWED",
        ),
        "kpi": ("sightline kpi FOLDER --metrics METRICS.yaml --ledger URL",),
        "batch detect": ("sightline batch detect",),
        "batch inspect": ("sightline batch inspect",),
        "lab simulate line": ("sightline lab simulate line LINE",),
        "model": (
            "sightline model RUN",
            "sightline model RUN sat-00004 temperature_c -o expected.svg",
        ),
        "lab bench": ("sightline lab bench windows",),
        "lab profile": ("sightline lab profile RUN",),
        "lab evaluate mot": ("sightline lab evaluate mot --truth gt.txt --tracks tracks.txt",),
        "lab evaluate nasa": ("sightline lab evaluate nasa DIR",),
        "lab evaluate nab": ("sightline lab evaluate nab DIR",),
        "lab evaluate skab": ("sightline lab evaluate skab DIR",),
        "lab evaluate opssat": ("sightline lab evaluate opssat DIR",),
        "lab evaluate fleet": ("sightline lab evaluate fleet fleet --json",),
        "lab evaluate site": ("sightline lab evaluate site RUN --camera east --truth gt.txt",),
        "lab evaluate inspection": ("sightline lab evaluate inspection DIR --model model",),
        "lab track": ("sightline lab track det.txt -o tracks.txt --fps 25",),
        "lab simulate fleet": ("sightline lab simulate fleet fleet --satellites 4 --days 2",),
    }
)
"""Lines to type, by the words of the command."""


def examples_of(words: str) -> str | None:
    r"""The examples of a command, to stand under its help; None for one that has none.

    >>> examples_of("verify")
    'Examples:\n\nsightline verify RUN'
    """
    lines = EXAMPLES.get(words)
    return None if lines is None else "\n\n".join(["Examples:", *lines])


def add_examples(app: typer.Typer, words: str) -> None:
    """Give each command of a group its examples.

    Args:
        app: the group.
        words: that call it, as ``lab evaluate``.
    """
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
        command.epilog = examples_of(f"{words} {name}")
