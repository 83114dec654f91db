"""A real HTTP receiver that fails, stalls and counts on command."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Makes each idempotency key take effect once, whatever is delivered."""

    def __init__(self):
        self.effects = {}
        self.requests = Counter()
        self.headers = []
        self.answers = []  # status codes to give before the usual 200
        self.stall_s = 0.0
        self.lose_answers = 0  # take effect, then break the connection
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers["Idempotency-Key"]
                receiver.requests[key] += 1
                receiver.headers.append(dict(self.headers))
                time.sleep(receiver.stall_s)
                if receiver.answers:
                    status = receiver.answers.pop(0)
                    self.send_response(status)
                    if status == 429:
                        self.send_header("Retry-After", "7")
                    self.end_headers()
                    return
                receiver.effects.setdefault(key, body)
                if receiver.lose_answers:
                    receiver.lose_answers -= 1
                    self.connection.close()
                    return
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts?token=secret"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
