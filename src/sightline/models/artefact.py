"""A model on disk: a folder with a card, ONNX graphs and arrays; nothing in it can run code.

The card (``card.json``, canonical JSON) names each file with its SHA-256, the digest of the data it
was learnt from, the version of the code, figures with their intervals, the threshold and how it was
set, what pictures the model takes, and the licences of what is in it. The **digest** of a model is
the SHA-256 of its card, and so of everything. A card holds no time and no path: the same data, seed
and version give the same digest.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError, writing
from sightline.records.plain_json import canonical_json, read_json

CARD = "card.json"
FORMAT = 1
MAX_CARD_BYTES = 4 << 20
"""One card. A larger one is refused unread."""
MAX_FILE_BYTES = 1 << 30
"""One file of a model. A larger one is refused unread."""
MAX_ARRAY_BYTES = 2 << 30
"""Arrays of one file when unpacked. More is refused before anything is unpacked."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """Which pictures a model takes: as those that it was learnt from.

    Attributes:
        channels: 1 for grey, 3 for colour.
        bit_depth: of one channel.
        min_width_px, max_width_px, min_height_px, max_height_px: both ends included.

    >>> one = InputContract(channels=1, bit_depth=8, min_width_px=90, max_width_px=700,
    ...                     min_height_px=100, max_height_px=500)
    >>> one.breach(np.zeros((200, 300), np.uint8)) is None
    True
    >>> one.breach(np.zeros((200, 300, 3), np.uint8))
    ('WRONG_CHANNELS', '3 channels, expected 1')
    """

    channels: int
    bit_depth: int
    min_width_px: int
    max_width_px: int
    min_height_px: int
    max_height_px: int

    def breach(self, picture: npt.NDArray[Any]) -> tuple[str, str] | None:
        """Code and detail of what is wrong with a picture [height, width] or [height, width, 3].

        WRONG_BIT_DEPTH, WRONG_CHANNELS or WRONG_SIZE; None where nothing is.
        """
        bits = picture.dtype.itemsize * 8
        channels = 1 if picture.ndim == 2 else picture.shape[2]
        height_px, width_px = picture.shape[:2]
        if picture.dtype.kind != "u" or bits != self.bit_depth:
            return "WRONG_BIT_DEPTH", f"{picture.dtype}, expected uint{self.bit_depth}"
        if channels != self.channels:
            return "WRONG_CHANNELS", f"{channels} channels, expected {self.channels}"
        is_wide = self.min_width_px <= width_px <= self.max_width_px
        is_high = self.min_height_px <= height_px <= self.max_height_px
        if not (is_wide and is_high):
            return "WRONG_SIZE", (
                f"{width_px} x {height_px} px, expected {self.min_width_px} to {self.max_width_px}"
                f" x {self.min_height_px} to {self.max_height_px}"
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArtefact:
    """A model, whole and unchanged.

    Attributes:
        kind: what can use it, for example "inspection".
        digest: SHA-256 of the card in hex.
        card: all that is said about it, plain values.
        contract: which pictures it takes.
        graphs: ONNX models by name.
        arrays: what was learnt, by name.
    """

    kind: str
    digest: str
    card: Mapping[str, Any]
    contract: InputContract
    graphs: Mapping[str, bytes]
    arrays: Arrays


def save_artefact(
    folder: Path,
    *,
    kind: str,
    contract: InputContract,
    graphs: Mapping[str, bytes],
    arrays: Arrays,
    card: Mapping[str, Any],
) -> str:
    """Write a model, its card last; the digest of the model.

    Args:
        folder: made where it is missing.
        card: JSON values beside those that this function writes (format, kind, files, input).

    Raises:
        UsageError: something that is in the folder is no model's.
        StorageError: it cannot be written.
    """
    files = {f"{name}.onnx": graph for name, graph in graphs.items()}
    files["arrays.npz"] = pack_arrays(arrays)
    whole = canonical_json(
        {
            **card,
            "format": FORMAT,
            "kind": kind,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "input": asdict(contract),
        }
    )
    with writing(folder):
        if folder.exists() and any(folder.iterdir()) and not (folder / CARD).is_file():
            raise UsageError(
                expected="a new folder, an empty one, or one of a model",
                got="a folder with something else in it",
                where=str(folder),
                action="give another name",
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).unlink(missing_ok=True)  # half a model has no card
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / CARD).write_bytes(whole)
    return hashlib.sha256(whole).hexdigest()


def load_artefact(folder: Path, *, kind: str, digest: str | None = None) -> ModelArtefact:
    """Read a model and check every file of it.

    Args:
        folder: of the model.
        kind: it must be of.
        digest: SHA-256 that its card must have; None: any.

    Raises:
        UsageError: none is there, it is of another kind or format, or a file of it was changed.
    """
    whole = _read(folder / CARD, MAX_CARD_BYTES)
    found = hashlib.sha256(whole).hexdigest()
    if digest is not None and found != digest.lower():
        raise _refused(f"a model with digest {digest.lower()}", found, folder)
    try:
        card = read_json(whole)
        if not isinstance(card, dict) or card["format"] != FORMAT:
            raise _refused(f"a card of format {FORMAT}", f"{card.get('format')}", folder)
        if card["kind"] != kind:
            raise _refused(f"a model of kind {kind}", f"{card['kind']}", folder)
        contract = InputContract(**card["input"])
        digests = {str(name): str(one) for name, one in card["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused("a card", f"{type(error).__name__}: {error}", folder) from error
    graphs: dict[str, bytes] = {}
    arrays: Arrays = {}
    for name, expected in digests.items():
        if Path(name).name != name:
            raise _refused("names of files in the folder", name, folder)
        data = _read(folder / name, MAX_FILE_BYTES)
        if (got := hashlib.sha256(data).hexdigest()) != expected:
            raise _refused(f"SHA-256 {expected}, as the card says", got, folder / name)
        if name.endswith(".onnx"):
            graphs[name.removesuffix(".onnx")] = data
        else:
            arrays = unpack_arrays(data, folder / name)
    return ModelArtefact(
        kind=kind, digest=found, card=card, contract=contract, graphs=graphs, arrays=arrays
    )


def model_kind(folder: Path) -> str:
    """Of which kind a model says that it is, so that the right reader is asked; nothing is checked.

    Raises:
        UsageError: there is no card.
    """
    try:
        card = read_json(_read(folder / CARD, MAX_CARD_BYTES))
    except ValueError as error:
        raise _refused("a card", str(error), folder) from error
    return str(card.get("kind", "")) if isinstance(card, dict) else ""


def pack_arrays(arrays: Arrays) -> bytes:
    """Arrays by name as one file without pickle."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **dict(arrays))
    return file.getvalue()


def unpack_arrays(data: bytes, path: Path) -> Arrays:
    """Inverse of :func:`pack_arrays`, of a file at ``path``.

    Raises:
        UsageError: there is something else, or more than ``MAX_ARRAY_BYTES``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > MAX_ARRAY_BYTES:
            raise _refused(f"at most {MAX_ARRAY_BYTES} bytes of arrays", f"{size}", path)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise _refused("NumPy arrays", str(error), path) from error


def _read(path: Path, most: int) -> bytes:
    try:
        if (size := path.stat().st_size) > most:
            raise _refused(f"at most {most} bytes", f"{size}", path)
        return path.read_bytes()
    except OSError as error:
        raise _refused("a file of a model", str(error.strerror), path) from error


def _refused(expected: str, got: str, path: Path) -> UsageError:
    return UsageError(
        expected=expected, got=got, where=str(path), action="train the model again, or copy it anew"
    )
