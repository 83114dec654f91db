"""``sightline train inspection``, ``inspect`` and ``evaluate inspection``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sightline.cli.console import Json, Terminal, print_json, print_note, working
from sightline.cli.output_files import check_outputs
from sightline.errors import RefusedError, UsageError
from sightline.evidence.inspection import boards
from sightline.evidence.inspection.evaluation import evaluate_model, write_predictions
from sightline.evidence.inspection.inspecting import (
    given_files,
    given_frames,
    inspect_pictures,
    pictures_of,
)
from sightline.evidence.inspection.training import (
    LABELS,
    NETWORK_SHARE,
    Backbone,
    open_backbone,
    train_inspector,
)
from sightline.models import model_kind
from sightline.perceive.inspection import InspectionSettings
from sightline.perceive.inspection.golden_template import BoardSettings
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.perceive.inspection.segmentation import NetworkSettings
from sightline.sense.frames.board_pairs import find_board_pairs
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import (
    PartPicture,
    Refused,
    find_part_pictures,
    read_picture,
)

train_app = typer.Typer(help="Learn a model from pictures.", no_args_is_help=True)

Good = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS", help="Folder of good parts. Default: good, ok, free or normal at its end."
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Its first group, in the name without ending, is the part. Default: each picture.",
    ),
]
PartGap = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Parts are numbers; those within this gap are one part. 0: off."
    ),
]
BOXES = "boxes"
HEADS = ("cells", "network")
_PROBE_PICTURES = 4
_SETTLING_SHARE = 0.5
"""Of the time, what learning and checking need beside looking at pictures."""
_OTHER_LOOKS = 4
"""At each good picture: its cells, the hardest of them, as a stranger, and for the memory."""


def register(evaluate: typer.Typer) -> None:
    """Add the command to ``sightline lab evaluate``."""
    evaluate.command("inspection")(evaluate_inspection)


@train_app.callback()
def _train() -> None:
    """Learn a model from pictures."""


@train_app.command("inspection")
def train_inspection(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folders of classes.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="MODEL", help="Folder to write.")],
    labels: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(LABELS)}: whether marked defects are learnt from; or {BOXES}: boards "
            "beside their templates."
        ),
    ] = "none",
    head: Annotated[
        str,
        typer.Option(
            help="What tells defects: cells (a small network over the backbone's features), or "
            "network (decoders over its maps, with PyTorch; nothing else needs it)."
        ),
    ] = "cells",
    steps: Annotated[
        int, typer.Option(min=20, max=100_000, help="Most, of learning a network.")
    ] = NetworkSettings().steps,
    minutes: Annotated[
        float,
        typer.Option(min=0.1, help="Most time; fewer defects are drawn, or steps done."),
    ] = 10.0,
    backbone: Annotated[
        str, typer.Option(help="wheel, handcrafted, or an ONNX model of feature maps.")
    ] = "wheel",
    false_rejects: Annotated[
        float, typer.Option(help="Share of good parts that may be rejected.")
    ] = 0.05,
    scale: Annotated[
        float, typer.Option(min=0.25, max=4.0, help="Enlarges pictures first.")
    ] = InspectionSettings().scale,
    drawn: Annotated[
        int, typer.Option(min=1, max=20, help="Pictures with a drawn defect for each good one.")
    ] = InspectionSettings().simulated_per_picture,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    good: Good = None,
    part: Part = None,
    part_gap: PartGap = 0,
    licence: Annotated[str, typer.Option(help="Of the pictures, for the card.")] = "not stated",
    as_json: Json = False,
) -> None:
    """Learn an inspector from pictures of good parts, or with marked defects."""
    begun_s = time.monotonic()
    if labels == BOXES:
        pairs = find_board_pairs(folder)
        with working("boards", is_quiet=as_json) as told:
            card = boards.train_boards(
                pairs, out, settings=BoardSettings(seed=seed), data_licence=licence, told=told
            )
        _show_card(card, took_s=time.monotonic() - begun_s, as_json=as_json)
        return
    pictures = find_part_pictures(
        folder, side="train", good=good, part_pattern=part, part_gap=part_gap
    )
    features = open_backbone(backbone)
    settings = InspectionSettings(scale=scale, simulated_per_picture=drawn, seed=seed)
    used = [one for one in pictures if one.is_good or labels == "masks"]
    if head not in HEADS:
        raise UsageError(
            expected=" or ".join(HEADS), got=head, where="--head", action="give one of them"
        )
    network = NetworkSettings(steps=steps, seed=seed) if head == "network" else None
    fitting = (
        drawn
        if network
        else _fitting(len(used), _seconds_each(used, features, scale), minutes, drawn)
    )
    settings = replace(settings, simulated_per_picture=fitting)
    with working("pictures", is_quiet=as_json) as told:
        card = train_inspector(
            pictures,
            out,
            backbone=features,
            settings=settings,
            network=network,
            labels=labels,
            false_reject_rate=false_rejects,
            data_licence=licence,
            told=told,
            spent=lambda: (time.monotonic() - begun_s) / (60 * minutes * NETWORK_SHARE),
        )
    took_s = time.monotonic() - begun_s
    _show_card(card | {"drawn_asked": drawn}, took_s=took_s, as_json=as_json)
    if any(one.name.startswith("train/") for one in pictures) and (folder / "test").is_dir():
        print_note("note: test/ was not learnt from: it is for `evaluate inspection`")
    if fitting < drawn:
        print_note(f"note: {fitting} defects drawn per picture, not {drawn}: --minutes")


def inspect(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="A picture, a folder of pictures, or a video.")
    ],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="Folder of an inspector.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="Folder to write.")],
    digest: Annotated[
        str | None, typer.Option(metavar="SHA256", help="Digest that the model must have.")
    ] = None,
    mm_per_px: Annotated[
        float | None,
        typer.Option("--mm-per-px", min=1e-6, help="Say sizes in mm, too: side of a pixel."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at pictures: heat maps, boxes, accept, review or reject, and a report."""
    check_outputs({"-o": out}, inputs=[images, model])
    with working("pictures", is_quiet=as_json) as told:
        if model_kind(model) == boards.KIND:
            found = boards.load_boards(model, digest=digest)
            summary = boards.inspect_boards(found, find_board_pairs(images), out, told=told)
        else:
            inspector = load_inspector(model, digest=digest)
            if images.is_file() and images.suffix.lower() not in IMAGE_SUFFIXES:
                channels = inspector.artefact.contract.channels
                pictures, of = given_frames(images, channels=channels), None
            else:
                paths = pictures_of(images)
                pictures, of = given_files(paths, images), len(paths)
            summary = inspect_pictures(
                inspector, pictures, out, mm_per_px=mm_per_px, told=lambda done: told(done, of)
            )
    if as_json:
        print_json(summary)
    else:
        console = Terminal()
        for name, value in summary.items():
            console.print(f"{name:20} {_shown(value)}")
    looked = summary["accepted"] + summary["reviewed"] + summary["rejected"]
    if 2 * sum(summary["unseen"].values()) > looked:
        codes = ", ".join(f"{count} {code}" for code, count in summary["unseen"].items())
        raise RefusedError(
            expected="pictures that the model takes",
            got=f"{codes} of {looked}",
            where=str(images),
            action=f"see {out / 'decisions.jsonl'}: they went to review, each says why",
        )


