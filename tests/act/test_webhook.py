"""One POST: what is sent, what each answer means, and what is never told."""

from __future__ import annotations

import base64
import pickle
import traceback

import pytest

from act.act_cases import decision
from act.alert_receiver import TAKEN_THEN_LOST, AlertReceiver, Answer
from act.command_cases import command, deliver
from sightline.act import DeliveryError
from sightline.act.webhook import WebhookOptions, WebhookOutlet
from sightline.errors import UsageError

SECRET = "tok3n"


def send(receiver: AlertReceiver, *, path: str = "/alerts", timeout_s: float = 5.0) -> None:
    outlet = WebhookOutlet(f"http://{receiver.address}{path}")
    outlet.send(decision(), idempotency_key="id:0", deadline_s=timeout_s)


def failure(receiver: AlertReceiver, answer: Answer, *, timeout_s: float = 5.0) -> DeliveryError:
    receiver.planned.append(answer)
    with pytest.raises(DeliveryError) as caught:
        send(receiver, timeout_s=timeout_s)
    return caught.value


def test_the_canonical_bytes_are_posted_with_their_key(receiver: AlertReceiver) -> None:
    send(receiver, path="/alerts?team=a")
    request = receiver.requests[0]
    assert request.body == decision().canonical_bytes()
    assert request.path == "/alerts?team=a"
    assert request.headers["Idempotency-Key"] == "id:0"
    assert request.headers["Content-Type"] == "application/json"


def test_given_headers_are_sent(receiver: AlertReceiver) -> None:
    sink = WebhookOutlet(
        receiver.url, WebhookOptions(headers={"Authorization": f"Bearer {SECRET}"})
    )
    sink.send(decision(), idempotency_key="id:0", deadline_s=5)
    assert receiver.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


def test_user_and_password_of_the_address_are_basic_authorization(
    receiver: AlertReceiver,
) -> None:
    sink = WebhookOutlet(f"http://me:p%40ss@{receiver.address}/")
    sink.send(decision(), idempotency_key="id:0", deadline_s=5)
    sent = receiver.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"me:p@ss"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_these_answers_mean_taken(receiver: AlertReceiver, status: int) -> None:
    receiver.usual = Answer(status=status)
    send(receiver)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [103, 408, 425, 429, 500, 502, 503, 504])
def test_these_answers_are_worth_another_attempt(receiver: AlertReceiver, status: int) -> None:
    error = failure(receiver, Answer(status=status))
    assert (error.is_permanent, error.is_unreachable, error.got) == (False, False, f"HTTP {status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_these_answers_are_permanent(receiver: AlertReceiver, status: int) -> None:
    assert failure(receiver, Answer(status=status)).is_permanent


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver: AlertReceiver, status: int) -> None:
    with AlertReceiver() as elsewhere:
        error = failure(receiver, Answer(status=status, headers={"Location": elsewhere.url}))
        assert error.is_permanent
        assert elsewhere.requests == []


def test_a_receiver_that_does_not_answer_in_time_is_unreachable(receiver: AlertReceiver) -> None:
    error = failure(receiver, Answer(waits=True), timeout_s=0.1)
    assert (error.is_unreachable, error.is_permanent) == (True, False)


def test_a_receiver_that_drips_is_cut_off(receiver: AlertReceiver) -> None:
    assert failure(receiver, Answer(drips=True), timeout_s=0.2).is_unreachable


def test_a_connection_that_is_closed_without_answer_is_unreachable(
    receiver: AlertReceiver,
) -> None:
    assert failure(receiver, Answer(status=0)).is_unreachable


def test_nobody_listening_is_unreachable() -> None:
    with AlertReceiver() as gone:
        url = gone.url
    with pytest.raises(DeliveryError) as caught:
        WebhookOutlet(url).send(decision(), idempotency_key="id:0", deadline_s=1)
    assert caught.value.is_unreachable


