"""The address of a broker: where it is, what is read or written there, and who asks.

``SCHEME://[USER[:PASSWORD]@]HOST[:PORT]/NAME[/REST]``. User, password and certificates may stand in
environment variables instead, ``SIGHTLINE_NATS_USER`` and so on, which is where they belong.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from sightline.errors import UsageError

PORTS: Mapping[str, int] = MappingProxyType(
    {
        **{"nats": 4222, "nats+tls": 4222, "kafka": 9092, "kafka+tls": 9093},
        **{"amqp": 5672, "amqp+stream": 5672, "amqps": 5671, "amqps+stream": 5671},
        **{"mqtt": 1883, "mqtts": 8883},
    }
)
"""Schemes, and the port of each where none is given."""
_ENCRYPTED = frozenset({"nats+tls", "kafka+tls", "amqps", "amqps+stream", "mqtts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is and who asks. Neither credentials nor options are ever shown.

    Attributes:
        scheme: one of :data:`PORTS`.
        host, port: of the broker.
        name: stream, topic or queue.
        rest: what follows the name: a subject, a share; ``""`` where nothing does.
        username, password: None where the broker asks for none.
        ca_file, certificate_file, key_file: paths of PEM files; ``""``: the system's, or none.

    >>> address = BrokerAddress.parse("nats://me:secret@gate:4223/TELEMETRY/t.>", environment={})
    >>> str(address), address.name, address.rest
    ('nats://gate:4223/TELEMETRY/t.>', 'TELEMETRY', 't.>')
    """

    scheme: str
    host: str
    port: int
    name: str
    rest: str = ""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "/".join(filter(None, [f"{self.scheme}://{self.server}", self.name, self.rest]))

    @property
    def server(self) -> str:
        """``HOST:PORT``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_encrypted(self) -> bool:
        """Whether the scheme asks for TLS."""
        return self.scheme in _ENCRYPTED

    @classmethod
    def parse(cls, location: str, *, environment: Mapping[str, str] | None = None) -> BrokerAddress:
        """Read an address; what it lacks of user, password and certificates is looked up.

        Args:
            location: as the user gave it. No error repeats it.
            environment: variables; None: those of this process.

        Raises:
            UsageError: it is none.
        """
        known = os.environ if environment is None else environment
        try:
            parts = urlsplit(location)
            port = parts.port
        except ValueError:
            raise _unusable("an address with a port from 1 to 65535", "another one") from None
        scheme = parts.scheme.lower()
        if scheme not in PORTS:
            raise _unusable(f"an address that begins with {', '.join(PORTS)}", "another one")
        name, _, rest = unquote(parts.path).strip("/").partition("/")
        if not parts.hostname or not name or port == 0:
            raise _unusable(f"{scheme}://HOST[:PORT]/NAME", "an address without host or name")
        if parts.query or parts.fragment:
            raise _unusable("an address without ? and #", "one with", "give options as options")

        def of(what: str) -> str:
            prefix = scheme.partition("+")[0]
            prefix = {"amqps": "amqp", "mqtts": "mqtt"}.get(prefix, prefix)
            return known.get(f"SIGHTLINE_{prefix.upper()}_{what}", "")

        user = unquote(parts.username) if parts.username else of("USER")
        password = unquote(parts.password) if parts.password else of("PASSWORD")
        if password and not user and not scheme.startswith("nats"):
            raise _unusable("a user for the password", "none", "give both, or neither")
        return cls(
            scheme=scheme,
            host=parts.hostname,
            port=port or PORTS[scheme],
            name=name,
            rest=rest,
            username=user or None,
            password=password or None,
            ca_file=of("CA_FILE"),
            certificate_file=of("CERTIFICATE_FILE"),
            key_file=of("KEY_FILE"),
        )

    def tls(self) -> ssl.SSLContext | None:
        """The context that verifies the broker; None where the scheme is not encrypted.

        Raises:
            UsageError: a certificate or key that cannot be read.
        """
        if not self.is_encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(
                "certificates in PEM files",
                f"{type(error).__name__}: {error.strerror or 'not one of them'}",
                "check the files named by SIGHTLINE_…_CA_FILE, _CERTIFICATE_FILE and _KEY_FILE",
            ) from error
        return context


def _unusable(expected: str, got: str, action: str = "mend the address") -> UsageError:
    return UsageError(expected=expected, got=got, where="address of a broker", action=action)
