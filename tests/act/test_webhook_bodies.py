"""What other houses are told: an alert and its end under one key, in their words."""

import http.server
import json
import threading

import pytest

from sightline.act.outlet import open_outlet
from sightline.errors import UsageError

ALERT = {
    "kind": "alert", "message_id": "desk-1", "subject": "sat-2/bus_v", "code": "HIGH",
    "severity": "critical", "text": "CRITICAL sat-2/bus_v: HIGH & <dry>", "pipeline": "ab",
    "at_ns": 2_000_000_000, "since_ns": 1_000_000_000, "until_ns": None,
}  # fmt: skip
OVER = {
    **ALERT, "kind": "over", "message_id": "desk-2", "update_of": "desk-1",
    "at_ns": 9_000_000_000, "until_ns": 8_000_000_000,
}  # fmt: skip
DECISION = {
    "decision_id": "0123456789abcdef", "kind": "low", "subject": "pump", "transition": "raised",
    "status": "issued", "severity": "warning", "pipeline": "ab", "event_ns": 5_000_000_000,
    "reasons": [
        {"code": "LOW", "measure": "level.mean", "value": 1.5, "threshold": 2, "unit": "m"}
    ],
}  # fmt: skip


class Told:
    def __init__(self, plain):
        self.plain = plain

    def canonical_bytes(self):
        return json.dumps(self.plain).encode()


@pytest.fixture
def receiver():
    """Address of a server, and what it was sent: (path, JSON)."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()
    thread.join()


def send(location, *said):
    _, outlet = open_outlet(location, use="alerts", where="test")
    for plain in said:
        outlet.send(Told(plain), idempotency_key="k", deadline_s=5)


def test_slack_gets_one_line_with_its_control_characters_escaped(receiver):
    address, got = receiver
    send(f"slack+http://{address}/services/T/B/x", ALERT)
    assert got == [
        ("/services/T/B/x", {"text": "CRITICAL sat-2/bus_v: HIGH &amp; &lt;dry&gt;"}),
    ]


def test_alertmanager_gets_the_end_under_the_labels_of_the_beginning(receiver):
    address, got = receiver
    send(f"alertmanager+http://{address}", ALERT, OVER)
    (path, [first]), (_, [last]) = got
    assert path == "/api/v2/alerts"
    assert first["labels"] == last["labels"]
    assert first["labels"]["alertname"] == "HIGH"
    assert (first["startsAt"], "endsAt" in first) == ("1970-01-01T00:00:01.000Z", False)
    assert last["endsAt"] == "1970-01-01T00:00:08.000Z"


def test_pagerduty_is_triggered_and_resolved_under_one_key(receiver):
    address, got = receiver
    send(f"pagerduty+http://R0UT1NG@{address}", ALERT, OVER)
    (path, first), (_, last) = got
    assert path == "/v2/enqueue"
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert (first["routing_key"], first["payload"]["severity"]) == ("R0UT1NG", "critical")


def test_a_decision_without_a_desk_says_value_threshold_and_unit(receiver):
    address, got = receiver
    send(f"slack+http://{address}/x", DECISION)
    text = got[0][1]["text"]
    assert "level.mean 1.5 m (threshold 2 m)" in text
    assert "sightline explain RUN 01234567" in text


def test_a_cleared_decision_resolves_what_the_raised_one_triggered(receiver):
    address, got = receiver
    over = {**DECISION, "transition": "cleared", "decision_id": "f" * 16}
    send(f"pagerduty+http://k@{address}", DECISION, over)
    (_, first), (_, last) = got
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]


def test_the_name_of_a_receiver_holds_neither_key_nor_path():
    for location in ("pagerduty+https://s3cret@events.pagerduty.com",
                     "slack+https://hooks.slack.com/services/T/B/s3cret"):  # fmt: skip
        name, outlet = open_outlet(location, use="alerts", where="test")
        assert "s3cret" not in f"{name}{outlet!r}"
        assert name.partition("+")[0] in ("pagerduty", "slack")


def test_pagerduty_without_a_key_says_where_it_goes():
    with pytest.raises(UsageError, match="KEY@events"):
        open_outlet("pagerduty+https://events.pagerduty.com", use="alerts", where="test")
