"""The review view: one part after the other, accepted, rejected or painted from the keyboard."""

from __future__ import annotations

import base64
import binascii
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from sightline.console.overview import hidden_fields
from sightline.errors import UsageError
from sightline.evidence.part_pixels import PartPixels
from sightline.evidence.parts_account import KnownPart, known_parts
from sightline.evidence.review_queue import AUDITED, MissBound, Queued, miss_bound, review_queue
from sightline.evidence.reviewed_set import mask_facts, store_mask
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.decision import Reason
from sightline.records.part import PartNote, PartPicture
from sightline.records.shown_text import markup
from sightline.runtime.alerting.controls import takes_controls
from sightline.runtime.reviewing import ReviewTaker
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.stages.parts import REVIEW, review_of

_READ_AGAIN_S = 5.0
"""A live run is read again so often, at most."""
_MOST_MASK_BYTES = 1 << 20
_WORDS = {
    "review": "the line could not decide",
    "near": "its score lies near the threshold",
    "disagreement": "its two opinions disagree",
    "novelty": "it is unlike good parts as few are",
    "audit": "random audit of accepted parts",
}
REVIEW_STYLE = """
.review { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)) }
.review figure { margin: 0; background: var(--card); border: 2px solid var(--line);
  border-radius: 10px; padding: 10px } .review figure[aria-current=true] {
  border-color: var(--link) } .shown { position: relative } .shown img { width: 100%;
  image-rendering: pixelated } .shown canvas { position: absolute; inset: 0; width: 100%;
  height: 100%; image-rendering: pixelated; opacity: 0.55; touch-action: none }
.paints canvas { cursor: crosshair } figcaption { font-size: 13px; margin-top: 6px }
.keys { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0; align-items: end }
.keys button { padding: 8px 14px } kbd { border: 1px solid var(--soft); border-radius: 4px;
  padding: 0 5px; font-size: 12px } .keys label { margin: 0 }
"""
REVIEW_SCRIPT = """
const form = document.getElementById("verdict");
if (form) {
  const figures = [...document.querySelectorAll(".review figure")];
  const paint = document.getElementById("paint");
  let paints = false, last = null, painted = false;
  const chosen = () => figures.find(f => f.getAttribute("aria-current") === "true");
  const choose = figure => {
    figures.forEach(f => f.setAttribute("aria-current", String(f === figure)));
    form.elements.station.value = figure.dataset.station;
  };
  const switchPaint = () => {
    paints = !paints;
    paint.setAttribute("aria-pressed", String(paints));
    document.body.classList.toggle("paints", paints);
  };
  const clear = () => {
    painted = false;
    figures.forEach(f => { const c = f.querySelector("canvas");
      if (c) c.getContext("2d").clearRect(0, 0, c.width, c.height); });
  };
  const stroke = (canvas, event) => {
    const box = canvas.getBoundingClientRect(), pen = canvas.getContext("2d");
    const x = (event.clientX - box.left) / box.width * canvas.width;
    const y = (event.clientY - box.top) / box.height * canvas.height;
    const from = last || [x, y];
    pen.strokeStyle = "#ff2020"; pen.lineCap = "round";
    pen.lineWidth = Math.max(2, canvas.width / 40);
    pen.beginPath(); pen.moveTo(...from); pen.lineTo(x + 0.01, y + 0.01); pen.stroke();
    last = [x, y]; painted = true;
  };
  figures.forEach(figure => {
    figure.addEventListener("pointerdown", () => choose(figure));
    const canvas = figure.querySelector("canvas"), image = figure.querySelector("img");
    if (!canvas) return;
    const fit = () => { canvas.width = image.naturalWidth; canvas.height = image.naturalHeight; };
    if (image.complete) fit(); else image.addEventListener("load", fit);
    canvas.addEventListener("pointerdown", event => {
      if (!paints) return;
      if (painted && chosen() !== figure) clear();
      choose(figure); canvas.setPointerCapture(event.pointerId); last = null;
      stroke(canvas, event);
    });
    canvas.addEventListener("pointermove", event => {
      if (paints && event.buttons) stroke(canvas, event);
    });
    canvas.addEventListener("pointerup", () => { last = null; });
  });
  const send = verdict => {
    form.elements.verdict.value = verdict;
    const canvas = painted && verdict === "defect" && chosen().querySelector("canvas");
    form.elements.mask.value = canvas ? canvas.toDataURL("image/png") : "";
    form.submit();
  };
  document.getElementById("accept").onclick = event => { event.preventDefault(); send("good"); };
  document.getElementById("reject").onclick = event => { event.preventDefault(); send("defect"); };
  paint.onclick = event => { event.preventDefault(); switchPaint(); };
  document.getElementById("clear").onclick = event => { event.preventDefault(); clear(); };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName)) return;
    const key = event.key.toLowerCase(), number = Number(key);
    if (key === "a") send("good");
    else if (key === "r") send("defect");
    else if (key === "p") switchPaint();
    else if (key === "c") clear();
    else if (key === "s") document.getElementById("skip").click();
    else if (number >= 1 && number <= figures.length) choose(figures[number - 1]);
    else return;
    event.preventDefault();
  });
}
"""