def evaluate_inspection(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folders of classes.")],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="Folder of an inspector.")],
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Folder for image,score,alarm, boxes and score maps."),
    ] = None,
    good: Good = None,
    part: Part = None,
    part_gap: PartGap = 0,
    as_json: Json = False,
) -> None:
    """Score an inspector: image AUROC, AP and F1, pixel AP and PRO, with intervals by part."""
    check_outputs({"--predictions": predictions}, inputs=[folder, model])
    with working("pictures", is_quiet=as_json) as told:
        if model_kind(model) == boards.KIND:
            pairs = find_board_pairs(folder)
            plain = boards.evaluate_boards(
                boards.load_boards(model), pairs, predictions=predictions, told=told
            )
        else:
            pictures = find_part_pictures(
                folder, side="test", good=good, part_pattern=part, part_gap=part_gap
            )
            found = evaluate_model(load_inspector(model), pictures, maps=predictions, told=told)
            if predictions is not None:
                write_predictions(predictions, found)
            plain = found.as_mapping()
            if found.known:
                print_note(
                    f"note: the model was learnt from {found.known} of these "
                    f"{len(found.pictures)} pictures: figures of them flatter"
                )
    if as_json:
        print_json(plain)
        return
    console = Terminal()
    for name, value in plain.items():
        if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
            for inner, one in value.items():
                console.print(f"{name:14} {inner:16} {_shown(one)}")
        else:
            console.print(f"{name:14} {_shown(value)}")


