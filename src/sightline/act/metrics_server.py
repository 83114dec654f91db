"""``/metrics`` and ``/healthz`` over HTTP, for as long as a run lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

from prometheus_client import CONTENT_TYPE_LATEST

from sightline.act.metrics import RunMetrics
from sightline.errors import UsageError

Page = tuple[str, Callable[[], bytes]]
"""Content type, and what gives the body."""


class MetricsServer:
    """Serves until it is closed; a context manager. Made by :func:`serve_metrics`.

    Attributes:
        host: address it listens on.
        port: port it listens on, the one taken where 0 was asked for.
    """

    def __init__(self, metrics: RunMetrics, *, host: str, port: int) -> None:
        pages: Mapping[str, Page] = {
            "/metrics": (CONTENT_TYPE_LATEST, metrics.render),
            "/healthz": ("text/plain; charset=utf-8", lambda: b"ok\n"),
        }
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, pages))
        except (OSError, OverflowError) as error:
            raise UsageError(
                expected="a free port of this machine",
                got=getattr(error, "strerror", None) or str(error),
                where=f"metrics at {host}:{port}",
                action="choose another port, or 0 for any",
            ) from error
        bound = self._server.server_address
        self.host, self.port = str(bound[0]), int(bound[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """Address of the metrics page."""
        return f"http://{self.host}:{self.port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and wait for the thread; closing again does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def serve_metrics(metrics: RunMetrics, *, host: str = "127.0.0.1", port: int) -> MetricsServer:
    """Serve ``metrics`` from now on, to this machine alone unless ``host`` says otherwise.

    Args:
        metrics: rendered anew at each request.
        host: address to listen on.
        port: 0 takes any free one; see ``MetricsServer.port``.

    Raises:
        UsageError: the address or port cannot be had.
    """
    return MetricsServer(metrics, host=host, port=port)


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = 5.0  # s; a client that says nothing must not keep a thread
    server_version = "sightline"
    sys_version = ""

    def __init__(self, pages: Mapping[str, Page], *args: Any) -> None:
        self._pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content_type, render = page
        body = render()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """A scraper's requests are not news."""
