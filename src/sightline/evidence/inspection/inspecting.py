"""Pictures through an inspector: what is decided of each, heat maps and a page."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.errors import SourceError, writing
from sightline.evidence.inspection.map_files import heat_picture, write_map, write_png
from sightline.evidence.inspection.picture_account import (
    PictureAccount,
    account_of,
    maps_note,
    passes_line,
)
from sightline.evidence.pages import STYLE, page, table
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.models import ModelArtefact
from sightline.perceive.inspection.inspector import REASONS
from sightline.perceive.inspection.inspector_model import InspectorModel
from sightline.records.frames import Image
from sightline.records.plain_json import canonical_json
from sightline.records.shown_text import markup
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import Refused, read_picture
from sightline.sense.frames.video_file import best_reader, why_unreadable
from sightline.sense.frames.video_parts import Damage, Picture, VideoLocation

_SHOWN_PICTURES = 60
_EXPLAINED_PICTURES = 12
"""Of the most unusual, so many are explained: each is looked at some 17 times more. An account of
any other comes by giving that picture alone."""
_SHOWN_SIDE_PX = 360
_STYLE = """
.picture { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 20px }
.picture > div { flex: 1 1 320px }
.picture h3 { overflow-wrap: anywhere } .picture p { margin: 0 0 8px }
.patches { display: flex; flex-wrap: wrap; gap: 12px } .patches figure { margin: 0; width: 130px }
figcaption { font-size: 12px; color: var(--soft); overflow-wrap: anywhere }
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """One picture to look at.

    Attributes:
        name: of it, for people and for its maps.
        picture: uint8[height, width] or [height, width, 3], or why there is none.
        at_s: its place in a video, s; None: it is a file of its own.
    """

    name: str
    picture: Image | Refused
    at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    name: str
    line: dict[str, Any]
    png: bytes


def pictures_of(where: Path) -> list[Path]:
    """A picture, or all pictures below a folder, by name, without masks.

    Masks are PNG files beside their JPEG, files called ``…_mask`` and all in ``ground_truth``.

    Raises:
        SourceError: there is none.
    """
    if where.is_file():
        return [where]
    files = sorted(
        f
        for f in where.rglob("*")
        if f.suffix.lower() in IMAGE_SUFFIXES
        and not f.stem.endswith("_mask")
        and "ground_truth" not in f.relative_to(where).parts
    )
    masks = {f.with_suffix(".png") for f in files if f.suffix.lower() in (".jpg", ".jpeg")}
    found = [f for f in files if f not in masks]
    if not found:
        raise SourceError(
            expected=f"pictures ({', '.join(IMAGE_SUFFIXES)}) or a video",
            got="none",
            where=str(where),
            action="give a picture, a folder of pictures, or a video",
        )
    return found


def given_files(paths: Sequence[Path], root: Path) -> Iterator[Given]:
    """Pictures from files; their names are below ``root``, or below its folder."""
    base = root if root.is_dir() else root.parent
    for path in paths:
        yield Given(name=path.relative_to(base).as_posix(), picture=read_picture(path))


