"""A real HTTP server that takes alerts, and fails on command."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the receiver treats one request.

    Attributes:
        status: HTTP status; 0 closes the connection without an answer.
        takes_effect: whether the alert is acted on before answering.
        headers: further headers of the answer.
        body: of the answer.
        waits: holds the answer until the receiver is closed, so that the sender times out.
        drips: then sends header bytes one by one for ever, so that no read ever times out.
    """

    status: int = 200
    takes_effect: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    waits: bool = False
    drips: bool = False


TAKEN = Answer()
BROKEN = Answer(status=503, takes_effect=False)
TAKEN_THEN_LOST = Answer(status=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


class AlertReceiver:
    """Makes each idempotency key take effect once, as receivers are asked to.

    Attributes:
        planned: answers to the next requests; when it is empty, :attr:`usual` is given.
        requests: everything that arrived, in order.
        effects: decisions that took effect, by idempotency key, in order.
        deliveries: how often each key was acted on or recognised.
    """

    def __init__(self) -> None:
        self.planned: deque[Answer] = deque()
        self.usual = TAKEN
        self.requests: list[Request] = []
        self.effects: dict[str, dict[str, Any]] = {}
        self.deliveries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/alerts"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        key = handler.headers["Idempotency-Key"]
        with self._lock:
            answer = self.planned.popleft() if self.planned else self.usual
            self.requests.append(
                Request(path=handler.path, headers=dict(handler.headers), body=body)
            )
            if answer.takes_effect:
                self.deliveries[key] += 1
                self.effects.setdefault(key, json.loads(body))
        if answer.waits:
            self._closing.wait()
        if answer.drips:
            self._drip(handler)
        if answer.waits or answer.drips or answer.status == 0:
            handler.close_connection = True
            return
        # A sender that reads no more than it wants to is right to hang up.
        with contextlib.suppress(ConnectionError):
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(ConnectionError):  # the sender gives up, as it should
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self._closing.wait(0.02):
                handler.wfile.write(b"x")