def _seconds_each(used: Sequence[PartPicture], features: Backbone, scale: float) -> float:
    """Time that cells of one picture take: the mean of a few, after one to warm up."""
    cells = features.cells(scale)
    took_s: list[float] = []
    for i in np.linspace(0, len(used) - 1, _PROBE_PICTURES).round().astype(int).tolist():
        picture = read_picture(used[i].path)
        if not isinstance(picture, Refused):
            begun_s = time.perf_counter()
            cells(picture)
            took_s.append(time.perf_counter() - begun_s)
    return float(np.mean(took_s[1:] or took_s or [0.0]))


def _fitting(pictures: int, each_s: float, minutes: float, drawn: int) -> int:
    """How many defects can be drawn for each picture in the time; at least one.

    >>> _fitting(600, 0.05, 10.0, 3), _fitting(600, 0.3, 10.0, 3)
    (3, 1)
    """
    room_s = 60 * minutes * (1 - _SETTLING_SHARE)
    passes = int(room_s / max(pictures * each_s, 1e-9)) - _OTHER_LOOKS
    return max(1, min(drawn, passes))


def _show_card(card: dict[str, Any], *, took_s: float, as_json: bool) -> None:
    if as_json:
        print_json(card | {"took_s": round(took_s, 1)})
        return
    console = Terminal()
    console.print(f"model     {card['model']}")
    console.print(f"digest    {card['digest']}")
    lines = _said_inspector(card) if "oddest_good_parts" in card else _said_boards(card)
    for line in lines:
        console.print(line)
    for note in card["notes"]:
        console.print(f"note: {note}")
    console.print(f"took      {took_s:.1f} s")


def _said_boards(card: dict[str, Any]) -> Iterator[str]:
    for name in ("data", "features", "threshold", "figures"):
        if name in card:
            yield f"{name:9} {_shown(card[name])}"


def _said_inspector(card: dict[str, Any]) -> Iterator[str]:
    """What was learnt from what, and what the thresholds promise; the card itself has all of it."""
    data, threshold = card["data"], card["threshold"]
    beside = [f"{data['drawn_pictures']} drawn defects"] if data["drawn_pictures"] else []
    if data["learnt_bad_pictures"]:
        beside.append(f"{data['learnt_bad_pictures']} marked pictures")
    yield (
        f"learnt    {data['learnt_good_pictures']} pictures of {data['learnt_good_parts']} good "
        f"parts, {' and '.join(beside) or 'nothing else'}"
    )
    left = data["refused"] | {"without a mask": data["bad_without_mask"]}
    if said := ", ".join(f"{count} {why}" for why, count in left.items() if count):
        yield f"left out  {said}"
    yield f"features  {card['features']['source']}; licence: {card['features']['licence']}"
    yield (
        f"threshold rejects from {threshold['reject_from']:.2f}, review from "
        f"{threshold['review_from']:.2f}: at most {threshold['false_reject_rate_bound']:.1%} of "
        f"good parts are rejected ({threshold['false_reject_rate_asked']:.1%} asked, "
        f"{threshold['confidence']:.0%} sure, by {threshold['held_back_parts']} parts that it "
        "did not know)"
    )
    for name, figure in card["figures"].items():
        yield f"figure    {name.replace('_', ' ')} {_shown(figure)}"
    oddest = ", ".join(f"{one['image']} {one['score']:.2f}" for one in card["oddest_good_parts"])
    yield f"oddest    {oddest} (good parts that hold the threshold up: are they good?)"
    now, *others = card["other_thresholds"]
    yield f"finds     {now['found']:.0%} of {now['of']} defects, looked at like new parts"
    yield from (_said_choice(one) for one in others if one["found"] > now["found"])


def _said_choice(one: dict[str, Any]) -> str:
    without = one["without_oddest"]
    parts = f" without the {without} oddest" if without else ""
    return (
        f"choice    --false-rejects {one['false_rejects']:g}{parts}: rejects from "
        f"{one['reject_from']:.2f} (bound {one['bound']:.3f}), finds {one['found']:.0%} of "
        f"{one['of']} defects"
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        if set(value) == {"value", "low", "high"}:
            return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items()) or "none"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
