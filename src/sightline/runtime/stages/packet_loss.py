"""``packet_loss``: share of a window's packets that did not arrive, from the sequence counter."""

from __future__ import annotations

import numpy as np

from sightline.assess import loss_ratio
from sightline.records.windows import FloatArray
from sightline.runtime.stage import Measure, Planning, Stage, Windows, Wiring


class PacketLossStage(Stage):
    """Share of a window's packets that did not arrive."""

    use = "packet_loss"

    def plan(self, planning: Planning) -> Wiring:
        contract = planning.contract
        if contract.sequence is None:
            planning.fail("a contract with a sequence column", f"{contract.contract}: none")
        return Wiring(adds=(Measure(column=f"{self.name}.loss_ratio", field="", unit="1"),))

    def compute(self, windows: Windows) -> FloatArray:
        series, targets = windows.chain.series, windows.targets
        before = series.previous(targets, 1)
        sequence_max = series.column("sequence_max")
        found = loss_ratio(
            sequence_max=sequence_max[targets],
            previous_sequence_max=np.where(
                before >= 0, sequence_max[np.maximum(before, 0)], np.nan
            ),
            received=series.column("sequence_distinct")[targets],
        )
        return found[:, None]