class ReviewView:
    """The queue of one run, its pictures, and what is said of them. Safe for several threads.

    Args:
        open_run: opens the run directory.
        wall_ns: the time now, UTC ns.
        limits: bounds.

    Raises:
        LogError: the log is damaged.
    """

    def __init__(
        self,
        open_run: Callable[[], RunDirectory],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._run = open_run()
        self._wall_ns = wall_ns
        self._limits = limits
        self._taker = ReviewTaker(open_run, limits=limits)
        self._pixels = PartPixels(self._run, limits=limits)
        self._lock = threading.RLock()
        self._read_s = -math.inf
        self._notes: list[PartNote] = []
        self._given: list[PartNote] = []

    def close(self) -> None:
        """Close the run, if a review has opened it."""
        self._taker.close()

    def _parts(self) -> list[KnownPart]:
        """Parts with all reviews, those that a live run has yet to take among them."""
        is_live = takes_controls(self._run.path)
        now_s = time.monotonic()
        if self._read_s == -math.inf or (is_live and now_s - self._read_s >= _READ_AGAIN_S):
            self._notes = self._run.parts(limits=self._limits)
            self._pixels.read_on()
            self._read_s = now_s
        return known_parts([*self._notes, *self._given])

    def body(self, *, form_key: str, operator: str, who: str, after: str = "") -> str:
        """The page's body: the first part of the queue, or the first after ``after``.

        Args:
            form_key: that forms are sent with.
            operator: name of whoever looks; "": not said yet.
            who: the form in which they say it.
            after: id of a part that was skipped.
        """
        with self._lock:
            parts = self._parts()
            queue = review_queue(parts, self._run.run_id)
            bound = miss_bound(parts, self._run.run_id)
            ids = [one.part.record.part_id for one in queue]
            at = ids.index(after) + 1 if after in ids else 0
            said = (
                f"{len(queue)} parts wait, {sum(bool(p.reviews) for p in parts)} were reviewed. "
                f"{_audit_words(bound)}"
            )
            head = (
                f'<nav><a href="/">Back to the run</a></nav><h1>Review</h1>'
                f'<p class="soft" role="status">{markup(said)}</p>'
            )
            if not queue:
                return f"{head}<p>Nothing waits.</p>"
            one = queue[at % len(queue)]
            return head + (who if not operator else "") + self._item(one, form_key=form_key)

    def _item(self, one: Queued, *, form_key: str) -> str:
        record = one.part.record
        figures = []
        for number, picture in enumerate(record.pictures, start=1):
            is_chosen = picture.station == one.station
            figures.append(self._figure(record.part_id, number, picture, is_chosen=is_chosen))
        reasons = "; ".join(map(_reason_words, record.reasons))
        process = ", ".join(f"{v.name} {v.value:.4g} {v.unit}" for v in record.process)
        skip = f"/review?after={quote(record.part_id, safe='')}"
        hidden = hidden_fields(
            REVIEW, {"part_id": record.part_id, "station": one.station}, form_key
        )
        return (
            f"<h2>{markup(record.serial or record.part_id)}</h2>"
            f"<p>Here because {markup(_WORDS[one.reason])}. The line said "
            f"<b>{markup(str(record.disposition))}</b>: {markup(reasons)}"
            f"{'. ' + markup(process) if process else ''}.</p>"
            f'<div class="review">{"".join(figures) or "<p>No picture.</p>"}</div>'
            f'<form id="verdict" method="post" action="/review">{hidden}'
            '<input type="hidden" name="verdict" value="">'
            '<input type="hidden" name="mask" value="">'
            '<div class="keys">'
            '<button id="accept" type="button">Good <kbd>A</kbd></button>'
            '<button id="reject" type="button">Defect <kbd>R</kbd></button>'
            '<button id="paint" type="button" aria-pressed="false">Paint <kbd>P</kbd></button>'
            '<button id="clear" type="button">Clear <kbd>C</kbd></button>'
            f'<a id="skip" href="{skip}">Skip <kbd>S</kbd></a>'
            '<div><label for="kind">Kind of defect</label>'
            '<input id="kind" name="kind" maxlength="80" autocomplete="off"></div></div></form>'
            '<p class="soft">Keys 1, 2, 3 choose a picture; paint with the pointer.</p>'
        )

    def _figure(self, part_id: str, number: int, picture: PartPicture, *, is_chosen: bool) -> str:
        place = f"/part/{quote(part_id, safe='')}/{quote(picture.station, safe='')}"
        seen = (
            f"score {picture.score:.2f}, rejected from {picture.reject_from:.2f}"
            if not picture.code
            else picture.code
        )
        image = (
            f'<div class="shown"><img src="{place}" alt="Picture {number}, '
            f'{markup(picture.station)}"><canvas></canvas></div>'
        )
        if self._pixels.pixels(picture) is None:
            image = "<p>The log does not have this picture.</p>"
        return (
            f'<figure data-station="{markup(picture.station)}" '
            f'aria-current="{str(is_chosen).lower()}">{image}'
            f"<figcaption><kbd>{number}</kbd> {markup(picture.station)}: {markup(seen)}"
            "</figcaption></figure>"
        )

    def picture(self, part_id: str, station: str) -> bytes | None:
        """A picture of a part as PNG; None of one that there is not."""
        with self._lock:
            for part in self._parts():
                if part.record.part_id != part_id:
                    continue
                for one in part.record.pictures:
                    if one.station == station and (pixels := self._pixels.pixels(one)) is not None:
                        return bytes(cv2.imencode(".png", pixels)[1].tobytes())
        return None

    def give(self, form: Mapping[str, str]) -> None:
        """Take a verdict.

        Raises:
            UsageError: it says nothing of a part of this run, or nobody says it.
            LogError, StorageError: the log or the disk failed.
        """
        with self._lock:
            control = self._control(form)
            self._taker.give(control)
            self._given.append(review_of(control))

    def _control(self, form: Mapping[str, str]) -> dict[str, Any]:
        part = next((p for p in self._parts() if p.record.part_id == form.get("part_id")), None)
        verdict, reviewer = form.get("verdict", ""), form.get("operator", "").strip()
        if part is None or verdict not in ("good", "defect"):
            raise _wrong("part_id, verdict", "a part of this run, good or defect")
        if not reviewer:
            raise _wrong("operator", "your name, at the top of the page")
        control: dict[str, Any] = {
            "control": REVIEW,
            "part_id": part.record.part_id,
            "verdict": verdict,
            "kind": form.get("kind", "").strip() if verdict == "defect" else "",
            "station": form.get("station", "") if verdict == "defect" else "",
            "reviewer": reviewer,
            "given_ns": self._wall_ns(),
        }
        if verdict == "defect" and form.get("mask"):
            mask = self._mask(form["mask"], part, control["station"])
            control |= {"mask_sha256": store_mask(self._run, mask), **mask_facts(mask)}
        return control

    def _mask(self, text: str, part: KnownPart, station: str) -> Any:
        """uint8[height, width], 255 where the defect was painted."""
        picture = next((p for p in part.record.pictures if p.station == station), None)
        pixels = None if picture is None else self._pixels.pixels(picture)
        try:
            data = base64.b64decode(text.removeprefix("data:image/png;base64,"), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        drawn = None
        if 0 < len(data) <= _MOST_MASK_BYTES and data.startswith(b"\x89PNG"):
            width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
            if pixels is not None and (height, width) == pixels.shape[:2]:
                drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if drawn is None or drawn.ndim != 3 or drawn.shape[2] != 4:
            raise _wrong("mask", "what was painted, a PNG of the size of the picture")
        return np.where(drawn[:, :, 3] > 127, 255, 0).astype(np.uint8)


def _reason_words(reason: Reason) -> str:
    """A reason with its value, and its threshold where it has one."""
    limit = "" if math.isnan(reason.threshold) else f" (threshold {reason.threshold:.4g})"
    return f"{reason.code} {reason.measure} {reason.value:.4g}{limit}"


def _audit_words(bound: MissBound) -> str:
    """What the random audit says of the accepted parts so far."""
    sample = min(AUDITED, bound.accepted)
    if not bound.audited:
        return f"Audit of accepted parts: none of {sample} answered, so nothing is known of misses."
    return (
        f"Audit of accepted parts: {bound.audited} of {sample} answered, {bound.defects} with a "
        f"defect; with 95 % confidence at most {100 * bound.rate_bound:.1f} % of the "
        f"{bound.accepted} accepted parts ({bound.missed_bound}) have one."
    )


def _wrong(field: str, expected: str) -> UsageError:
    return UsageError(
        expected=expected,
        got="something else",
        where=f"field {field!r} of the form",
        action="go back and mend it",
    )
