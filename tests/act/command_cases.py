"""Commands, a machine that listens to a real broker, and a network cable that can be cut."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt

from sightline.act import CommandReceiver, Outlet, Reception
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S

WAIT_S = 10.0
"""Longest wait for something that must happen; nothing waits that long when it works."""

REASON = Reason(
    code="TIME_TO_CONTACT",
    measure="time_to_contact",
    value=0.8,
    threshold=2.0,
    unit="s",
    version="risk-1",
)


def command(
    command_id: str = "c1",
    *,
    level: CommandLevel = CommandLevel.STOP,
    machine: str = "saw",
    issued_ns: int = 0,
    valid_s: float = 5.0,
    revision: int = 0,
    reasons: tuple[Reason, ...] = (REASON,),
) -> ActuatorCommand:
    return ActuatorCommand(
        command_id=command_id,
        machine=machine,
        level=level,
        issued_ns=issued_ns,
        valid_until_ns=issued_ns + round(valid_s * NS_PER_S),
        revision=revision,
        reasons=reasons,
        mode=Mode.PRIMARY,
    )


def deliver(outlet: Outlet, sent: ActuatorCommand, *, deadline_s: float = 5.0) -> None:
    outlet.send(sent, idempotency_key=sent.idempotency_key, deadline_s=deadline_s)


class ListeningMachine:
    """A machine on the broker: takes commands and heeds the controller's last will.

    Attributes:
        receiver: holds what was taken.
        receptions: what became of each command that arrived, in order.
        states: the controller's states that arrived, in order.
    """

    def __init__(self, port: int, prefix: str, machine: str = "saw") -> None:
        self.receiver = CommandReceiver(machine)
        self.receptions: list[Reception] = []
        self.states: list[str] = []
        self._prefix = prefix
        self._changed = threading.Condition()
        self._is_listening = False
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{prefix}/#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_for(lambda: self._is_listening)

    def wait_for(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, WAIT_S), (self.receptions, self.states)

    def close(self) -> None:
        for topic in (f"machines/{self.receiver.machine}/command", "controllers/c/state"):
            self._client.publish(f"{self._prefix}/{topic}", b"", retain=True).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: Any) -> None:
        with self._changed:
            self._is_listening = True
            self._changed.notify_all()

    def _on_message(self, _c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            if not message.payload:
                return
            if message.topic.endswith("/command"):
                self.receptions.append(self.receiver.take(message.payload, now_ns=time.time_ns()))
            else:
                self.states.append(json.loads(message.payload)["state"])
                if self.states[-1] == "lost":
                    self.receiver.controller_lost()
            self._changed.notify_all()


class Cable:
    """A TCP connection to ``port`` that can be cut and mended, or made to lose the answers.

    Attributes:
        port: where to connect.
        loses_answers: swallows what comes back; what goes out still arrives.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.loses_answers = False
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            held = list(self._sockets)
        for sock in held:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def mend(self) -> None:
        self.loses_answers = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self._listener)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            with self._lock:
                self._sockets |= {near, far}
            self._start(self._pump, near, far, False)
            self._start(self._pump, far, near, True)

    def _pump(self, source: socket.socket, drain: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if not (is_answer and self.loses_answers):
                    drain.sendall(data)
        for sock in (source, drain):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    cable = Cable(port)
    try:
        yield cable
    finally:
        cable.cut()
