"""Where an MQTT broker is, and how it is entered."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Address and credentials of a broker. The credentials are not shown.

    Attributes:
        host, port: of the broker.
        username, password: None where the broker asks for none.
        tls: context that verifies the broker; None: no encryption, and a password goes in clear.
        keepalive_s: silence after which either side takes the connection for dead.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 10

    def __repr__(self) -> str:
        return f"BrokerAddress({self.host}:{self.port})"