def given_frames(path: Path, *, channels: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[Given]:
    """All frames of a video; what cannot be decoded is refused, and its frames are counted.

    Args:
        path: of the video.
        channels: that the model takes: with 1, colours of a video become grey.
        limits: most pictures.

    Raises:
        SourceError: there is no picture in it, or more than ``limits.max_images``.
    """
    parts = best_reader()(VideoLocation(address=str(path.absolute()), is_live=False), limits)
    index, seen, why = 0, 0, "no picture"
    for part in parts:
        if isinstance(part, Damage):
            why = part.detail
            for _ in range(part.frames):
                refused = Refused(code=str(part.reason), detail=part.detail)
                yield Given(name=_frame_name(index), picture=refused)
                index += 1
        elif isinstance(part, Picture):
            pixels, at_ns = part.pixels, part.pts_ns
            if channels == 1 and pixels.ndim == 3:
                pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
            at_s = None if at_ns is None else at_ns / NS_PER_S
            yield Given(name=_frame_name(index), picture=pixels, at_s=at_s)
            index, seen = index + 1, seen + 1
        if index > limits.max_images:
            raise SourceError(
                expected=f"at most {limits.max_images} pictures",
                got="more",
                where=str(path),
                action="cut the video",
            )
    if not seen:
        raise SourceError(
            expected="a video with pictures, or a picture",
            got=why_unreadable(path, why),
            where=str(path),
            action="give another file",
        )


def _frame_name(index: int) -> str:
    return f"frame_{index:06}.png"


def inspect_pictures(
    model: InspectorModel,
    pictures: Iterable[Given],
    out: Path,
    *,
    mm_per_px: float | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Look at each picture; what came of it, in numbers.

    Writes ``decisions.jsonl`` (one line for each picture, in the order given), ``maps/`` (16 bits),
    ``heat/`` (for people), ``explained.jsonl`` (of the most unusual that are not accepted, the
    nearest normal patches and what would have passed) and ``report.html`` (the worst first). Heat
    is shown only if it depends on what was learnt, as the card says. A picture that the model does
    not take is sent to review with the code of what is wrong: nothing is accepted unseen.

    Args:
        model: the inspector.
        pictures: each with a name of its own.
        out: folder that is written to.
        mm_per_px: to say sizes in mm, too; None: in px alone.
        told: how many pictures were looked at.

    Raises:
        StorageError: something cannot be written.
    """
    lines: list[bytes] = []
    shown: list[_Shown] = []
    to_explain: list[tuple[float, str, Image]] = []
    unseen: list[tuple[str, str, str]] = []
    counted: Counter[str] = Counter()
    for done, one in enumerate(pictures, start=1):
        line, heat = look_at(model, one.picture, one.name, out)
        if one.at_s is not None:
            line["at_s"] = round(one.at_s, 6)
        counted[line["disposition"]] += 1
        lines.append(canonical_json(line))
        if heat is None or isinstance(one.picture, Refused):
            unseen.append((one.name, line["code"], line["detail"]))
        else:
            shown.append(_Shown(name=one.name, line=line, png=_thumbnail(heat)))
            if len(shown) > 2 * _SHOWN_PICTURES:
                shown = _worst(shown)
            if line["disposition"] != "accept":
                to_explain.append((-line["score"], one.name, one.picture))
                to_explain = sorted(to_explain, key=lambda x: x[:2])[:_EXPLAINED_PICTURES]
        told(done)
    summary = {
        "model": model.artefact.digest,
        "pictures": len(lines),
        **{f"{name}ed": counted[name] for name in ("accept", "review", "reject")},
        "unseen": dict(sorted(Counter(code for _, code, _ in unseen).items())),
        "out": str(out),
    }
    explained = {
        name: account_of(model, picture, model.inspect(picture)) for _, name, picture in to_explain
    }
    accounts = [
        canonical_json({"image": name} | one.as_mapping()) for name, one in explained.items()
    ]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "decisions.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        (out / "explained.jsonl").write_bytes(b"".join(line + b"\n" for line in accounts))
        worst = _pictures(_worst(shown), explained, mm_per_px)
        body = _body(model.artefact, summary, unseen, worst)
        text = page("Inspection", body, style=STYLE + _STYLE)
        (out / "report.html").write_text(text, encoding="utf-8")
    return summary


def look_at(
    model: InspectorModel, picture: Image | Refused, name: str, out: Path | None
) -> tuple[dict[str, Any], Image | None]:
    """What is decided of one picture, and its heat map for people; None of one that is not taken.

    A picture that the model does not take is sent to review with the code of what is wrong.

    Args:
        model: the inspector.
        picture: from :func:`~sightline.sense.frames.part_pictures.read_picture`, or a video.
        name: of the picture in what is decided, and of its maps.
        out: folder that its maps are written to; None: nothing is written.
    """
    line: dict[str, Any] = {"image": name, "model": model.artefact.digest}
    if isinstance(picture, Refused):
        return line | _unseen(picture.code, picture.detail), None
    if breach := model.artefact.contract.breach(picture):
        return line | _unseen(*breach), None
    found = model.inspect(picture)
    shown = found.heat if not maps_note(model.artefact.card) else np.zeros_like(found.heat)
    heat = heat_picture(picture, shown, found.boxes)
    if out is not None:
        write_map(out, name, found.heat)
        write_png(out / "heat" / Path(name).with_suffix(".png"), heat)
    reasons = zip(REASONS, found.reasons.tolist(), strict=True)
    return line | {
        "disposition": model.inspector.disposition(found.score),
        "code": "",
        "detail": "",
        "score": round(found.score, 6),
        "reject_from": round(model.inspector.reject_from, 6),
        "review_from": round(model.inspector.review_from, 6),
        "reasons": {reason: round(value, 6) for reason, value in reasons},
        "boxes": [[round(v, 3) for v in box] for box in found.boxes.tolist()],
        "sha256": hashlib.sha256(picture.tobytes()).hexdigest(),
    }, heat


def _unseen(code: str, detail: str) -> dict[str, Any]:
    return {
        "disposition": "review",
        "code": code,
        "detail": detail,
        "score": None,
        "reasons": {},
        "boxes": [],
    }


def _worst(shown: list[_Shown]) -> list[_Shown]:
    return sorted(shown, key=lambda one: (-one.line["score"], one.name))[:_SHOWN_PICTURES]


def _thumbnail(heat: Image) -> bytes:
    factor = min(1.0, _SHOWN_SIDE_PX / max(heat.shape[:2]))
    size = (max(round(heat.shape[1] * factor), 1), max(round(heat.shape[0] * factor), 1))
    small = cv2.resize(heat, size, interpolation=cv2.INTER_AREA)
    return bytes(np.asarray(cv2.imencode(".png", small)[1]).tobytes())


def _body(
    model: ModelArtefact,
    summary: dict[str, Any],
    unseen: Sequence[tuple[str, str, str]],
    pictures: str,
) -> str:
    threshold = model.card["threshold"]
    cards = "".join(
        f'<div class="card"><b>{summary[name]}</b>{name}</div>'
        for name in ("pictures", "accepted", "reviewed", "rejected")
    )
    said = (
        f"Rejected from a score of {threshold['reject_from']:.2f}, looked at by a person from "
        f"{threshold['review_from']:.2f}. At most {threshold['false_reject_rate_bound']:.1%} of "
        f"good parts are rejected ({threshold['confidence']:.0%} confidence, "
        f"{threshold['held_back_parts']} parts held back). {maps_note(model.card)}"
    )
    return (
        f'<h1>Inspection</h1><p class="soft">Model {model.digest[:16]}. {said}</p>'
        f'<div class="cards">{cards}</div>{_unseen_table(unseen)}'
        f"<h2>The most unusual first</h2>{pictures}"
    )


def _unseen_table(unseen: Sequence[tuple[str, str, str]]) -> str:
    if not unseen:
        return ""
    rows = [[markup(text) for text in one] for one in unseen[:_SHOWN_PICTURES]]
    more = len(unseen) - len(rows)
    caption = "They are sent to review: nothing is accepted unseen." + (
        f" {more} more are in decisions.jsonl." if more else ""
    )
    heads = ("picture", "code", "why")
    return f"<h2>Could not be looked at: {len(unseen)}</h2>{table(heads, rows, caption=caption)}"


def _pictures(
    worst: Sequence[_Shown], explained: dict[str, PictureAccount], mm_per_px: float | None
) -> str:
    return "".join(_picture(one, explained.get(one.name), mm_per_px) for one in worst)


def _picture(one: _Shown, account: PictureAccount | None, mm_per_px: float | None) -> str:
    line = one.line
    colour = {"reject": "critical", "review": "warning"}.get(line["disposition"], "good")
    reasons = ", ".join(
        f"{markup(code.replace('_', ' ').lower())} {value:+.2f}"
        for code, value in line["reasons"].items()
    )
    picture = base64.b64encode(one.png).decode()
    return (
        f'<div class="account picture"><img alt="heat of {markup(one.name)}" '
        f'src="data:image/png;base64,{picture}"><div><h3>{markup(one.name)}: '
        f'<span class="{colour}">{line["disposition"]}</span></h3>'
        f"<p>score {line['score']:.2f} = {reasons} (deviations from good parts)</p>"
        f"{_why(account, mm_per_px)}</div></div>"
    )


def _why(account: PictureAccount | None, mm_per_px: float | None) -> str:
    if account is None:
        return ""
    near = "".join(
        f'<figure><img alt="normal patch of {markup(one.image)}" width="96" height="96" '
        f'src="data:image/png;base64,{_encoded(one.crop)}"><figcaption>{markup(one.image)} at '
        f"{one.x_px}, {one.y_px}: {one.distance:.2f} away</figcaption></figure>"
        for one in account.near
    )
    passes = markup(passes_line(account.would_pass, mm_per_px=mm_per_px))
    return (
        f"<p>At {account.x_px}, {account.y_px} {passes}.</p>"
        f'<p class="soft">The nearest normal patches:</p><div class="patches">{near}</div>'
    )


def _encoded(pixels: Image) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