def test_a_huge_answer_is_not_read(receiver: AlertReceiver) -> None:
    receiver.usual = Answer(body=b"x" * (1 << 22))
    send(receiver)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "999999999999"}, 60.0),
        ({"Retry-After": "9" * 5000}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_honoured_up_to_a_cap(
    receiver: AlertReceiver, headers: dict[str, str], expected_s: float | None
) -> None:
    receiver.planned.append(Answer(status=503, headers=headers))
    sink = WebhookOutlet(receiver.url, WebhookOptions(retry_after_cap_s=60))
    with pytest.raises(DeliveryError) as caught:
        sink.send(decision(), idempotency_key="id:0", deadline_s=5)
    assert caught.value.retry_after_s == expected_s


def test_a_retry_date_in_the_past_means_at_once(receiver: AlertReceiver) -> None:
    past = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert failure(receiver, Answer(status=503, headers=past)).retry_after_s == 0.0


def test_a_retry_date_far_ahead_is_cut_to_the_cap(receiver: AlertReceiver) -> None:
    future = {"Retry-After": "Wed, 21 Oct 2199 07:28:00 GMT"}
    assert failure(receiver, Answer(status=503, headers=future)).retry_after_s == 300.0


@pytest.mark.parametrize("answer", [Answer(status=500), Answer(status=0), Answer(status=404)])
def test_no_secret_is_told(receiver: AlertReceiver, answer: Answer) -> None:
    receiver.planned.append(answer)
    sink = WebhookOutlet(
        f"http://{SECRET}:{SECRET}@{receiver.address}/services/{SECRET}?key={SECRET}",
        WebhookOptions(headers={"X-Api-Key": SECRET}),
    )
    with pytest.raises(DeliveryError) as caught:
        sink.send(decision(), idempotency_key="id:0", deadline_s=5)
    error = caught.value
    told = [repr(sink), str(error), repr(error), error.got, *traceback.format_exception(error)]
    assert not [text for text in told if SECRET in text]


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://{SECRET}@host/", f"{SECRET}", f"http:///{SECRET}", f"http://host:port/{SECRET}",
        f"http://host/{SECRET} x", f"http://host/{SECRET}\r\nX: y", f"http://host/{SECRET}/ü",
        f"http://[::1/{SECRET}", f"http://host:99999/{SECRET}",
    ],
)  # fmt: skip
def test_an_address_that_cannot_work_is_refused_unrepeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        WebhookOutlet(url)
    error = caught.value
    assert SECRET not in str(error)
    assert error.__suppress_context__ or error.__context__ is None  # urllib repeats the address


@pytest.mark.parametrize(
    "headers", [{"X-A": f"{SECRET}\r\nX-B: y"}, {"X A": SECRET}, {"": SECRET}, {"X": "ü" + SECRET}]
)
def test_a_header_that_cannot_work_is_refused_unrepeated(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        WebhookOutlet("http://host/", WebhookOptions(headers=headers))
    assert SECRET not in str(caught.value)


def test_a_delivery_error_survives_the_way_between_processes() -> None:
    error = DeliveryError(got="HTTP 429", where="host", is_permanent=True, retry_after_s=2.0)
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.is_permanent, twin.retry_after_s) == (str(error), True, 2.0)


def test_a_command_is_posted_with_its_key(receiver: AlertReceiver) -> None:
    deliver(WebhookOutlet(receiver.url), command(revision=2))
    assert receiver.requests[0].body == command(revision=2).canonical_bytes()
    assert receiver.requests[0].headers["Idempotency-Key"] == "c1:2"


def test_a_command_whose_answer_was_lost_takes_effect_once(receiver: AlertReceiver) -> None:
    receiver.planned.append(TAKEN_THEN_LOST)
    outlet = WebhookOutlet(receiver.url)
    with pytest.raises(DeliveryError):
        deliver(outlet, command())
    deliver(outlet, command())
    assert receiver.deliveries["c1:0"] == 2
    assert len(receiver.effects) == 1


def test_a_deadline_that_has_passed_is_a_failed_delivery(receiver: AlertReceiver) -> None:
    receiver.usual = Answer(waits=True)
    with pytest.raises(DeliveryError):
        send(receiver, timeout_s=-1.0)


def test_two_paths_of_one_host_have_two_names_and_neither_tells_the_path() -> None:
    names = {WebhookOutlet.shown(f"https://me:pw@hooks.example/{SECRET}/{n}") for n in range(2)}
    assert len(names) == 2
    assert not [name for name in names if SECRET in name or "pw" in name]
