"""Pictures through an inspector: what is decided of each, heat maps and a page."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
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
from sightline.evidence.pages import page
from sightline.perceive.inspection.inspector import REASONS
from sightline.perceive.inspection.inspector_model import InspectorModel
from sightline.records.frames import Image
from sightline.records.plain_json import canonical_json
from sightline.records.shown_text import markup
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import Refused, read_picture

_SHOWN_PICTURES = 60
_EXPLAINED_PICTURES = 12
"""Of the most unusual, so many are explained: each is looked at some 17 times more. An account of
any other comes by giving that picture alone."""
_SHOWN_SIDE_PX = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    name: str
    path: Path
    line: dict[str, Any]
    png: bytes


def pictures_of(where: Path) -> list[Path]:
    """A picture, or all pictures below a folder, by name; a PNG beside its JPEG is a mask.

    Raises:
        SourceError: there is none.
    """
    if where.is_file():
        return [where]
    files = sorted(f for f in where.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
    masks = {f.with_suffix(".png") for f in files if f.suffix.lower() in (".jpg", ".jpeg")}
    found = [f for f in files if f not in masks]
    if not found:
        raise SourceError(
            expected=f"pictures ({', '.join(IMAGE_SUFFIXES)})",
            got="none",
            where=str(where),
            action="give a picture, or a folder of pictures",
        )
    return found


def inspect_pictures(
    model: InspectorModel,
    paths: Sequence[Path],
    out: Path,
    *,
    root: Path,
    mm_per_px: float | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Look at each picture; what came of it, in numbers.

    Writes ``decisions.jsonl`` (one line for each picture, in the order given), ``maps/`` (16 bits),
    ``heat/`` (for people), ``explained.jsonl`` (of the most unusual that are not accepted, the
    nearest normal patches and what would have passed) and ``report.html`` (the worst first). Heat
    is shown only if it depends on what was learnt, as the card says. A picture that the model does
    not take is sent to review with the code of what is wrong: nothing is accepted unseen.

    Args:
        model: the inspector.
        paths: of pictures.
        out: folder that is written to.
        root: names of pictures are below it.
        mm_per_px: to say sizes in mm, too; None: in px alone.
        told: how many of how many pictures were looked at.

    Raises:
        StorageError: something cannot be written.
    """
    lines: list[bytes] = []
    shown: list[_Shown] = []
    counted: Counter[str] = Counter()
    base = root if root.is_dir() else root.parent
    for done, path in enumerate(paths, start=1):
        name = path.relative_to(base).as_posix()
        line, heat = look_at(model, path, name, out)
        counted[line["disposition"]] += 1
        lines.append(canonical_json(line))
        if heat is not None:
            shown.append(_Shown(name=name, path=path, line=line, png=_thumbnail(heat)))
            if len(shown) > 2 * _SHOWN_PICTURES:
                shown = _worst(shown)
        told(done, len(paths))
    summary = {
        "model": model.artefact.digest,
        "pictures": len(paths),
        **{f"{name}ed": counted[name] for name in ("accept", "review", "reject")},
        "out": str(out),
    }
    worst = _worst(shown)
    explained = _explained(model, worst)
    accounts = [
        canonical_json({"image": name} | one.as_mapping()) for name, one in explained.items()
    ]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "decisions.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        (out / "explained.jsonl").write_bytes(b"".join(line + b"\n" for line in accounts))
        text = page("Inspection", _body(model, summary, worst, explained, mm_per_px))
        (out / "report.html").write_text(text, encoding="utf-8")
    return summary


def look_at(
    model: InspectorModel, path: Path, name: str, out: Path | None
) -> tuple[dict[str, Any], Image | None]:
    """What is decided of one picture, and its heat map for people; None of one that is not taken.

    Args:
        model: the inspector.
        path: of the picture.
        name: what it is called.
        out: folder that its maps are written to; None: nothing is written.
    """
    line: dict[str, Any] = {"image": name, "model": model.artefact.digest}
    picture = read_picture(path)
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


