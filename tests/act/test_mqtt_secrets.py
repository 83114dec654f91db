"""A broker of our own with passwords and encryption; skipped where Mosquitto is not installed."""

from __future__ import annotations

import getpass
import shutil
import socket
import ssl
import subprocess
import sys
import time
import traceback

import pytest

from act.command_cases import WAIT_S, command, deliver
from sightline.act import DeliveryError, open_outlet
from sightline.act.mqtt import BrokerAddress, MqttOutlet
from sightline.errors import PipelineError
from sightline.records.signals import NS_PER_S

USER, PASSWORD = "controller", "s3cret-pass"


@pytest.fixture
def broker(tmp_path):
    """(port, certificate) of a broker that wants a password over TLS."""
    for tool in ("mosquitto", "mosquitto_passwd", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"MQTT over TLS not tested: {tool} is not installed")
    key, certificate, passwords = (tmp_path / name for name in ("key.pem", "cert.pem", "passwords"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
         certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    passwords.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", passwords, USER, PASSWORD], check=True, capture_output=True
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous false\n"
        f"password_file {passwords}\nkeyfile {key}\ncertfile {certificate}\n"
    )
    log = (tmp_path / "log").open("wb")
    running = subprocess.Popen(["mosquitto", "-c", config], stdout=log, stderr=log)
    try:
        deadline_ns = time.time_ns() + round(WAIT_S * NS_PER_S)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert running.poll() is None, (tmp_path / "log").read_text()
                assert time.time_ns() < deadline_ns
                time.sleep(0.05)
        yield port, certificate
    finally:
        running.terminate()
        running.wait()
        log.close()


def make(port, *, tls, password=PASSWORD):
    return MqttOutlet(
        BrokerAddress(host="localhost", port=port, username=USER, password=password, tls=tls),
        prefix="p",
        controller="c",
        wall_ns=time.time_ns,
        timeout_s=3.0,
    )


def refusal(actuator):
    with pytest.raises(DeliveryError) as caught:
        deliver(actuator, command(issued_ns=time.time_ns()))
    return caught.value


def test_a_command_goes_out_over_tls_with_a_password(broker):
    port, certificate = broker
    actuator = make(port, tls=ssl.create_default_context(cafile=str(certificate)))
    deliver(actuator, command(issued_ns=time.time_ns()))
    actuator.close()


def test_a_wrong_password_is_refused_and_not_repeated(broker):
    port, certificate = broker
    context = ssl.create_default_context(cafile=str(certificate))
    error = refusal(make(port, tls=context, password="wr0ng-pass"))
    assert error.got == "refused: Not authorized"
    told = "".join(traceback.format_exception(error))
    assert "wr0ng-pass" not in told


def test_a_broker_that_cannot_prove_itself_is_not_entered(broker):
    port, _ = broker
    error = refusal(make(port, tls=ssl.create_default_context()))
    assert "CERTIFICATE_VERIFY_FAILED" in error.got


def test_credentials_are_not_shown():
    address = BrokerAddress(host="h", port=8883, username=USER, password=PASSWORD)
    shown = repr(address) + repr(
        MqttOutlet(address, prefix="p", controller="c", wall_ns=time.time_ns)
    )
    assert PASSWORD not in shown
    assert USER not in shown


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.delitem(sys.modules, "sightline.act.mqtt", raising=False)
    with pytest.raises(PipelineError, match="brokers"):
        open_outlet("mqtt://h/p", use="commands", where="test")
