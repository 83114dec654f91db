"""Guarded stages: requests, outcomes, and the circuit breaker, as pure values.

The core decides *whether* to ask; the shell asks, with a deadline; the outcome comes back as a
log entry. So a late answer, a crash and an open breaker all replay exactly. What is asked and
answered crosses to logs and processes as a JSON line and raw numbers; nothing is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError
from sightline.records import Detections, Entry
from sightline.records.decision import Mode
from sightline.records.detections import Doubt, DoubtCode
from sightline.records.plain_json import plain_fields, plain_json
from sightline.records.readings import Arrays, Readings
from sightline.runtime.settings import Breaker

Answer = Arrays | Detections | Readings
"""What a guarded stage can be answered: arrays about windows, or what was seen in a frame."""
_DETECTION_BYTES = 44  # four float64 of a box, a float64 score, an int32 class
_DTYPES = frozenset(["|b1", "|u1", "<i4", "<i8", "<f4", "<f8"])
_NO_ARRAYS: Arrays = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArraysRequest:
    """Ask a series stage about windows.

    Attributes:
        request_id: ``epoch:stage``, unique in the partition.
        stage: the guarded stage.
        asked: what the stage needs for its answer.
    """

    request_id: str
    stage: str
    asked: Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRequest:
    """Ask an item stage to look at one frame.

    Attributes:
        request_id: ``stage:camera:index``.
        stage: the guarded stage.
        camera: whose frame.
        ask_primary: False while the circuit breaker is open: only the fallback is asked.
        empty_ns: see ``Frame``.
    """

    request_id: str
    stage: str
    camera: str
    ask_primary: bool
    empty_ns: int = -1


Request = ArraysRequest | FrameRequest


class OutcomeStatus(StrEnum):
    """What became of asking."""

    OK = "ok"
    TIMEOUT = "timeout"
    CRASH = "crash"
    NAN = "nan"
    """An answer of the wrong shape, infinite, or NaN where there was evidence."""
    SKIPPED = "skipped"
    """It was not asked, because its circuit breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What came of a request.

    Attributes:
        request_id, stage: of the request.
        status: of the answerer that was asked first.
        mode: who answered: that one, or a fallback outside the core.
        answer: None when nobody answered in time.
        detail: what went wrong, for people.
        batch: request ids that shared a batch with this one, itself included.
        empty_ns: of the request about a frame, so that it can be asked again; see ``Frame``.
    """

    request_id: str
    stage: str
    status: OutcomeStatus
    answer: Answer | None
    mode: Mode = Mode.PRIMARY
    detail: str = ""
    batch: tuple[str, ...] = field(default=())
    empty_ns: int = -1

    @property
    def is_ok(self) -> bool:
        """Whether the first one answered, in time and usably."""
        return self.status is OutcomeStatus.OK

    @property
    def arrays(self) -> Arrays:
        """The answer about windows; none where nobody answered."""
        return self.answer if isinstance(self.answer, Mapping) else _NO_ARRAYS

    def to_bytes(self) -> bytes:
        """A JSON line, then raw numbers, little-endian."""
        plain, body = (None, b"") if self.answer is None else encode_answer(self.answer)
        head: dict[str, Any] = {
            "request": self.request_id,
            "stage": self.stage,
            "status": str(self.status),
            "mode": str(self.mode),
            "detail": self.detail,
            "batch": list(self.batch),
            "answer": plain,
            **({"empty_ns": self.empty_ns} if self.empty_ns >= 0 else {}),
        }
        return plain_json(head) + b"\n" + body

    @classmethod
    def from_bytes(cls, payload: bytes) -> Outcome:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is not an outcome.
        """
        line, _, body = payload.partition(b"\n")
        try:
            head: dict[str, Any] = json.loads(line)
            answer = None if head["answer"] is None else decode_answer(head["answer"], body)
            return cls(
                request_id=str(head["request"]),
                stage=str(head["stage"]),
                status=OutcomeStatus(head["status"]),
                mode=Mode(head["mode"]),
                answer=answer,
                detail=str(head["detail"]),
                batch=tuple(head["batch"]),
                empty_ns=int(head.get("empty_ns", -1)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LogError(
                expected="the outcome of a guarded stage",
                got=f"{len(payload)} bytes that cannot be read ({error})",
                where="log entry of kind outcome",
                action="run `sightline verify` on the run",
            ) from error

    @classmethod
    def of(cls, entry: Entry) -> Outcome:
        """The outcome that an entry holds: as it was given, or read from the payload.

        Whoever answered may go on writing into arrays that it gave away, so they are copied.

        Raises:
            LogError: if the payload is no outcome.
        """
        given = entry.decoded
        if not isinstance(given, cls):
            return cls.from_bytes(entry.payload)
        return replace(given, answer=_copied(given.answer))


def _copied(answer: Answer | None) -> Answer | None:
    if isinstance(answer, Detections):
        return replace(
            answer,
            box_px=np.array(answer.box_px, np.float64, order="C"),
            score=np.array(answer.score, np.float64, order="C"),
            class_id=np.array(answer.class_id, np.int32, order="C"),
        )
    if isinstance(answer, Mapping):
        return {name: np.array(array, order="C") for name, array in answer.items()}
    return answer


# --- codec ----------------------------------------------------------------------------------------


def encode_answer(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """A JSON-ready head, and the numbers behind it.

    >>> plain, body = encode_answer({"scores": np.array([1.0, np.nan])})
    >>> decode_answer(plain, body)["scores"].tolist()
    [1.0, nan]
    """
    if isinstance(answer, Detections):
        head: dict[str, Any] = {
            "kind": "detections",
            "stream": answer.stream,
            "capture_ns": answer.capture_ns,
            "count": len(answer),
            "class_names": list(answer.class_names),
            **({"left_aside": dict(answer.left_aside)} if answer.left_aside else {}),
        }
        if answer.doubt is not None:
            head["doubt"] = [str(answer.doubt.code), answer.doubt.since_ns]
        if answer.advice:
            head["advice"] = answer.advice
        return head, (
            np.asarray(answer.box_px, "<f8").tobytes()
            + np.asarray(answer.score, "<f8").tobytes()
            + np.asarray(answer.class_id, "<i4").tobytes()
        )
    if isinstance(answer, Readings):
        values = {n: float(v) if math.isfinite(v) else None for n, v in answer.values.items()}
        head = {"kind": "readings", "stream": answer.stream, "capture_ns": answer.capture_ns}
        return {**head, "values": values}, b""
    heads: list[list[Any]] = []
    bodies: list[bytes] = []
    for name, array in answer.items():
        plain = np.ascontiguousarray(array)
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        heads.append([name, plain.dtype.str, list(array.shape)])
        bodies.append(plain.tobytes())
    return {"kind": "arrays", "arrays": heads}, b"".join(bodies)


def decode_answer(head: Mapping[str, Any], body: bytes) -> Answer:
    """Inverse of :func:`encode_answer`.

    Raises:
        ValueError, KeyError, TypeError: it is no answer.
    """
    found, used = decode_part(head, body, 0)
    if used != len(body):
        raise ValueError(f"{len(body) - used} bytes too many")
    return found


def decode_part(head: Mapping[str, Any], body: bytes, at: int) -> tuple[Answer, int]:
    """One answer among several, from byte ``at`` of ``body``; and where the next begins."""
    match head["kind"]:
        case "detections":
            n = int(head["count"])
            end = at + n * _DETECTION_BYTES
            if n < 0 or end > len(body):
                raise ValueError(f"{len(body) - at} bytes for {n} detections")
            return (
                Detections(
                    stream=str(head["stream"]),
                    capture_ns=int(head["capture_ns"]),
                    box_px=np.frombuffer(body, "<f8", 4 * n, at).astype(np.float64).reshape(n, 4),
                    score=np.frombuffer(body, "<f8", n, at + 32 * n).astype(np.float64),
                    class_id=np.frombuffer(body, "<i4", n, at + 40 * n).astype(np.int32),
                    class_names=tuple(head["class_names"]),
                    left_aside={str(k): int(v) for k, v in head.get("left_aside", {}).items()},
                    doubt=_doubt(head.get("doubt")),
                    advice=str(head.get("advice", "")),
                ),
                end,
            )
        case "readings":
            values = {str(n): math.nan if v is None else float(v) for n, v in
                      head["values"].items()}  # fmt: skip
            stream, capture_ns = str(head["stream"]), int(head["capture_ns"])
            return Readings(stream=stream, capture_ns=capture_ns, values=values), at
        case "arrays":
            arrays: dict[str, npt.NDArray[Any]] = {}
            for name, dtype, shape in head["arrays"]:
                if dtype not in _DTYPES:
                    raise ValueError(f"no dtype {dtype!r}")
                count = math.prod(int(length) for length in shape)
                size = count * np.dtype(dtype).itemsize
                if count < 0 or at + size > len(body):
                    raise ValueError(f"{len(body) - at} bytes for {shape} of {dtype}")
                found = np.frombuffer(body, dtype, count, at).reshape(shape)
                arrays[str(name)] = found.astype(found.dtype.newbyteorder("="))
                at += size
            return arrays, at
        case other:
            raise ValueError(f"no answer of kind {other!r}")


def _doubt(plain: Any) -> Doubt | None:
    if plain is None:
        return None
    code, since_ns = plain
    return Doubt(code=DoubtCode(code), since_ns=int(since_ns))


# --- circuit breaker ------------------------------------------------------------------------------


class BreakerPhase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """Circuit breaker: a pure value; every method returns the next one.

    >>> rule = Breaker(open_after=1, retry_after_ticks=2, close_after=1)
    >>> s = BreakerState().after(False, rule)
    >>> s.phase.value, s.ticked(rule).ticked(rule).phase.value
    ('open', 'half_open')
    """

    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    successes: int = 0
    waited_ticks: int = 0

    @property
    def lets_through(self) -> bool:
        return self.phase is not BreakerPhase.OPEN

    def after(self, ok: bool, rule: Breaker) -> BreakerState:
        """State after an outcome."""
        if ok:
            if self.phase is BreakerPhase.HALF_OPEN:
                successes = self.successes + 1
                if successes < rule.close_after:
                    return replace(self, successes=successes)
            return BreakerState()
        failures = self.failures + 1
        if self.phase is BreakerPhase.HALF_OPEN or failures >= rule.open_after:
            return BreakerState(phase=BreakerPhase.OPEN, failures=failures)
        return replace(self, failures=failures)

    def ticked(self, rule: Breaker) -> BreakerState:
        """State after a tick."""
        if self.phase is not BreakerPhase.OPEN:
            return self
        waited = self.waited_ticks + 1
        if waited >= rule.retry_after_ticks:
            return BreakerState(phase=BreakerPhase.HALF_OPEN, failures=self.failures)
        return replace(self, waited_ticks=waited)

    def as_mapping(self) -> dict[str, Any]:
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: dict[str, Any]) -> BreakerState:
        return cls(**{**plain, "phase": BreakerPhase(plain["phase"])})
