"""Whether a broker, receiver or bucket answers, lets us in, and keeps what it takes.

Each kind of service is asked through its own client, which is imported when it is needed: without
it the answer says which extra to install. User and password stand in the address, or in
``SIGHTLINE_<KIND>_USER`` and ``…_PASSWORD`` (NATS, AMQP, MQTT, KAFKA). Nothing is published and
nothing is made on the other side.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from sightline.limits import Limits
from sightline.records.signals import NS_PER_S

_SHOWN_CHARS = 200
_BODY_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service said.

    Attributes:
        where: its address, without what may be secret.
        state: how it is.
        found: what is there, for a person.
        remedy: what to do; ``""``: nothing.
        time_ns: its clock, where it tells; UTC ns, cut to whole seconds.
    """

    where: str
    state: Literal["ok", "warning", "fault", "skipped"]
    found: str
    remedy: str = ""
    time_ns: int | None = None


class _Refused(Exception):  # one outcome of asking, not an error of a run
    """User or password were not taken."""


def ask_service(address: str, *, limits: Limits) -> Answer:
    """Ask the service at ``address``: nats, amqp, kafka, mqtt, http, each also with TLS.

    ``nats+http://HOST:8222`` is the monitoring port of a NATS server, which also says whether
    JetStream acknowledges only what is on the disk.

    >>> ask_service("gopher://here", limits=Limits()).state
    'skipped'
    """
    try:
        parts = urlsplit(address)
        shown = f"{parts.scheme}://{parts.hostname or ''}" + (
            f":{parts.port}" if parts.port else ""
        )
    except ValueError:  # it may hold a password, so it is not repeated
        return Answer(
            where="a service",
            state="fault",
            found="an address that cannot be read",
            remedy="write SCHEME://HOST:PORT; a / or @ in a password is written %2F or %40",
        )
    asked = _ASKED.get(parts.scheme)
    if asked is None:
        return Answer(
            where=shown,
            state="skipped",
            found="a kind of address that is not looked at",
            remedy=f"these are: {', '.join(sorted(_ASKED))}",
        )
    kind, ask = asked
    return _answer(kind, partial(ask, parts, shown, limits.doctor_answer_s), shown)


def _answer(kind: str, ask: Callable[[], Answer], shown: str) -> Answer:
    try:
        return ask()
    except ModuleNotFoundError as error:
        found, remedy = f"cannot be asked without {error.name}", "pip install 'sightline[brokers]'"
        return Answer(where=shown, state="skipped", found=found, remedy=remedy)
    except _Refused:
        found = "user or password refused"
        remedy = f"mend them in the address, or in SIGHTLINE_{kind}_USER and …_PASSWORD"
    except ssl.SSLError as error:
        found = f"its certificate was refused: {error.reason or 'TLS failed'}"
        remedy = "give the certificates to verify it by, or use the address without TLS"
    except (OSError, TimeoutError, http.client.HTTPException) as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        found = f"no answer: {what}"
        remedy = "start it, open its port in the firewall, or mend host and port"
    return Answer(where=shown, state="fault", found=found[:_SHOWN_CHARS], remedy=remedy)


def _credentials(parts: SplitResult, kind: str) -> tuple[str | None, str | None]:
    user = unquote(parts.username) if parts.username else os.environ.get(f"SIGHTLINE_{kind}_USER")
    given = unquote(parts.password) if parts.password else None
    return user, given or os.environ.get(f"SIGHTLINE_{kind}_PASSWORD")


def _reach(parts: SplitResult, port: int, timeout_s: float) -> None:
    """Raise OSError unless somebody listens there: clients say less well why they cannot."""
    host = parts.hostname or "localhost"
    with socket.create_connection((host, parts.port or port), timeout_s):
        pass


# --- NATS -----------------------------------------------------------------------------------------


