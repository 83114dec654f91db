"""What an alert desk said: stored once, sent in place of decisions, counted by where alerts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from act.act_cases import PARTITION, decision
from sightline.act import Ledger
from sightline.act.json_lines import JsonLinesOutlet
from sightline.act.notices import Notice, Told
from sightline.errors import UsageError
from sightline.records import Accounts


def notice(number: int = 1, **changed: Any) -> Notice:
    return Notice.from_mapping(
        {
            "notice_id": f"{number:032x}", "message_id": f"desk-{number}", "kind": "alert",
            "at_ns": 7, "subject": "sat-1", "code": "LOSS", "severity": "warning", "count": 1,
            "update_of": "", **changed,
        }
    )  # fmt: skip


def disposition(alert: str, fate: str, before: str | None = None) -> dict[str, Any]:
    return {
        "alert_id": alert, "fate": fate, "before": before, "cause": "RAISED", "reason": "",
        "held_by": "", "at_ns": 7,
    }  # fmt: skip


def apply(ledger: Ledger, *told: tuple[int, Told], through: int, sinks: tuple[str, ...]) -> None:
    ledger.apply(
        PARTITION, [], through_sequence=through, accounts=Accounts(), told=told, notice_sinks=sinks
    )


WAITS = Told(notices=(), dispositions=(disposition("a", "waiting"), disposition("b", "masked")))
TELLS = Told(
    notices=(notice(1), notice(2, kind="group", subject="gateway=g-1")),
    dispositions=(disposition("a", "told", "waiting"),),
)


def test_messages_are_kept_in_order_and_put_in_line(ledger: Ledger) -> None:
    apply(ledger, (4, WAITS), (9, TELLS), through=9, sinks=("x",))
    assert [n.message_id for n in ledger.notices()] == ["desk-1", "desk-2"]
    rows = ledger.outbox.rows("pending")
    assert [row.said for row in rows] == list(TELLS.notices)
    assert [row.idempotency_key for row in rows] == [n.notice_id for n in TELLS.notices]


def test_the_last_disposition_of_an_alert_counts(ledger: Ledger) -> None:
    apply(ledger, (4, WAITS), through=4, sinks=())
    assert ledger.alerts_by_fate() == {"masked": 1, "waiting": 1}
    apply(ledger, (9, TELLS), through=9, sinks=())
    assert ledger.alerts_by_fate() == {"masked": 1, "told": 1}


def test_a_later_disposition_of_the_same_entry_counts(ledger: Ledger) -> None:
    both = Told(
        notices=(), dispositions=(disposition("a", "waiting"), disposition("a", "told", "waiting"))
    )
    apply(ledger, (4, both), through=4, sinks=())
    assert ledger.alerts_by_fate() == {"told": 1}


def test_applied_again_it_has_no_second_effect(ledger: Ledger) -> None:
    for _ in range(2):
        apply(ledger, (4, WAITS), (9, TELLS), through=9, sinks=("x",))
    assert len(ledger.notices()) == 2
    assert len(ledger.outbox.rows("pending")) == 2
    assert ledger.notices_by_kind() == {"alert": 1, "group": 1}


def test_decisions_and_messages_may_have_different_receivers(ledger: Ledger) -> None:
    ledger.apply(
        PARTITION,
        [(3, decision())],
        through_sequence=9,
        accounts=Accounts(),
        sinks=(),
        told=[(9, TELLS)],
        notice_sinks=("x",),
    )
    assert len(ledger.decisions()) == 1
    assert {row.said for row in ledger.outbox.rows("pending")} == set(TELLS.notices)


def test_a_message_beyond_the_commit_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="up to 5"):
        apply(ledger, (9, TELLS), through=5, sinks=())


def test_a_file_gets_each_message_once_also_after_it_was_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "told.jsonl"
    for _ in range(2):
        sink = JsonLinesOutlet(path)
        for one in TELLS.notices:
            sink.send(one, idempotency_key=one.notice_id, deadline_s=5.0)
    assert path.read_bytes() == b"".join(n.canonical_bytes() + b"\n" for n in TELLS.notices)


def test_a_notice_says_everything_it_was_made_of() -> None:
    assert notice(3, rows=[{"group": "g"}]).as_mapping()["rows"] == [{"group": "g"}]
