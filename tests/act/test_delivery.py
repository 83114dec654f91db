"""Delivering: at least once, in order per subject, never dropped, without chance."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.act_cases import SimulatedClock, apply_all, decision, sqlite_url
from act.alert_receiver import BROKEN, TAKEN, TAKEN_THEN_LOST, AlertReceiver, Answer
from sightline.act import (
    AlertDelivery,
    DeliveryError,
    Ledger,
    OutboxDispatcher,
    Outlet,
    Retry,
    RunMetrics,
)
from sightline.act.delivery import _Alarm
from sightline.act.notices import Notice
from sightline.act.outbox import Undelivered
from sightline.act.webhook import WebhookOutlet
from sightline.errors import SinkError, UsageError
from sightline.limits import Limits
from sightline.records import Decision
from sightline.records.decision import Status
from sightline.records.signals import NS_PER_S

RETRY = Retry(first_wait_s=1.0, factor=2.0, most_wait_s=10.0)


class SimulatedSink(Outlet):
    """Takes alerts, or fails as planned by (subject, event time); keeps what arrived."""

    retry = RETRY

    def __init__(self, plan: dict[tuple[str, int], list[SinkError]] | None = None) -> None:
        self.plan = plan or {}
        self.tried: list[str] = []
        self.taken: list[Decision] = []
        self.notices: list[Notice] = []

    def send(
        self, decision: Decision | Notice, /, *, idempotency_key: str, deadline_s: float
    ) -> None:
        self.tried.append(idempotency_key)
        failures = (
            self.plan.get((decision.subject, decision.event_ns), [])
            if isinstance(decision, Decision)
            else []
        )
        if failures:
            raise failures.pop(0)
        if isinstance(decision, Notice):
            self.notices.append(decision)
        else:
            self.taken.append(decision)


def refused(**attributes: object) -> DeliveryError:
    return DeliveryError(got="no", where="simulated sink", **attributes)  # type: ignore[arg-type]


def planned(said: Decision, *failures: SinkError) -> dict[tuple[str, int], list[SinkError]]:
    return {(said.subject, said.event_ns): list(failures)}


def dispatcher(
    ledger: Ledger,
    clock: SimulatedClock,
    *,
    limits: Limits = Limits(),
    **sinks: Outlet,
) -> OutboxDispatcher:
    return OutboxDispatcher(
        ledger, sinks, clock_ns=clock.read_ns, sleep_s=clock.sleep_s, limits=limits
    )  # fmt: skip


class Webhook(WebhookOutlet):
    retry = RETRY


def webhook(receiver: AlertReceiver) -> WebhookOutlet:
    return Webhook(receiver.url)


def keys(*said: Decision) -> list[str]:
    return [f"{d.decision_id}:{d.revision}" for d in said]


# --- over HTTP ----------------------------------------------------------------------------------


def test_alerts_reach_the_receiver_in_the_order_they_were_said(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    said = [decision(2), decision(0), decision(1)]
    apply_all(ledger, said, sinks=["hook"])
    report = dispatcher(ledger, clock, hook=webhook(receiver)).deliver_due()
    assert list(receiver.effects) == keys(*said)
    assert (report.delivered, report.pending, report.failed) == (3, 0, 0)


def test_what_was_delivered_is_not_sent_again(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    apply_all(ledger, [decision()], sinks=["hook"])
    out = dispatcher(ledger, clock, hook=webhook(receiver))
    out.deliver_due()
    assert out.deliver_due().attempted == 0
    row = ledger.outbox.rows("delivered")[0]
    assert (row.attempts, row.delivered_ns, row.last_error) == (1, clock.now_ns, "")


def test_an_alert_whose_answer_was_lost_takes_effect_once(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.planned.extend([TAKEN_THEN_LOST, Answer(status=0), TAKEN])
    apply_all(ledger, [decision()], sinks=["hook"])
    dispatcher(ledger, clock, hook=webhook(receiver)).drain(clock.after_s(60))
    assert receiver.deliveries == {keys(decision())[0]: 3}
    assert list(receiver.effects) == keys(decision())


def test_an_alert_that_took_too_long_takes_effect_once(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.planned.append(Answer(waits=True))
    apply_all(ledger, [decision()], sinks=["hook"])
    limits = Limits(delivery_timeout_s=0.1)
    out = dispatcher(ledger, clock, limits=limits, hook=webhook(receiver))
    assert out.deliver_due().delivered == 0
    assert ledger.outbox.rows("pending")[0].attempts == 1
    assert out.drain(clock.after_s(60)).pending == 0
    assert receiver.deliveries == {keys(decision())[0]: 2}
    assert list(receiver.effects) == keys(decision())


def test_a_receiver_that_knows_the_key_ends_the_delivery(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.usual = Answer(status=409, takes_effect=False)
    apply_all(ledger, [decision()], sinks=["hook"])
    assert dispatcher(ledger, clock, hook=webhook(receiver)).deliver_due().delivered == 1


def test_a_crash_between_apply_and_deliver_loses_nothing(
    tmp_path: Path, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        apply_all(ledger, [decision(0), decision(1)], sinks=["hook"])
    with Ledger.open(sqlite_url(tmp_path)) as again:
        dispatcher(again, clock, hook=webhook(receiver)).deliver_due()
    assert list(receiver.effects) == keys(decision(0), decision(1))


def test_a_crash_between_taking_and_noting_delivers_twice_with_one_effect(
    tmp_path: Path, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        apply_all(ledger, [decision()], sinks=["hook"])
        webhook(receiver).send(decision(), idempotency_key=keys(decision())[0], deadline_s=5.0)
    with Ledger.open(sqlite_url(tmp_path)) as again:
        dispatcher(again, clock, hook=webhook(receiver)).deliver_due()
    assert receiver.deliveries == {keys(decision())[0]: 2}
    assert list(receiver.effects) == keys(decision())


def test_a_receiver_that_is_down_for_a_while_gets_everything_in_order(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    said = [decision(0), decision(1), decision(2, subject="sat-2")]
    receiver.planned.extend([BROKEN] * 5)
    apply_all(ledger, said, sinks=["hook"])
    report = dispatcher(ledger, clock, hook=webhook(receiver)).drain(clock.after_s(300))
    assert (report.delivered, report.pending, report.failed) == (3, 0, 0)
    assert [k for k in receiver.effects if k in keys(*said[:2])] == keys(*said[:2])


def test_a_refusal_goes_to_failed_and_stays_visible(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.planned.append(Answer(status=422, takes_effect=False))
    apply_all(ledger, [decision(0), decision(1)], sinks=["hook"])
    report = dispatcher(ledger, clock, hook=webhook(receiver)).deliver_due()
    assert (report.given_up, report.delivered, report.failed) == (1, 1, 1)
    row = ledger.outbox.rows("failed")[0]
    assert (row.said, row.attempts, row.last_error) == (decision(0), 1, "HTTP 422")


def test_a_permanent_refusal_is_not_tried_again(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.usual = Answer(status=400, takes_effect=False)
    apply_all(ledger, [decision()], sinks=["hook"])
    dispatcher(ledger, clock, hook=webhook(receiver)).drain(clock.after_s(600))
    assert len(receiver.requests) == 1


def test_retry_after_is_waited_for(
    ledger: Ledger, receiver: AlertReceiver, clock: SimulatedClock
) -> None:
    receiver.planned.append(Answer(status=429, takes_effect=False, headers={"Retry-After": "120"}))
    apply_all(ledger, [decision(0), decision(1, subject="sat-2")], sinks=["hook"])
    out = dispatcher(ledger, clock, hook=webhook(receiver))
    asked_ns = clock.after_s(120)
    out.deliver_due()
    assert len(receiver.requests) == 1  # the second alert is not pushed at it either
    assert out.drain(asked_ns - 1).attempted == 0
    assert out.drain(asked_ns + NS_PER_S).delivered == 2


# --- order, attempts and give-up ------------------------------------------------------------------


def test_a_waiting_alert_holds_back_its_subject(ledger: Ledger, clock: SimulatedClock) -> None:
    said = [decision(0), decision(1)]
    sink = SimulatedSink(planned(said[0], refused()))
    apply_all(ledger, said, sinks=["a"])
    out = dispatcher(ledger, clock, a=sink)
    out.deliver_due()
    out.deliver_due()  # the second alert is due by itself, and must wait all the same
    assert sink.tried == keys(said[0])
    out.drain(clock.after_s(60))
    assert sink.taken == said


def test_what_is_said_later_waits_behind_the_same_subject(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    sink = SimulatedSink(planned(decision(5), refused()))
    apply_all(ledger, [decision(5)], sinks=["a"])
    out = dispatcher(ledger, clock, a=sink)
    out.deliver_due()
    revision = decision(0, revision=1, status=Status.RETRACTED)  # of an older event
    apply_all(ledger, [revision], sinks=["a"])
    out.drain(clock.after_s(60))
    assert sink.taken == [decision(5), revision]


def test_a_waiting_alert_holds_back_no_other_subject(ledger: Ledger, clock: SimulatedClock) -> None:
    sink = SimulatedSink(planned(decision(0), refused()))
    other = decision(1, subject="sat-2")
    apply_all(ledger, [decision(0), other], sinks=["a"])
    dispatcher(ledger, clock, a=sink).deliver_due()
    assert sink.taken == [other]


def test_a_failing_sink_holds_back_no_other_sink(ledger: Ledger, clock: SimulatedClock) -> None:
    bad, good = SimulatedSink(planned(decision(), refused(is_unreachable=True))), SimulatedSink()
    apply_all(ledger, [decision()], sinks=["bad", "good"])
    dispatcher(ledger, clock, bad=bad, good=good).deliver_due()
    assert good.taken == [decision()]


def test_a_dead_receiver_costs_one_attempt_and_not_one_per_subject(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    said = [decision(subject=f"sat-{n}") for n in range(50)]
    sink = SimulatedSink({(d.subject, d.event_ns): [refused(is_unreachable=True)] for d in said})
    apply_all(ledger, said, sinks=["a"])
    assert dispatcher(ledger, clock, a=sink).deliver_due().attempted == 1


def test_an_alert_that_may_be_taken_later_is_never_given_up(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    sink = SimulatedSink(planned(decision(), *[refused() for _ in range(99)]))
    apply_all(ledger, [decision()], sinks=["a"])
    report = dispatcher(ledger, clock, a=sink).drain(clock.after_s(36_000))
    assert (report.delivered, report.pending, report.failed) == (1, 0, 0)


def test_after_the_last_attempt_that_its_outlet_allows_an_alert_is_failed_and_kept(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    class Thrice(SimulatedSink):
        retry = Retry(attempts=3, first_wait_s=1.0)

    apply_all(ledger, [decision()], sinks=["a"])
    out = dispatcher(ledger, clock, a=Thrice(planned(decision(), *[refused() for _ in range(9)])))
    report = out.drain(clock.after_s(3600))
    assert (report.attempted, report.given_up, report.pending, report.failed) == (3, 1, 0, 1)
    assert ledger.outbox.rows("failed")[0].said == decision()


def test_a_wall_clock_that_is_set_back_during_a_wait_prolongs_no_wait(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    sink = SimulatedSink(planned(decision(), refused(is_unreachable=True)))
    apply_all(ledger, [decision()], sinks=["a"])
    out = dispatcher(ledger, clock, a=sink)
    out.deliver_due()
    clock.now_ns -= 3600 * NS_PER_S
    assert out.deliver_due().delivered == 1


def test_what_was_given_up_holds_nothing_back(ledger: Ledger, clock: SimulatedClock) -> None:
    sink = SimulatedSink(planned(decision(0), refused(is_permanent=True)))
    apply_all(ledger, [decision(0), decision(1)], sinks=["a"])
    dispatcher(ledger, clock, a=sink).drain(clock.after_s(60))
    assert sink.taken == [decision(1)]


def test_retry_failed_gives_all_attempts_again(ledger: Ledger, clock: SimulatedClock) -> None:
    class Twice(SimulatedSink):
        retry = Retry(attempts=2, first_wait_s=1.0)

    sink = Twice(planned(decision(), *[refused() for _ in range(3)]))
    apply_all(ledger, [decision()], sinks=["a"])
    out = dispatcher(ledger, clock, a=sink)
    out.drain(clock.after_s(600))
    assert out.retry_failed() == 1
    assert out.drain(clock.after_s(600)).delivered == 1
    assert sink.taken == [decision()]


def test_alerts_for_a_sink_that_is_absent_wait(ledger: Ledger, clock: SimulatedClock) -> None:
    apply_all(ledger, [decision()], sinks=["a", "absent"])
    report = dispatcher(ledger, clock, a=SimulatedSink()).drain(clock.after_s(60))
    assert (report.delivered, report.pending, clock.slept_s) == (1, 1, [])


def test_a_sink_that_raises_any_sink_error_is_tried_again(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    error = SinkError(expected="a", got="b", where="c", action="d")
    sink = SimulatedSink(planned(decision(), error))
    apply_all(ledger, [decision()], sinks=["a"])
    assert dispatcher(ledger, clock, a=sink).drain(clock.after_s(60)).delivered == 1


def test_more_than_one_page_is_delivered_in_one_call(ledger: Ledger, clock: SimulatedClock) -> None:
    said = [decision(n) for n in range(1_100)]
    sink = SimulatedSink()
    apply_all(ledger, said, sinks=["a"])
    assert dispatcher(ledger, clock, a=sink).deliver_due().delivered == len(said)
    assert sink.taken == said


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(["sat-1", "sat-2", "sat-3"]), st.integers(0, 4)),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_fails_each_subject_keeps_its_order(plan: list[tuple[str, int]]) -> None:
    clock = SimulatedClock()
    said = [decision(n, subject=subject) for n, (subject, _) in enumerate(plan)]
    failures = {
        (d.subject, d.event_ns): [refused(is_unreachable=bool(i % 2)) for i in range(count)]
        for d, (_, count) in zip(said, plan, strict=True)
    }
    sink = SimulatedSink({k: list(v) for k, v in failures.items()})
    with Ledger.open("sqlite://") as ledger:
        apply_all(ledger, said, sinks=["a"])
        report = dispatcher(ledger, clock, a=sink).drain(clock.after_s(1e6))
    assert report.pending == report.failed == 0
    for subject in {d.subject for d in said}:
        assert [d for d in sink.taken if d.subject == subject] == [
            d for d in said if d.subject == subject
        ]


# --- drain ----------------------------------------------------------------------------------------


def test_drain_waits_no_longer_than_its_deadline(ledger: Ledger, clock: SimulatedClock) -> None:
    sink = SimulatedSink(planned(decision(), *[refused() for _ in range(99)]))
    apply_all(ledger, [decision()], sinks=["a"])
    deadline_ns = clock.after_s(3)
    report = dispatcher(ledger, clock, a=sink).drain(deadline_ns)
    assert report.pending == 1
    assert clock.now_ns <= deadline_ns


def test_drain_ends_when_the_clock_stands_still(ledger: Ledger, clock: SimulatedClock) -> None:
    sink = SimulatedSink(planned(decision(), refused()))
    apply_all(ledger, [decision()], sinks=["a"])
    out = OutboxDispatcher(ledger, {"a": sink}, clock_ns=clock.read_ns, sleep_s=lambda _: None)
    assert out.drain(clock.after_s(60)).pending == 1


def test_drain_begins_nothing_after_its_deadline(ledger: Ledger, clock: SimulatedClock) -> None:
    class SlowSink(SimulatedSink):
        def send(self, decision: Decision, /, *, idempotency_key: str, deadline_s: float) -> None:
            clock.sleep_s(4)
            super().send(decision, idempotency_key=idempotency_key, deadline_s=deadline_s)

    sink = SlowSink()
    apply_all(ledger, [decision(n) for n in range(5)], sinks=["a"])
    report = dispatcher(ledger, clock, a=sink).drain(clock.after_s(10))
    assert (report.delivered, report.pending) == (3, 2)


# --- waits ----------------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest() -> None:
    full_s = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    for attempts, full in enumerate(full_s, start=1):
        assert full / 2 <= RETRY.wait_s(attempts, key="k") <= full


def test_a_wait_is_the_same_for_the_same_key() -> None:
    assert RETRY.wait_s(3, key="k") == RETRY.wait_s(3, key="k")


def test_waits_are_spread_over_keys() -> None:
    assert len({RETRY.wait_s(3, key=str(n)) for n in range(100)}) > 90


def test_a_wait_survives_any_number_of_attempts() -> None:
    assert RETRY.wait_s(10**9, key="k") <= RETRY.most_wait_s


@pytest.mark.parametrize(
    "numbers", [{"first_wait_s": 0.0}, {"factor": 0.5}, {"most_wait_s": 0.1}, {"attempts": 0}]
)
def test_a_retry_policy_that_cannot_work_is_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="retry policy"):
        Retry(**numbers)  # type: ignore[arg-type]


def test_an_outlet_says_itself_how_often_it_is_tried(ledger: Ledger, clock: SimulatedClock) -> None:
    class Once(SimulatedSink):
        retry = Retry(attempts=1)

    apply_all(ledger, [decision()], sinks=["a"])
    report = dispatcher(ledger, clock, a=Once(planned(decision(), refused()))).deliver_due()
    assert (report.given_up, report.failed) == (1, 1)


def test_whatever_an_outlet_raises_is_a_failed_attempt_without_its_words(
    ledger: Ledger, clock: SimulatedClock
) -> None:
    class Broken(Outlet):
        def send(self, said: object, /, *, idempotency_key: str, deadline_s: float) -> None:
            raise KeyError("s3cret")

    apply_all(ledger, [decision()], sinks=["a"])
    assert dispatcher(ledger, clock, a=Broken()).deliver_due().pending == 1
    assert ledger.outbox.rows("pending")[0].last_error == "KeyError"


# --- beside the loop ------------------------------------------------------------------------------


def alert_delivery(url: str, clock: SimulatedClock, **outlets: Outlet) -> AlertDelivery:
    return AlertDelivery(url, outlets, wall_ns=clock.read_ns, sleep_s=clock.sleep_s)


def told_to(url: str, *said: Decision, sinks: tuple[str, ...] = ("a",)) -> None:
    with Ledger.open(url) as ledger:
        apply_all(ledger, said, sinks=sinks)


def test_without_a_thread_draining_waits_on_the_given_clock(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision())
    sink = SimulatedSink(planned(decision(), refused(), refused()))
    delivery = alert_delivery(ledger_url, clock, a=sink)
    assert not delivery.drain(60.0)
    delivery.close()
    assert len(clock.slept_s) == 2


def test_the_thread_delivers_what_there_is_and_draining_ends_it(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision())
    sink = SimulatedSink(planned(decision(), refused()))
    with alert_delivery(ledger_url, clock, a=sink) as delivery:
        delivery.there_may_be_some()
        assert not delivery.drain(60.0)
    assert sink.taken == [decision()]


def test_what_stays_behind_is_counted_with_that_of_absent_outlets(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision(), sinks=("a", "absent"))
    delivery = alert_delivery(ledger_url, clock, a=SimulatedSink())
    waits = {"absent": Undelivered(pending=1, failed=0, last_error="")}
    assert delivery.drain(60.0) == waits
    assert alert_delivery(ledger_url, clock).drain(60.0) == waits


def test_an_outlet_that_hangs_holds_nobody_up(ledger_url: str) -> None:
    let_go = threading.Event()

    class Hanging(Outlet):
        def send(self, said: object, /, *, idempotency_key: str, deadline_s: float) -> None:
            let_go.wait()

    told_to(ledger_url, decision())
    delivery = AlertDelivery(
        ledger_url, {"a": Hanging()}, wall_ns=time.time_ns, sleep_s=time.sleep,
        limits=Limits(delivery_timeout_s=0.05, delivery_pass_s=0.05),
    )  # fmt: skip
    with delivery:
        delivery.there_may_be_some()
        assert delivery.drain(0.05)["a"].pending == 1
    let_go.set()


def test_outlets_are_closed_with_the_delivery(ledger_url: str, clock: SimulatedClock) -> None:
    class Closing(SimulatedSink):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    told_to(ledger_url)
    outlet = Closing()
    with alert_delivery(ledger_url, clock, a=outlet):
        pass
    assert outlet.is_closed


def test_a_ledger_that_comes_late_is_delivered_from(tmp_path: Path, clock: SimulatedClock) -> None:
    url = sqlite_url(tmp_path)
    sink = SimulatedSink()
    with alert_delivery(url, clock, a=sink) as delivery:
        delivery.there_may_be_some()  # nothing is there, and nobody is told of it
        told_to(url, decision())
        delivery.there_may_be_some()
        delivery.drain(60.0)
    assert sink.taken == [decision()]


def test_an_outlet_that_hangs_holds_up_no_other_outlet(
    ledger_url: str, clock: SimulatedClock
) -> None:
    let_go = threading.Event()

    class Hanging(Outlet):
        def send(self, said: object, /, *, idempotency_key: str, deadline_s: float) -> None:
            let_go.wait()

    told_to(ledger_url, decision(), sinks=("hangs", "works"))
    works = SimulatedSink()
    limits = Limits(delivery_timeout_s=0.4, delivery_pass_s=0.4)
    with AlertDelivery(
        ledger_url, {"hangs": Hanging(), "works": works}, wall_ns=clock.read_ns,
        sleep_s=clock.sleep_s, limits=limits,
    ) as delivery:  # fmt: skip
        left = delivery.drain(0.4)
    let_go.set()
    assert (works.taken, list(left)) == ([decision()], ["hangs"])


# --- the alarm about alarms -----------------------------------------------------------------------


def test_a_receiver_that_takes_nothing_for_long_is_told_to_the_others_and_so_is_its_recovery() -> (
    None
):
    alarm = _Alarm(since_ns=None)
    waits = Undelivered(pending=3, failed=0, last_error="HTTP 503")

    def look(at_s: int, waits: Undelivered, *, delivered: int = 0) -> str:
        return alarm.look(
            waits, delivered=delivered, now_ns=at_s * NS_PER_S, patience_ns=60 * NS_PER_S
        )

    assert [look(0, waits), look(59, waits)] == ["", ""]
    assert "3 wait (HTTP 503)" in look(60, waits)
    assert look(61, waits) == ""
    assert "none waits" in look(62, Undelivered(pending=0, failed=0, last_error=""), delivered=3)


def test_a_receiver_that_is_slow_and_takes_some_is_no_trouble() -> None:
    alarm = _Alarm(since_ns=None)
    waits = Undelivered(pending=9, failed=0, last_error="")
    said = [
        alarm.look(waits, delivered=n, now_ns=n * 50 * NS_PER_S, patience_ns=60 * NS_PER_S)
        for n in range(9)
    ]
    assert not any(said)


def test_a_refusal_for_good_is_told_at_once_and_each_further_one() -> None:
    alarm = _Alarm(since_ns=None)
    said = [
        alarm.look(
            Undelivered(pending=0, failed=failed, last_error="HTTP 400"),
            delivered=0, now_ns=0, patience_ns=60 * NS_PER_S,
        )
        for failed in (1, 1, 2)
    ]  # fmt: skip
    assert [bool(one) for one in said] == [True, False, True]


def test_the_alarm_about_a_receiver_reaches_the_one_that_works(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision(), sinks=("bad",))
    bad, good = SimulatedSink(planned(decision(), refused(is_permanent=True))), SimulatedSink()
    words: list[str] = []
    delivery = AlertDelivery(
        ledger_url, {"bad": bad, "good": good}, wall_ns=clock.read_ns, sleep_s=clock.sleep_s,
        on_trouble=words.append,
    )  # fmt: skip
    with delivery:
        until_s = time.monotonic() + 10
        while not good.notices and time.monotonic() < until_s:
            time.sleep(0.01)
    assert [(n.code, n.subject) for n in good.notices] == [("ALERTS_UNDELIVERED", "receiver bad")]
    assert words[0].startswith("alerts to bad: 1 refused for good")


def test_a_notice_that_is_not_taken_is_told_and_counted(
    ledger_url: str, clock: SimulatedClock
) -> None:
    class TakesNoNotice(SimulatedSink):
        def send(self, said: object, /, *, idempotency_key: str, deadline_s: float) -> None:
            raise refused()

    told_to(ledger_url, decision(), sinks=("bad",))
    bad, deaf = SimulatedSink(planned(decision(), refused(is_permanent=True))), TakesNoNotice()
    words: list[str] = []
    metrics = RunMetrics()
    delivery = AlertDelivery(
        ledger_url, {"bad": bad, "deaf": deaf}, wall_ns=clock.read_ns, sleep_s=clock.sleep_s,
        on_trouble=words.append, metrics=metrics,
    )  # fmt: skip
    with delivery:
        until_s = time.monotonic() + 10
        while len(words) < 2 and time.monotonic() < until_s:
            time.sleep(0.01)
        delivery.drain(0.0)
    assert words[1].startswith("alerts to deaf: a notice of other receivers was not taken: ")
    assert 'failures{receiver="deaf",what="notice"}' in metrics.render().decode()


def test_what_waits_and_what_failed_is_in_the_metrics(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision(), sinks=("a", "absent"))
    sink = SimulatedSink(planned(decision(), refused(is_permanent=True)))
    metrics = RunMetrics()
    with AlertDelivery(
        ledger_url, {"a": sink}, wall_ns=clock.read_ns, sleep_s=clock.sleep_s, metrics=metrics
    ) as delivery:
        delivery.drain(60.0)
    page = metrics.render().decode()
    assert 'sightline_alerts_undelivered{receiver="a",state="failed"} 1.0' in page
    assert 'sightline_alerts_undelivered{receiver="absent",state="pending"} 1.0' in page


def test_alerts_that_were_given_up_can_be_put_back_in_line(
    ledger_url: str, clock: SimulatedClock
) -> None:
    told_to(ledger_url, decision())
    sink = SimulatedSink(planned(decision(), refused(is_permanent=True)))
    delivery = alert_delivery(ledger_url, clock, a=sink)
    assert delivery.drain(60.0)["a"].failed == 1
    assert delivery.retry_failed() == 1
    assert not delivery.drain(60.0)
    delivery.close()
