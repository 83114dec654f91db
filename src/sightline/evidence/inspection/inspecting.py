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

from sightline.errors import SourceError
from sightline.evidence.inspection.map_files import heat_picture, write_map, write_png, writing
from sightline.evidence.pages import page
from sightline.perceive.inspection.inspector import REASONS
from sightline.perceive.inspection.inspector_model import InspectorModel
from sightline.records.frames import Image
from sightline.records.plain_json import canonical_json
from sightline.records.shown_text import markup
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import Refused, read_picture

_SHOWN_PICTURES = 60
_SHOWN_SIDE_PX = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    name: str
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
    told: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Look at each picture; what came of it, in numbers.

    Writes ``decisions.jsonl`` (one line for each picture, in the order given), ``maps/`` (16 bits),
    ``heat/`` (for people) and ``report.html`` (the worst first). A picture that the model does not
    take is sent to review with the code of what is wrong: nothing is accepted unseen.

    Args:
        model: the inspector.
        paths: of pictures.
        out: folder that is written to.
        root: names of pictures are below it.
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
            shown.append(_Shown(name=name, line=line, png=_thumbnail(heat)))
            if len(shown) > 2 * _SHOWN_PICTURES:
                shown = _worst(shown)
        told(done, len(paths))
    summary = {
        "model": model.artefact.digest,
        "pictures": len(paths),
        **{f"{name}ed": counted[name] for name in ("accept", "review", "reject")},
        "out": str(out),
    }
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "decisions.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        text = page("Inspection", _body(model, summary, _worst(shown)))
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
    heat = heat_picture(picture, found.heat, found.boxes)
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


def _body(model: InspectorModel, summary: dict[str, Any], worst: Sequence[_Shown]) -> str:
    threshold = model.artefact.card["threshold"]
    cards = "".join(
        f'<div class="card"><b>{summary[name]}</b>{name}</div>'
        for name in ("pictures", "accepted", "reviewed", "rejected")
    )
    rows = "".join(_row(one) for one in worst)
    said = (
        f"Rejected from a score of {threshold['reject_from']:.2f}, looked at by a person from "
        f"{threshold['review_from']:.2f}. At most {threshold['false_reject_rate_bound']:.1%} of "
        f"good parts are rejected ({threshold['confidence']:.0%} confidence, "
        f"{threshold['held_back_parts']} parts held back)."
    )
    return (
        f'<h1>Inspection</h1><p class="soft">Model {model.artefact.digest[:16]}. {said}</p>'
        f'<div class="cards">{cards}</div><h2>The most unusual first</h2>'
        "<table><tr><th>picture</th><th>heat</th><th>disposition</th><th>score</th>"
        f"<th>deviations from good parts</th></tr>{rows}</table>"
    )


def _row(one: _Shown) -> str:
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
        f'<td class="n">{line["score"]:.2f}</td><td>{reasons}</td></tr>'
    )
