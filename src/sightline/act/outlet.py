"""Outlets: where alerts and commands go, found by the scheme of their address.

An outlet is a class: the schemes it opens, what it takes, its options, and one way to send. A
package brings its own under the entry-point group ``sightline.outlets``, a pipeline names a module
under ``plugins``; nothing in Sightline knows an outlet by name.

How often something is tried again is a value of the outlet for alerts (:class:`Retry`): an alert
waits in the ledger's outbox until it is taken. Of commands only the newest counts: one
that waits gives way to a newer one, and none is tried again, because a command that arrives late is
worse than none. A machine that hears nothing stops by itself.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, Literal, Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.errors import SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.registry import Registry

Taken = Literal["alerts", "commands"]
"""What an outlet can take."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_MAX_DOUBLINGS = 64
_TRANSLATED: Mapping[str, str] = MappingProxyType(
    {"alertmanager": "AlertmanagerOutlet", "pagerduty": "PagerDutyOutlet", "slack": "SlackOutlet"}
)
"""Whose webhook an address is, and the class that speaks to it."""


class Sayable(Protocol):
    """A decision, a message of an alert desk, or a command to a machine."""

    def canonical_bytes(self) -> bytes:
        """One JSON object, UTF-8, without a line break."""


class DeliveryError(SinkError):
    """Something was not taken. ``got`` is kept in the outbox, so it must hold no secret.

    Attributes:
        is_permanent: trying again cannot help.
        is_unreachable: there was no answer at all, so other alerts would fare no better.
        retry_after_s: how long the receiver asked to be left alone; None where it did not.
    """

    def __init__(
        self,
        *,
        got: str,
        where: str,
        expected: str = "the alert to be taken",
        action: str = "mend the receiver; the alert stays in the outbox",
        is_permanent: bool = False,
        is_unreachable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(expected=expected, got=got, where=where, action=action)
        self.is_permanent = is_permanent
        self.is_unreachable = is_unreachable
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = partial(
            DeliveryError,
            expected=self.expected, got=self.got, where=self.where, action=self.action,
            is_permanent=self.is_permanent, is_unreachable=self.is_unreachable,
            retry_after_s=self.retry_after_s,
        )  # fmt: skip
        return (rebuild, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often something is tried, and the waits in between: exponential, spread by a hash.

    The jitter is a hash of the key, so that waits of many alerts are spread out and yet the same
    in every run.

    Attributes:
        attempts: after so many failed ones it is given up; None: it never is.
        first_wait_s: wait after the first failed attempt, before jitter.
        factor: growth per further attempt, at least 1.
        most_wait_s: longest wait.

    Raises:
        UsageError: no attempt at all, or a wait that is not positive, or shrinks.

    >>> Retry(first_wait_s=1.0, factor=2.0, most_wait_s=60.0).wait_s(3, key="a") <= 4.0
    True
    """

    attempts: int | None = None
    first_wait_s: float = 0.5
    factor: float = 2.0
    most_wait_s: float = 60.0

    def __post_init__(self) -> None:
        is_sound = 0 < self.first_wait_s <= self.most_wait_s and self.factor >= 1
        if not (is_sound and (self.attempts is None or self.attempts >= 1)):
            raise UsageError(
                expected="attempts >= 1 (or None), 0 < first_wait_s <= most_wait_s, factor >= 1",
                got=f"{self}",
                where="retry policy",
                action="mend the numbers",
            )

    def wait_s(self, attempts: int, *, key: str) -> float:
        """Seconds to wait after ``attempts`` failed ones (from 1): half to all of the full wait."""
        doublings = min(attempts - 1, _MAX_DOUBLINGS)  # beyond it a float could overflow
        full_s = min(self.first_wait_s * self.factor**doublings, self.most_wait_s)
        digest = hashlib.blake2b(f"{key}:{attempts}".encode(), digest_size=2).digest()
        return full_s * (0.5 + 0.5 * int.from_bytes(digest, "big") / 0xFFFF)


class OutletOptions(BaseModel):
    """Options of an outlet: none. Subclasses add fields, each with a docstring and a default.

    A field that holds a secret is a ``SecretStr``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Outlet(ABC):
    """A way out: to a file, a web server, a broker. Each idempotency key takes effect once.

    An outlet that a program makes itself and hands to a run needs nothing but :meth:`send`.

    Attributes:
        schemes: beginnings of the addresses it opens, lower case: ``("http", "https")``.
        takes: ``"alerts"``, ``"commands"`` or both.
        options: the class of its options.
        retry: how often an alert is tried. Commands are always newest only.
        attempts_at_once: commands that may be under way at the same time, so that one that hangs
            holds up no newer one. More than 1 only where :meth:`send` may be called by several
            threads.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)
    options: ClassVar[type[OutletOptions]] = OutletOptions
    retry: Retry = Retry()
    attempts_at_once: int = 1

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """Open the address ``location``, with its scheme.

        Args:
            location: as given. It may hold a secret, so no error repeats it.
            name: what this outlet is known by: in the ledger, in reports, to the receiver.
            options: an instance of the class's ``options``.
            limits: ``delivery_timeout_s`` and others.

        Raises:
            UsageError: an address that cannot work.
            SinkError: a place that cannot be opened.
        """
        raise UsageError(
            expected="an outlet that opens addresses",
            got=cls.__name__,
            where=name,
            action="override open() in this class",
        )

    @classmethod
    def shown(cls, location: str) -> str:
        """``location`` without user, password and query, to be named by."""
        scheme, _, rest = location.partition(":")
        if not rest.startswith("//"):
            return f"{scheme.lower()}:{rest.partition('?')[0]}"
        parts = urlsplit(location)
        host = parts.netloc.rpartition("@")[2]
        return f"{scheme.lower()}://{host}{parts.path}".rstrip("/")

    @abstractmethod
    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Hand over one thing; returning means that the receiver has it for good.

        Of a command: that the next station has it. Whether the machine obeys is for it to say.

        Args:
            said: what to send.
            idempotency_key: the same at every attempt; ``decision_id:revision``,
                ``command_id:revision`` or the id of a notice.
            deadline_s: time from now in which it is of use; give up within about this time.

        Raises:
            SinkError: not taken. A :class:`DeliveryError` says more.
        """

    def close(self) -> None:  # noqa: B027 - most outlets hold nothing open
        """Let go in good order; nothing to do where nothing is held open."""


def outlet_registry(plugins: Sequence[ModuleType] = ()) -> Registry[Outlet]:
    """The outlets that are installed, by scheme.

    Args:
        plugins: modules that a pipeline names.

    Raises:
        PipelineError: a scheme is taken twice.

    >>> "jsonl" in outlet_registry(), "pigeon" in outlet_registry()
    (True, False)
    """
    return Registry(
        "outlet",
        Outlet,  # type: ignore[type-abstract]
        built_in={
            "http": "sightline.act.webhook:WebhookOutlet",
            "https": "sightline.act.webhook:WebhookOutlet",
            **{
                f"{whose}+{scheme}": f"sightline.act.webhook_bodies:{outlet}"
                for whose, outlet in _TRANSLATED.items()
                for scheme in ("http", "https")
            },
            "jsonl": "sightline.act.json_lines:JsonLinesOutlet",
            "modbus": "sightline.act.line_controllers:ModbusOutlet",
            **dict.fromkeys(
                ("nats", "nats+tls", "kafka", "kafka+tls"),
                "sightline.act.broker_outlet:BrokerOutlet",
            ),
            **dict.fromkeys(
                ("amqp", "amqps", "amqp+stream", "amqps+stream"),
                "sightline.act.broker_outlet:BrokerOutlet",
            ),
            "mqtt": "sightline.act.mqtt:MqttOutlet",
            "mqtts": "sightline.act.mqtt:MqttOutlet",
            "sparkplug": "sightline.act.sparkplug:SparkplugOutlet",
            "sparkplugs": "sightline.act.sparkplug:SparkplugOutlet",
            "opc.tcp": "sightline.act.line_controllers:OpcUaOutlet",
        },
        group="sightline.outlets",
        plugins=plugins,
        names=lambda found: found.schemes,
    )


def open_outlet(
    location: str,
    *,
    use: Taken,
    where: str,
    name: str = "",
    options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    registry: Registry[Outlet] | None = None,
) -> tuple[str, Outlet]:
    """Find the outlet of an address and open it.

    Args:
        location: ``scheme:…``.
        use: what it shall take.
        where: for errors: the option or file that names it.
        name: what it is known by; ``""``: its address without what may be secret.
        options: of the outlet, by name.
        limits: of the run.
        registry: of outlets; None: without plugins.

    Returns:
        Its name, and the outlet.

    Raises:
        UsageError: no such scheme, options it does not have, or a use it is not made for.
        PipelineError: what it needs is not installed.
        SinkError: a place that cannot be opened.
    """
    known = outlet_registry() if registry is None else registry
    scheme = location.partition(":")[0].lower()
    if scheme not in known or ":" not in location:
        # Never the location: it may hold a password.
        raise UsageError(
            expected=f"an address that begins with {', '.join(f'{s}:' for s in known)}",
            got=f"{scheme}:" if ":" in location and _SCHEME.fullmatch(scheme) else "another one",
            where=where,
            action="mend it, or install the package that brings the outlet",
        )
    found = known.find(scheme, where=where)
    if use not in found.takes:
        raise UsageError(
            expected=f"an outlet that takes {use}",
            got=f"{scheme}:, which takes {' and '.join(found.takes)}",
            where=where,
            action="give another address",
        )
    try:
        chosen = found.options.model_validate(dict(options or {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UsageError(
            expected=f"options of the outlet {scheme}:",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=where,
            action=f"it has: {', '.join(found.options.model_fields) or 'none'}",
        ) from None  # the cause repeats what was given
    name = name or found.shown(location)
    return name, found.open(location, name=name, options=chosen, limits=limits)
