"""MOTChallenge text files: detections and truth in, tracks in and out.

One line per box: ``frame, id, left, top, width, height, score, …``, without a heading. Frames
count from 1; boxes are in pixels. What the columns behind the score hold differs: 8 or 9 columns
(MOT16, MOT17, MOT20) have a class there, 10 columns (MOT15) a position in metres or -1. In truth
the seventh column says whether the box is to be considered (0: not). Blanks around a field,
blank lines, a final comma and gzip are accepted, and a line without a score has the score 1.

What becomes of bad input, by kind of file. *Refused* rows are counted and reported, with reason
and row number (0-based, blank lines left out), and the rows around them are used; an error is a
:class:`.SourceError` that names the row. Truth and tracks are strict: a score computed from part
of a file would look like a score.

=========================================  ==================  ===========  =================
case                                       detections          truth        tracks to score
=========================================  ==================  ===========  =================
fewer than 6 columns                       LINE_UNREADABLE     error        error
text for a number, fraction in frame, id   SCHEMA              error        error
NaN, ±inf                                  NOT_FINITE          error        error
frame below 1 or above ``MAX_FRAME``       RANGE               error        error
a corner beyond ``MAX_COORDINATE_PX``      RANGE               error        error
width or height not above 0                RANGE               error        a false positive
score outside 0 to 1                       RANGE [1]_          means "yes"  accepted
negative id                                accepted (no id)    error        left out (no id)
same id twice in a frame                   accepted            error        error
class that is no integer                   accepted            error        accepted
frames out of order                        sorted [2]_         sorted       sorted
line too long, not UTF-8                   LINE_TOO_LONG, …    error        error
file empty                                 FILE_EMPTY          no truth     no tracks
file damaged or larger than the limit      FILE_UNREADABLE, …  error        error
file missing                               error               error        error
=========================================  ==================  ===========  =================

.. [1] Unless scores are not used: then all are 1.
.. [2] By frame, rows of one frame in the order of the file. The truth of MOT16 and later is sorted
   by id, so order carries nothing; rows of detections behind a later frame are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.detections import BoolArray, Detections
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, QUARANTINE_SCHEMA, ROW
from sightline.records.tracks import Tracks
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.field_values import parse_times
from sightline.sense.refused_rows import no_rejections, rejected
from sightline.sense.source import error_words
from sightline.sense.text_files import line_blocks, open_bytes

MAX_FRAME = 10_000_000
"""Frames in one file; four days at 30 per second. A higher number is refused as RANGE."""
MAX_COORDINATE_PX = 1_000_000.0
"""A box corner's distance from the origin. Beyond it, areas lose the precision of a pixel."""

CLASS_LAYOUTS = (8, 9)
"""Numbers of columns that have a class in the eighth."""
BOX = ("left", "top", "width", "height")

_FIELDS = ("frame", "id", *BOX, "score", "class")
_NEEDED = 6


