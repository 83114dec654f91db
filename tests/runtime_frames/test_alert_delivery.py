"""Alerts beside the loop: a failure of the outbox is told once, and never lost."""

import time

import pytest
from sightline.runtime.frames.alert_delivery import AlertDelivery

from sightline.errors import SightlineError
from sightline.limits import DEFAULT_LIMITS


class Taking:
    def send(self, decision, *, idempotency_key):
        pass


def test_a_ledger_that_cannot_be_opened_is_told_once(tmp_path):
    delivery = AlertDelivery(
        f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite'}",
        {"one": Taking()},
        wall_ns=time.time_ns,
        sleep_s=time.sleep,
        limits=DEFAULT_LIMITS,
    )
    with delivery:
        pass
    with pytest.raises(SightlineError):
        delivery.check()
    delivery.check()
