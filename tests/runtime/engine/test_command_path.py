"""The path of a command: after it is durable, and before everything else."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.recorder.chain import ChainHead
from sightline.records import Accounts
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.logged_core import Committed
from simulation.gateway_runs import plan


class Partitions:
    """One key partition, which commits when it is asked to."""

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def summaries_after(self, epoch: int) -> tuple[()]:
        return ()

    def commit(self) -> list[Committed]:
        self._order.append("the key partitions are durable")
        return [
            Committed(
                name="p000",
                decisions=(),
                summaries=(),
                through_sequence=1,
                chain_hash="",
                accounts=Accounts(),
            )
        ]


class Desk:
    """A fan-in that notes when it is asked for something."""

    name = "fan-in"
    committed_epoch = -1

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def note_heads(self, heads: Mapping[str, ChainHead]) -> None:
        pass

    def commit(self) -> Committed:
        self._order.append("the alert desk is durable")
        return Committed(
            name=self.name,
            decisions=(),
            summaries=(),
            through_sequence=1,
            chain_hash="",
            accounts=Accounts(),
        )


def test_commands_go_out_before_the_alert_desk() -> None:
    order: list[str] = []
    driver = EpochDriver(plan(), Partitions(order), Desk(order))  # type: ignore[arg-type]
    driver.commit(at_once=lambda committed: order.append("commands go out"))
    assert order == [
        "the key partitions are durable", "commands go out", "the alert desk is durable",
    ]  # fmt: skip
