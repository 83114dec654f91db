import pytest
from act.receiving import Receiver
from decide.making import decision

from sightline.act import Backoff, JsonLinesSink, Ledger, OutboxDispatcher, WebhookSink
from sightline.act.sinks import DeliveryError
from sightline.errors import SinkError
from sightline.limits import Limits
from sightline.records import Accounts

SECOND_NS = 1_000_000_000


class FakeClock:
    def __init__(self):
        self.now_ns = 0

    def read_ns(self):
        return self.now_ns

    def sleep_s(self, seconds):
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as ledger:
        yield ledger


@pytest.fixture
def clock():
    return FakeClock()


def dispatcher(ledger, sinks, clock, **limits):
    return OutboxDispatcher(
        ledger,
        sinks,
        clock_ns=clock.read_ns,
        sleep_s=clock.sleep_s,
        backoff=Backoff(),
        limits=Limits(**limits),
    )


def fill(ledger, *decisions, sinks=("hook",), start=0):
    said = [(start + i, d) for i, d in enumerate(decisions)]
    ledger.apply("p000", said, through_sequence=start + len(said), accounts=Accounts(), sinks=sinks)


def hook(receiver, timeout_s=2.0):
    return {"hook": WebhookSink(receiver.url, timeout_s=timeout_s)}


def test_each_decision_takes_effect_once(ledger, receiver, clock):
    fill(ledger, decision(100), decision(200))
    dispatcher(ledger, hook(receiver), clock).drain(10 * SECOND_NS)
    assert sorted(receiver.effects) == ["k:sat-1:100:0", "k:sat-1:200:0"]


def test_a_lost_answer_is_delivered_again_under_the_same_key(ledger, receiver, clock):
    receiver.lose_answers = 1
    fill(ledger, decision(100))
    dispatcher(ledger, hook(receiver), clock).drain(10 * SECOND_NS)
    assert receiver.requests == {"k:sat-1:100:0": 2}
    assert len(receiver.effects) == 1


def test_a_receiver_that_is_down_is_tried_again_later(ledger, receiver, clock):
    receiver.answers = [503, 503]
    fill(ledger, decision(100))
    report = dispatcher(ledger, hook(receiver), clock).drain(60 * SECOND_NS)
    assert (report.delivered, report.pending, report.failed) == (1, 0, 0)


def test_after_the_last_attempt_an_alert_is_kept_as_failed(ledger, receiver, clock):
    receiver.answers = [503] * 3
    fill(ledger, decision(100))
    report = dispatcher(ledger, hook(receiver), clock, delivery_attempts=3).drain(600 * SECOND_NS)
    assert (report.pending, report.failed) == (0, 1)


def test_a_failed_alert_can_be_put_back_in_line(ledger, receiver, clock):
    receiver.answers = [400]
    fill(ledger, decision(100))
    sender = dispatcher(ledger, hook(receiver), clock)
    assert sender.drain(SECOND_NS).failed == 1
    assert sender.retry_failed() == 1
    assert sender.drain(60 * SECOND_NS).delivered == 1


def test_a_permanent_refusal_is_not_tried_again(ledger, receiver, clock):
    receiver.answers = [422, 200]
    fill(ledger, decision(100))
    dispatcher(ledger, hook(receiver), clock).drain(60 * SECOND_NS)
    assert receiver.requests == {"k:sat-1:100:0": 1}


def test_the_receiver_may_ask_for_a_longer_wait(ledger, receiver, clock):
    receiver.answers = [429]
    fill(ledger, decision(100))
    dispatcher(ledger, hook(receiver), clock).deliver_due()
    assert ledger.outbox_next_ns() == 7 * SECOND_NS


def test_409_means_taken_already(ledger, receiver, clock):
    receiver.answers = [409]
    fill(ledger, decision(100))
    assert dispatcher(ledger, hook(receiver), clock).deliver_due().delivered == 1


def test_a_slow_receiver_times_out_and_the_alert_stays(ledger, receiver, clock):
    receiver.stall_s = 0.4
    fill(ledger, decision(100))
    report = dispatcher(ledger, hook(receiver, timeout_s=0.1), clock).deliver_due()
    assert (report.delivered, report.pending) == (0, 1)


def test_a_subject_that_fails_holds_back_its_later_alerts_only(ledger, receiver, clock):
    receiver.answers = [503]
    fill(ledger, decision(100), decision(200), decision(300, subject="sat-2"))
    dispatcher(ledger, hook(receiver), clock).deliver_due()
    assert list(receiver.effects) == ["k:sat-2:300:0"]


def test_what_was_applied_before_a_crash_is_delivered_after_it(tmp_path, receiver, clock):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with Ledger.open(url) as ledger:
        fill(ledger, decision(100))
    with Ledger.open(url) as ledger:
        dispatcher(ledger, hook(receiver), clock).drain(SECOND_NS)
    assert len(receiver.effects) == 1


def test_a_full_outbox_refuses_the_whole_commit(tmp_path):
    with Ledger.open("sqlite://", limits=Limits(outbox_rows=1)) as ledger:
        with pytest.raises(SinkError, match="at most 1 undelivered"):
            fill(ledger, decision(100), decision(200))
        assert (ledger.decisions(), ledger.applied_through("p000")) == ([], -1)


def test_secrets_of_the_address_are_not_in_errors(receiver):
    sink = WebhookSink(receiver.url, timeout_s=1, headers={"Authorization": "Bearer secret"})
    receiver.answers = [500]
    with pytest.raises(DeliveryError) as caught:
        sink.send(decision(100), idempotency_key="x")
    assert "secret" not in str(caught.value) + repr(sink)
    assert receiver.headers[0]["Authorization"] == "Bearer secret"


def test_a_file_sink_writes_each_decision_once(tmp_path):
    path = tmp_path / "alerts.jsonl"
    for _ in range(2):
        sink = JsonLinesSink(path)
        sink.send(decision(100), idempotency_key="k:sat-1:100:0")
    assert len(path.read_bytes().splitlines()) == 1


def test_a_file_sink_cuts_a_torn_last_line(tmp_path):
    path = tmp_path / "alerts.jsonl"
    JsonLinesSink(path).send(decision(100), idempotency_key="k:sat-1:100:0")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"decision_id": "x"')
    JsonLinesSink(path)
    assert path.read_bytes() == whole


def test_backoff_grows_and_is_capped():
    backoff = Backoff(first_s=1, factor=2, cap_s=5)
    waits = [backoff.wait_s(n, key="k") for n in (1, 2, 3, 9)]
    assert all(0.5 * full <= w <= full for w, full in zip(waits, (1, 2, 4, 5), strict=True))