def read_lines(path: Path, limits: Limits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good lines (row, line), and refused lines in QUARANTINE_SCHEMA."""
    try:
        stream = open_bytes(path)
    except OSError as error:
        raise SourceError(
            expected="a readable file",
            got=error_words(error),
            where=str(path),
            action="check the path",
        ) from error
    parts: list[pl.DataFrame] = []
    refused = [no_rejections()]
    read_bytes = 0

    def refuse(row: int, reason: RefusalReason, detail: str, raw: str = "") -> None:
        line = {"rows": [row], "reason": reason, "detail": detail, "raw": [raw]}
        refused.append(rejected(origin=path.name, limits=limits, **line))  # type: ignore[arg-type]

    with stream:
        for block in line_blocks(stream, limits=limits):
            for bad in block.bad:
                refuse(bad.row, bad.reason, bad.detail, bad.text)
            if block.damage is not None:
                refuse(-1, RefusalReason.FILE_UNREADABLE, block.damage)
            read_bytes += len(block.data)
            if read_bytes > limits.max_file_bytes_in_memory:
                most = f"expected at most {limits.max_file_bytes_in_memory} bytes, got more"
                refuse(-1, RefusalReason.FILE_TOO_LARGE, most)
                break
            parts.append(pl.DataFrame({"row": block.row, "line": block.lines()}))
    lines = pl.concat(
        [pl.DataFrame(schema={"row": pl.Int64, "line": pl.String}), *(p for p in parts if len(p))]
    ).filter(pl.col("line").str.strip_chars() != "")
    if not lines.height and len(refused) == 1:
        refuse(-1, RefusalReason.FILE_EMPTY, "expected rows, got none")
    return lines, pl.concat(refused)


def read_rows(path: Path, limits: Limits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with a Float64 column per field (null: no number), and what could not be split."""
    lines, refused = read_lines(path, limits)
    split = lines.with_columns(fields=_fields()).with_columns(columns=pl.col("fields").list.len())
    texts = {
        name: pl.col("fields").list.get(i, null_on_oob=True).str.strip_chars()
        for i, name in enumerate(_FIELDS)
    }
    numbers = {name: text.cast(pl.Float64, strict=False) for name, text in texts.items()}
    numbers["score"] = (
        pl.when(pl.col("columns") <= _FIELDS.index("score")).then(1.0).otherwise(numbers["score"])
    )
    return split.select("row", "line", "columns", **numbers), refused


def _fields() -> pl.Expr:
    # A comma at the end closes the last column; one at the start opens an empty first.
    return pl.col("line").str.strip_chars_end(" \t,").str.split(",")


@dataclass(frozen=True, slots=True)
class Check:
    """Rows for which ``fails`` holds are refused."""

    reason: RefusalReason
    field: str
    fails: pl.Expr
    expected: str

    def verdict(self) -> pl.Expr:
        got = pl.col("columns").cast(pl.String) + " columns" if not self.field else self._got()
        return pl.when(self.fails).then(
            pl.struct(
                pl.lit(self.reason.value).alias("reason"),
                pl.lit(self.field).alias("field"),
                pl.lit(self.expected).alias("expected"),
                got.alias("got"),
            )
        )

    def _got(self) -> pl.Expr:
        return _fields().list.get(_FIELDS.index(self.field), null_on_oob=True).str.strip_chars()


def _number(name: str) -> tuple[Check, Check]:
    """A field is a number, finite, and whole where it counts something."""
    value = pl.col(name)
    is_whole = name in ("frame", "id")
    has_fraction = value.is_finite() & (value != value.round()) if is_whole else pl.lit(False)
    whole = "a whole number" if is_whole else "a number"
    return (
        Check(RefusalReason.SCHEMA, name, value.is_null() | has_fraction, whole),
        Check(RefusalReason.NOT_FINITE, name, ~value.is_finite(), "a finite number"),
    )


def _range(name: str, low: float, high: float) -> Check:
    fails = ~pl.col(name).is_between(low, high)
    return Check(RefusalReason.RANGE, name, fails, f"{low:.0f} to {high:.0f}")


def _area(corner: str, size: str) -> Check:
    # The corner is what is kept: a width that vanishes in rounding is none.
    fails = pl.col(corner) + pl.col(size) <= pl.col(corner)
    return Check(RefusalReason.RANGE, size, fails, "above 0")


BASIC_CHECKS = (
    Check(
        RefusalReason.LINE_UNREADABLE,
        "",
        pl.col("columns") < _NEEDED,
        f"at least {_NEEDED} columns: {', '.join(_FIELDS[:_NEEDED])}",
    ),
    *(check for name in _FIELDS[:-1] for check in _number(name)),
    _range("frame", 1.0, MAX_FRAME),
    _range("id", -(2.0**53), 2.0**53),
    *(_range(name, -MAX_COORDINATE_PX, MAX_COORDINATE_PX) for name in BOX),
)
"""Columns, numbers, and the range of each number."""
SIZE_CHECKS = (_area("left", "width"), _area("top", "height"))
"""Boxes have an area."""
SCORE_CHECK = Check(
    RefusalReason.RANGE,
    "score",
    ~pl.col("score").is_between(0, 1),
    "0 to 1 (scores of another kind can be left unused)",
)
"""Scores are probabilities."""
ID_CHECK = Check(RefusalReason.RANGE, "id", pl.col("id") < 0, "0 or above")
"""Rows have an identity."""
_IS_CLASS = (
    pl.col("class").is_finite()
    & (pl.col("class") == pl.col("class").round())
    & (pl.col("class").abs() < 2.0**31)
)
CLASS_CHECK = Check(
    RefusalReason.SCHEMA,
    "class",
    pl.col("columns").is_in(CLASS_LAYOUTS) & ~_IS_CLASS.fill_null(False),
    "a whole number",
)
"""A class stands where the layout has one."""


def checked(
    frame: pl.DataFrame, checks: Sequence[Check], origin: str, limits: Limits
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that pass, and those that fail with the first check they fail."""
    told = frame.with_columns(why=pl.coalesce(*(check.verdict() for check in checks)))
    good = told.filter(pl.col("why").is_null()).drop("why")
    bad = told.filter(pl.col("why").is_not_null()).unnest("why")
    if not bad.height:
        return good, no_rejections()
    parts = bad.select(
        pl.lit(origin).alias(ORIGIN),
        pl.col("row").alias(ROW),
        "reason",
        "field",
        ("expected " + pl.col("expected") + ", got " + pl.col("got").fill_null("nothing")).alias(
            "detail"
        ),
        pl.col("line").str.head(limits.max_raw_chars).alias("raw"),
    )
    return good, parts.cast(dict(QUARANTINE_SCHEMA))  # type: ignore[arg-type]


def row_error(path: Path, problems: pl.DataFrame) -> SourceError:
    """An error for the first of some refused rows (QUARANTINE_SCHEMA)."""
    first = problems.row(0, named=True)
    expected, _, got = first["detail"].removeprefix("expected ").partition(", got ")
    where = f"{path}, row {first[ROW]}" if first[ROW] >= 0 else str(path)
    more = f" ({problems.height} problems in all)" if problems.height > 1 else ""
    return SourceError(
        expected=f"{first['field']} {expected}".strip() if got else "a readable file",
        got=got or expected,
        where=where,
        action=f"mend the file, {first['reason']}{more}",
    )


_BOX_DECIMALS, _SCORE_DECIMALS = 3, 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotTable:
    """The boxes of one file; n of them, ascending by frame.

    Attributes:
        frame: int64[n], from 1.
        track_id: int64[n]; below 0 where a box has no identity.
        box_px: float64[n, 4], left, top, right, bottom, as in ``Detections``.
        score: float64[n]; of truth, 0 means that the box is not to be considered.
        class_id: int64[n], the benchmark's class from 1; -1 where the file has none.
        has_classes: whether every row has a class column.
    """

    frame: IntArray
    track_id: IntArray
    box_px: FloatArray
    score: FloatArray
    class_id: IntArray
    has_classes: bool = False

    def __len__(self) -> int:
        return len(self.frame)

    def only(self, keep: BoolArray) -> MotTable:
        """The boxes for which ``keep`` (bool[n]) is true, in the same order."""
        return replace(
            self,
            frame=self.frame[keep],
            track_id=self.track_id[keep],
            box_px=self.box_px[keep],
            score=self.score[keep],
            class_id=self.class_id[keep],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotDetections:
    """Detections of one file, with an account of every row: ``rows = len(table) + refused``.

    Attributes:
        table: the accepted rows.
        refused: the others, in QUARANTINE_SCHEMA; row -1 is the file, or the rest of it.
        rows_out_of_order: accepted rows that stood behind a row of a later frame.
    """

    table: MotTable
    refused: pl.DataFrame
    rows_out_of_order: int

    @property
    def rows(self) -> int:
        """Rows read; a file that cannot be read counts as one."""
        return len(self.table) + self.refused.height

    @property
    def last_frame(self) -> int:
        """Number of the last frame that has a detection; 0 without any."""
        return int(self.table.frame[-1]) if len(self.table) else 0

    @property
    def frames(self) -> IntArray:
        """int64[f], the numbers of the frames that have detections, ascending."""
        return np.unique(self.table.frame)

    def by_frame(self, stream: str, capture_ns: IntArray) -> Iterator[Detections]:
        """One record for each frame that has detections, in their order.

        Args:
            stream: name of the camera.
            capture_ns: int64[f], capture time of each of :attr:`frames`, UTC ns.
        """
        begins = np.searchsorted(self.table.frame, self.frames)
        ends = np.append(begins, len(self.table))[1:]
        for time_ns, start, end in zip(
            capture_ns.tolist(), begins.tolist(), ends.tolist(), strict=True
        ):
            yield Detections.of(
                stream,
                time_ns,
                box_px=self.table.box_px[start:end],
                score=self.table.score[start:end],
            )


def read_detections(
    path: Path, *, uses_scores: bool = True, limits: Limits = DEFAULT_LIMITS
) -> MotDetections:
    """Read detections. Ids and classes in the file are not used.

    Args:
        path: the file; ``.gz`` too.
        uses_scores: take the seventh column as confidence. Files whose scores are no
            probabilities (such as those of MOT15 and of DPM in MOT16) need False.
        limits: ``max_file_bytes_in_memory``, ``max_line_bytes``, ``max_raw_chars``.

    Raises:
        SourceError: if there is no such file.
    """
    frame, refused = read_rows(path, limits)
    if not uses_scores:
        frame = frame.with_columns(score=pl.lit(1.0))
    checks = [*BASIC_CHECKS, *SIZE_CHECKS, SCORE_CHECK]
    good, bad = checked(frame, checks, path.name, limits)
    refused = pl.concat([refused, bad]).sort(ROW, maintain_order=True)
    frames = good["frame"].to_numpy()
    behind = int((frames < np.maximum.accumulate(frames)).sum()) if len(frames) else 0
    return MotDetections(table=_table(good), refused=refused, rows_out_of_order=behind)


def read_truth(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> MotTable:
    """Read ground truth; see :func:`read_detections` for the arguments.

    Raises:
        SourceError: naming the first bad row.
    """
    frame, refused = read_rows(path, limits)
    checks = [*BASIC_CHECKS, *SIZE_CHECKS, ID_CHECK, CLASS_CHECK]
    return _strict(frame, refused, checks, path, limits)


def read_tracks(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> MotTable:
    """Read a tracker's output in order to score it; see :func:`read_detections`.

    Rows without an identity (a negative id) are left out.

    Raises:
        SourceError: naming the first bad row.
    """
    frame, refused = read_rows(path, limits)
    return _strict(frame, refused, BASIC_CHECKS, path, limits)


def write_tracks(
    path: Path, tracks: Iterable[tuple[int, Tracks]], *, max_unseen_s: float | None = None
) -> int:
    """Write tracks in MOTChallenge form and return the number of rows.

    Boxes are written to 0.001 px. Columns 8 and 9 are the position on the ground in metres where
    a track has one, as in MOT15's 3D form, else -1; column 10 is -1.

    Args:
        path: the file, overwritten.
        tracks: frame number (from 1) and tracks of each frame.
        max_unseen_s: leave out the predicted boxes of tracks that were last seen longer ago;
            None writes every track that is reported, 0 only those seen in the frame.
    """
    most_s = np.inf if max_unseen_s is None else max_unseen_s
    parts = [
        (number, shown)
        for number, found in tracks
        if len(shown := found.only(found.unseen_s <= most_s))
    ]
    if not parts:
        path.write_bytes(b"")
        return 0
    box_px = np.concatenate([shown.box_px for _, shown in parts])
    ground_m = np.concatenate([shown.ground_m for _, shown in parts])
    sizes = [len(shown) for _, shown in parts]
    rows = pl.DataFrame(
        {
            "frame": np.repeat(np.array([number for number, _ in parts], np.int64), sizes),
            "id": np.concatenate([shown.track_id for _, shown in parts]),
            "left": box_px[:, 0],
            "top": box_px[:, 1],
            "width": box_px[:, 2] - box_px[:, 0],
            "height": box_px[:, 3] - box_px[:, 1],
            "score": np.concatenate([shown.score for _, shown in parts]),
            "x_m": ground_m[:, 0],
            "y_m": ground_m[:, 1],
        }
    )
    rows.select(
        "frame",
        "id",
        pl.col(*BOX).round(_BOX_DECIMALS),
        pl.col("score").round(_SCORE_DECIMALS),
        # Text, so that "nowhere" is the -1 of the format and not a place at -1.0.
        pl.col("x_m", "y_m").fill_nan(None).round(_BOX_DECIMALS).cast(pl.String).fill_null("-1"),
        z_m=pl.lit(-1),
    ).write_csv(path, include_header=False)
    return rows.height


def read_frame_times(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> IntArray:
    """Read capture times in seconds, one a line, the first for frame 1: int64[frames], ns.

    Raises:
        SourceError: for a line that is no time, or not after the line before it.
    """
    lines, refused = read_lines(path, limits)
    if refused.height:
        raise row_error(path, refused)
    ns = parse_times(lines["line"].str.strip_chars(), "unix_s").ns
    is_bad = ns.is_null() | (ns < 0) | (ns.diff() <= 0).fill_null(False)
    if lines.height > MAX_FRAME or is_bad.any():
        at = is_bad.arg_max() if is_bad.any() else MAX_FRAME
        assert at is not None
        raise SourceError(
            expected=f"at most {MAX_FRAME} times in seconds, from 0 on, each after the one before",
            got=repr(lines["line"][at][:80]),
            where=f"{path}, row {lines['row'][at]}",
            action="give one capture time per frame, one a line",
        )
    return ns.to_numpy().astype(np.int64)


def _strict(
    frame: pl.DataFrame, refused: pl.DataFrame, checks: Sequence[Check], path: Path, limits: Limits
) -> MotTable:
    good, bad = checked(frame, checks, path.name, limits)
    refused = refused.filter(pl.col("reason") != RefusalReason.FILE_EMPTY.value)
    problems = pl.concat([refused, bad]).sort(ROW, maintain_order=True)
    if problems.height:
        raise row_error(path, problems)
    named = good.filter(pl.col("id") >= 0)
    twice = named.filter(pl.struct("frame", "id").is_duplicated())
    if twice.height:
        first = twice.filter(pl.struct("frame", "id") == pl.struct("frame", "id").first())
        raise SourceError(
            expected="an id at most once in a frame",
            got=f"id {first['id'][0]:.0f} twice in frame {first['frame'][0]:.0f}",
            where=f"{path}, rows {first['row'][0]} and {first['row'][1]}",
            action="mend the file; every box of a frame needs an id of its own",
        )
    return _table(named)


def _table(rows: pl.DataFrame) -> MotTable:
    rows = rows.sort("frame", maintain_order=True)
    left, top, width, height = (rows[name].to_numpy() for name in BOX)
    has_class = rows["columns"].is_in(CLASS_LAYOUTS)
    class_id = rows["class"].fill_null(-1).fill_nan(-1).set(~has_class, -1).clip(-1, 2**31)
    return MotTable(
        frame=rows["frame"].to_numpy().astype(np.int64),
        track_id=rows["id"].to_numpy().astype(np.int64),
        box_px=np.stack([left, top, left + width, top + height], axis=1),
        score=rows["score"].to_numpy().astype(np.float64),
        class_id=class_id.to_numpy().astype(np.int64),
        has_classes=bool(rows.height) and bool(has_class.all()),
    )
