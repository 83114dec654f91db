"""Answers of golden runs: what is compared, and what a difference looks like."""

import pytest

from benchmarks.golden.answers import compare, read_messages, standing, without_names, write_answer


def decision(**changes):
    plain = {
        "decision_id": "0" * 32,
        "pipeline": "0" * 16,
        "subject": "sat-1",
        "kind": "silence",
        "event_ns": 5,
        "score": 0.1,
        "revision": 0,
        "status": "issued",
        "reasons": [{"code": "SILENT", "value": 3.0, "version": "silence@0123456789abcdef"}],
    }
    return {**plain, **changes}


def answer(*decisions, **changes):
    plain = {
        "decisions": [without_names(one) for one in decisions],
        "commands": [],
        "messages": [],
        "ledger_agrees": True,
        "exit": 0,
        "replay_exit": 0,
        "accounts": {},
    }
    return {**plain, **changes}


@pytest.fixture
def recorded(tmp_path):
    """Writes two recordings of one scenario and gives whether they are the same."""

    def compared(left, right):
        for side, found in (("a", left), ("b", right)):
            (tmp_path / side).mkdir(exist_ok=True)
            if found is not None:
                write_answer(tmp_path / side / "demo.json", found)
        return compare(tmp_path / "a", tmp_path / "b")

    return compared


def test_another_digest_of_the_pipeline_is_no_difference(recorded, capsys):
    other = decision(
        decision_id="1" * 32,
        pipeline="1" * 16,
        reasons=[{"code": "SILENT", "value": 3.0, "version": "silence@fedcba9876543210"}],
    )
    assert recorded(answer(decision()), answer(other))
    assert "same 1 decisions" in capsys.readouterr().out


def test_the_last_bit_of_a_score_is_a_difference(recorded, capsys):
    assert not recorded(answer(decision()), answer(decision(score=0.1 + 2**-56)))
    assert "first at number 0" in capsys.readouterr().out


def test_another_order_is_a_difference_and_called_one(recorded, capsys):
    one, two = decision(), decision(subject="sat-2")
    assert not recorded(answer(one, two), answer(two, one))
    assert "the same in another order" in capsys.readouterr().out


def test_both_sides_of_a_missing_decision_are_shown(recorded, capsys):
    assert not recorded(answer(decision(), decision(event_ns=6)), answer(decision()))
    assert "B nothing more" in capsys.readouterr().out


def test_a_replay_that_does_not_hold_is_a_difference(recorded):
    assert not recorded(answer(), answer(replay_exit=1))


def test_a_scenario_that_was_not_recorded_is_a_difference(recorded):
    assert not recorded(answer(), None)


def test_what_stands_at_the_end_leaves_out_what_was_retracted_and_counts_from_the_base():
    kept = decision(event_ns=105, revision=3, status="revised")
    gone = decision(decision_id="2" * 32, revision=1, status="retracted")
    found = standing([decision(event_ns=103), kept, gone], base_ns=100)
    assert [(d["event_ns"], d["revision"], d["status"]) for d in found] == [(5, 0, "issued")]


def test_messages_of_a_desk_keep_their_order(tmp_path):
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"notice_id": "b", "count": 2}\n{"notice_id": "a", "count": 1}\n')
    assert read_messages(path) == [{"count": 2}, {"count": 1}]