def _explained(model: InspectorModel, worst: Sequence[_Shown]) -> dict[str, PictureAccount]:
    """Accounts of the most unusual pictures that were not accepted, by name."""
    found: dict[str, PictureAccount] = {}
    for one in worst[:_EXPLAINED_PICTURES]:
        picture = read_picture(one.path)
        if one.line["disposition"] != "accept" and not isinstance(picture, Refused):
            found[one.name] = account_of(model, picture, model.inspect(picture))
    return found


def _thumbnail(heat: Image) -> bytes:
    factor = min(1.0, _SHOWN_SIDE_PX / max(heat.shape[:2]))
    size = (max(round(heat.shape[1] * factor), 1), max(round(heat.shape[0] * factor), 1))
    small = cv2.resize(heat, size, interpolation=cv2.INTER_AREA)
    return bytes(np.asarray(cv2.imencode(".png", small)[1]).tobytes())


def _body(
    model: InspectorModel,
    summary: dict[str, Any],
    worst: Sequence[_Shown],
    explained: dict[str, PictureAccount],
    mm_per_px: float | None,
) -> str:
    threshold = model.artefact.card["threshold"]
    cards = "".join(
        f'<div class="card"><b>{summary[name]}</b>{name}</div>'
        for name in ("pictures", "accepted", "reviewed", "rejected")
    )
    rows = "".join(_row(one, explained.get(one.name), mm_per_px) for one in worst)
    said = (
        f"Rejected from a score of {threshold['reject_from']:.2f}, looked at by a person from "
        f"{threshold['review_from']:.2f}. At most {threshold['false_reject_rate_bound']:.1%} of "
        f"good parts are rejected ({threshold['confidence']:.0%} confidence, "
        f"{threshold['held_back_parts']} parts held back). {maps_note(model.artefact.card)}"
    )
    return (
        f'<h1>Inspection</h1><p class="soft">Model {model.artefact.digest[:16]}. {said}</p>'
        f'<div class="cards">{cards}</div><h2>The most unusual first</h2>'
        "<table><tr><th>picture</th><th>heat</th><th>disposition</th><th>score</th>"
        "<th>deviations from good parts</th><th>the nearest normal patches, and what would have "
        f"passed</th></tr>{rows}</table>"
    )


def _row(one: _Shown, account: PictureAccount | None, mm_per_px: float | None) -> str:
    line = one.line
    colour = {"reject": "critical", "review": "warning"}.get(line["disposition"], "")
    reasons = "<br>".join(
        f"{markup(code.replace('_', ' ').lower())} {value:+.2f}"
        for code, value in line["reasons"].items()
    )
    picture = base64.b64encode(one.png).decode()
    return (
        f"<tr><td>{markup(one.name)}</td>"
        f'<td><img alt="heat of {markup(one.name)}" src="data:image/png;base64,{picture}"></td>'
        f'<td class="{colour}">{line["disposition"]}</td>'
        f'<td class="n">{line["score"]:.2f}</td><td>{reasons}</td>'
        f"<td>{_why(account, mm_per_px)}</td></tr>"
    )


def _why(account: PictureAccount | None, mm_per_px: float | None) -> str:
    if account is None:
        return ""
    near = "".join(
        f'<figure><img alt="normal patch of {markup(one.image)}" width="72" height="72" '
        f'src="data:image/png;base64,{_encoded(one.crop)}"><figcaption>{markup(one.image)} at '
        f"{one.x_px}, {one.y_px}: {one.distance:.2f} away</figcaption></figure>"
        for one in account.near
    )
    passes = markup(passes_line(account.would_pass, mm_per_px=mm_per_px))
    return f"{near}<p>at {account.x_px}, {account.y_px} {passes}</p>"


def _encoded(pixels: Image) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