def _ask_nats(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    import nats  # noqa: PLC0415 - an extra
    import nats.errors  # noqa: PLC0415
    from nats.js.errors import APIError, ServiceUnavailableError  # noqa: PLC0415

    _reach(parts, 4222, timeout_s)
    user, password = _credentials(parts, "NATS")
    refused = []

    async def heard(error: Exception) -> None:
        refused.append(str(error))

    async def ask() -> bool:
        client = await nats.connect(
            f"{'tls' if parts.scheme == 'tls' else 'nats'}://{parts.hostname}:{parts.port or 4222}",
            user=user,
            password=password,
            allow_reconnect=False,
            connect_timeout=timeout_s,
            error_cb=heard,
        )
        try:
            await client.jetstream().account_info()
        except (APIError, ServiceUnavailableError, nats.errors.Error):
            return False
        finally:
            await client.close()
        return True

    try:
        has_jetstream = asyncio.run(asyncio.wait_for(ask(), 2 * timeout_s))
    except nats.errors.Error as error:
        said = " ".join([str(error), *refused]).lower()
        if "authorization" in said or "authentication" in said:
            raise _Refused from error
        raise OSError(type(error).__name__) from error
    if not has_jetstream:
        return Answer(
            where=shown,
            state="warning",
            found="no JetStream: what nobody reads is gone",
            remedy="start the server with jetstream enabled (nats-server -js), or read it as live",
        )
    return Answer(where=shown, state="ok", found="lets us in, has JetStream")


def _ask_nats_monitoring(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    with closing(
        http.client.HTTPConnection(parts.hostname or "", parts.port or 8222, timeout=timeout_s)
    ) as connection:
        connection.request("GET", "/varz")
        try:
            told = json.loads(connection.getresponse().read(_BODY_BYTES))
            config = told.get("jetstream", {}).get("config") or {}
        except (ValueError, AttributeError):
            return Answer(
                where=shown,
                state="fault",
                found="no monitoring port of a NATS server",
                remedy="give the port of `http:` in its configuration, usually 8222",
            )
    if not config:
        return Answer(
            where=shown,
            state="warning",
            found="no JetStream: what nobody reads is gone",
            remedy="write `jetstream {}` into its configuration",
        )
    if not config.get("sync_always"):
        return Answer(
            where=shown,
            state="warning",
            found="acknowledges before it is on the disk: a power cut loses what it acknowledged",
            remedy="write `jetstream { sync_interval: always }` into its configuration",
        )
    return Answer(where=shown, state="ok", found="acknowledges what is on the disk")


# --- RabbitMQ, Kafka, MQTT ------------------------------------------------------------------------


def _ask_amqp(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    import aio_pika  # noqa: PLC0415 - an extra
    from aio_pika.exceptions import AMQPError, ProbableAuthenticationError  # noqa: PLC0415

    _reach(parts, 5671 if parts.scheme == "amqps" else 5672, timeout_s)
    user, password = _credentials(parts, "AMQP")

    async def ask() -> None:
        connection = await aio_pika.connect(
            host=parts.hostname or "localhost",
            port=parts.port or (5671 if parts.scheme == "amqps" else 5672),
            login=user or "guest",
            password=password or "guest",
            virtualhost=unquote(parts.path[1:]) or "/",
            ssl=parts.scheme == "amqps",
            timeout=timeout_s,
        )
        await connection.close()

    try:
        asyncio.run(asyncio.wait_for(ask(), 2 * timeout_s))
    except ProbableAuthenticationError as error:
        raise _Refused from error
    except AMQPError as error:
        raise OSError(str(error)[:_SHOWN_CHARS] or type(error).__name__) from error
    return Answer(where=shown, state="ok", found="lets us in")


def _ask_kafka(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    _reach(parts, 9092, timeout_s)
    user, password = _credentials(parts, "KAFKA")
    settings: dict[str, Any] = {
        "bootstrap.servers": f"{parts.hostname}:{parts.port or 9092}",
        "log_level": 0,
    }
    if user:
        settings |= {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": password or "",
        }
    try:
        topics = AdminClient(settings).list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        if "AUTHENTICATION" in str(error).upper():
            raise _Refused from error
        raise OSError(str(error)[:_SHOWN_CHARS]) from error
    return Answer(where=shown, state="ok", found=f"lets us in, {len(topics)} topics")


def _ask_mqtt(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    from paho.mqtt.client import Client  # noqa: PLC0415 - an extra
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: PLC0415

    port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    _reach(parts, port, timeout_s)
    user, password = _credentials(parts, "MQTT")
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_timeout = timeout_s
    if parts.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context())
    if user is not None:
        client.username_pw_set(user, password)
    said: list[Any] = []
    is_heard = threading.Event()

    def connected(_client: object, _data: object, _flags: object, reason: Any, _more: Any) -> None:
        said.append(reason)
        is_heard.set()

    client.on_connect = connected
    client.connect(parts.hostname or "localhost", port)
    client.loop_start()
    try:
        if not is_heard.wait(timeout_s):
            raise TimeoutError("it takes the connection and says nothing")
    finally:
        client.disconnect()
        client.loop_stop()
    if said[0].is_failure:
        raise _Refused
    return Answer(where=shown, state="ok", found="lets us in")


# --- web servers ----------------------------------------------------------------------------------


def _ask_http(parts: SplitResult, shown: str, timeout_s: float) -> Answer:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=timeout_s)) as connection:
        connection.request("HEAD", "/")
        reply = connection.getresponse()
        date = reply.getheader("Date")
    try:
        time_ns = round(parsedate_to_datetime(date).timestamp()) * NS_PER_S if date else None
    except ValueError:
        time_ns = None
    return Answer(where=shown, state="ok", found="answers", time_ns=time_ns)


_Ask = Callable[[SplitResult, str, float], Answer]
_ASKED: Mapping[str, tuple[str, _Ask]] = {
    "nats": ("NATS", _ask_nats),
    "tls": ("NATS", _ask_nats),
    "nats+http": ("NATS", _ask_nats_monitoring),
    "amqp": ("AMQP", _ask_amqp),
    "amqps": ("AMQP", _ask_amqp),
    "kafka": ("KAFKA", _ask_kafka),
    "mqtt": ("MQTT", _ask_mqtt),
    "mqtts": ("MQTT", _ask_mqtt),
    "http": ("HTTP", _ask_http),
    "https": ("HTTP", _ask_http),
}
"""How a service of each scheme is asked."""
