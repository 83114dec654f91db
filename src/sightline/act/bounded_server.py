"""An HTTP server with a bound on requests that are answered at a time."""

from __future__ import annotations

import socket
import threading
from http.server import ThreadingHTTPServer
from typing import Any


class BoundedServer(ThreadingHTTPServer):
    """Answers each request on a thread; one for which there is no place is hung up on.

    Args:
        address: host, IPv4 or IPv6, and port.
        handler: of requests; it sees to it that none takes its place for long.
        most: requests at a time.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any, *, most: int) -> None:
        self._room = threading.BoundedSemaphore(most)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
