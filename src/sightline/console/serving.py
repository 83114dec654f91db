"""The page over HTTP: addresses, who may ask, and what browsers are told to allow.

Plain pages from the standard library: no framework, nothing fetched from elsewhere, and one short
script that asks for the live part again. What each page may do is said in its policy: nothing
that did not come with it.
"""

from __future__ import annotations

import json
import secrets
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from sightline.act.bounded_server import BoundedServer
from sightline.console.access import COOKIE, Access, named_cookie, operator_of
from sightline.console.console import Console, Shown, error_body
from sightline.console.overview import CONSOLE_STYLE, trouble_box
from sightline.errors import SightlineError, UsageError
from sightline.evidence.pages import page
from sightline.limits import DEFAULT_LIMITS, Limits

_MOST_FIELDS = 20
_SCRIPT = """
const live = document.getElementById("live"), updated = document.getElementById("updated");
const pause = document.getElementById("pause");
let paused = false;
pause.hidden = false;
pause.onclick = () => {
  paused = !paused;
  pause.textContent = paused ? "Go on with updates" : "Pause updates";
};
async function update() {
  if (!paused && !document.hidden) {
    try {
      const answer = await fetch("/live", {cache: "no-store"});
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.status);
      const held = document.activeElement && document.activeElement.id;
      live.innerHTML = await answer.text();
      if (held && document.getElementById(held)) document.getElementById(held).focus();
      updated.textContent = "";
    } catch (error) {
      updated.textContent = "No answer from the page's server since " +
        new Date().toISOString() + "; what is shown may be old.";
    }
  }
  setTimeout(update, REFRESH_MS);
}
setTimeout(update, REFRESH_MS);
"""


class ConsoleServer:
    """Answers browsers until it is closed, on threads of its own.

    Args:
        console: of the run.
        access: who may look.
        host: address to listen at.
        port: 0 for any that is free.
        limits: bounds.

    Raises:
        UsageError: nobody can listen there.
    """

    def __init__(
        self,
        console: Console,
        access: Access,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._host = host
        try:
            handler = partial(_Handler, console, access, limits)
            self._server = BoundedServer((host, port), handler, most=limits.console_requests)
        except (OSError, OverflowError) as error:
            raise UsageError(
                expected="an address and a port to listen at",
                got=str(error),
                where=f"{host}:{port}",
                action="give another --host or --port",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self._host}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_version = "sightline"
    sys_version = ""

    def __init__(self, console: Console, access: Access, limits: Limits, *args: Any) -> None:
        self._console = console
        self._access = access
        self._limits = limits
        super().__init__(*args)

    def setup(self) -> None:
        """Nobody holds one of the few places for long."""
        self.request.settimeout(self._limits.console_request_s)
        super().setup()

    def do_GET(self) -> None:
        """Answer with a page, its live part, or a picture."""
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        if not self._access.may_look(self.headers):  # type: ignore[arg-type]
            self._turn_away(path)
            return
        key = self._access.form_key
        try:
            if path == "/":
                self._show(self._console.overview(form_key=key, operator=self._operator()))
            elif path == "/live":
                self._send(self._console.live(form_key=key).encode(), "text/html; charset=utf-8")
            elif path.startswith("/why/"):
                found = self._console.why(unquote(path.removeprefix("/why/")), form_key=key)
                if found is None:
                    self._trouble(
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        "another explanation is being worked out; try again in a moment",
                    )
                else:
                    self._show(found)
            elif path.startswith("/camera/"):
                picture = self._console.camera(unquote(path.removeprefix("/camera/")))
                if picture is None:
                    self._trouble(HTTPStatus.NOT_FOUND, "there is no such camera")
                else:
                    self._send(picture, "image/jpeg")
            elif path == "/review":
                after = dict(parse_qsl(query, max_num_fields=_MOST_FIELDS)).get("after", "")
                found = self._console.review_page(
                    form_key=key, operator=self._operator(), after=after
                )
                if found is None:
                    self._trouble(HTTPStatus.NOT_FOUND, "this run has no parts")
                else:
                    self._show(found)
            elif path.startswith("/part/"):
                self._send_part(path)
            else:
                self._trouble(HTTPStatus.NOT_FOUND, "there is no such page")
        except UsageError as error:
            self._trouble(HTTPStatus.NOT_FOUND, error)
        except SightlineError as error:
            self._trouble(HTTPStatus.INTERNAL_SERVER_ERROR, error)

    def do_POST(self) -> None:
        """Take a form: the token, or an operator input."""
        path = urlsplit(self.path).path
        form = self._form()
        if form is None:
            return
        if path == "/token":
            self._take_token(form)
            return
        if not self._access.may_look(self.headers):  # type: ignore[arg-type]
            self._turn_away(path)
            return
        if path not in ("/input", "/operator", "/review"):
            self._trouble(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        if not self._access.is_our_form(
            form.get("form_key", ""),
            self.headers,  # type: ignore[arg-type]
        ):
            self._trouble(HTTPStatus.FORBIDDEN, "this form is not of this page: load it again")
            return
        if path == "/operator":
            back = "/review" if form.get("back") == "/review" else "/"
            self._redirect(named_cookie(form.get("operator", "")), to=back)
            return
        form.setdefault("operator", self._operator())
        try:
            if path == "/review" and self._console.review is not None:
                self._console.review.give(form)
            else:
                self._console.give(form)
        except UsageError as error:
            self._trouble(HTTPStatus.BAD_REQUEST, error)
        except SightlineError as error:
            self._trouble(HTTPStatus.INTERNAL_SERVER_ERROR, error)
        else:
            self._redirect(to="/review" if path == "/review" else "/")

    def _send_part(self, path: str) -> None:
        """A picture of a part: ``/part/ID/STATION``, each as one part of the address."""
        names = [unquote(one) for one in path.split("/")[2:]]
        picture = None
        if self._console.review is not None and len(names) == 2:
            picture = self._console.review.picture(names[0], names[1])
        if picture is None:
            self._trouble(HTTPStatus.NOT_FOUND, "there is no such picture")
        else:
            self._send(picture, "image/png")

    def _form(self) -> dict[str, str] | None:
        """The fields that were sent; None if they were refused, and answered."""
        try:
            size = int(self.headers.get("Content-Length") or "")
        except ValueError:
            size = -1
        is_review = urlsplit(self.path).path == "/review"
        most = self._limits.console_mask_bytes if is_review else self._limits.console_body_bytes
        if not 0 <= size <= most:
            self._trouble(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
            return None
        try:
            text = self.rfile.read(size).decode("utf-8", errors="replace")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            self._trouble(HTTPStatus.BAD_REQUEST, "the form has too many fields")
            return None

    def _operator(self) -> str:
        return operator_of(self.headers)  # type: ignore[arg-type]

    def _take_token(self, form: dict[str, str]) -> None:
        if self._access.is_token(form.get("token", "")):
            cookie = f"{COOKIE}={self._access.session}; HttpOnly; SameSite=Strict; Path=/"
            self._redirect(cookie)
        else:
            self._turn_away("/token")

    def _turn_away(self, path: str) -> None:
        if self._access.token is None:
            self._trouble(
                HTTPStatus.FORBIDDEN, "this page is for this machine: ask for http://127.0.0.1"
            )
            return
        wrong = trouble_box("That is not the token.") if path == "/token" else ""
        body = (
            f'<h1>Sightline</h1>{wrong}<form method="post" action="/token"><label for="token">Token'
            '</label><input id="token" name="token" type="password" required '
            'autocomplete="current-password"><p><button>Show the run</button></p></form>'
        )
        self._show(Shown(title="Sightline: token", body=body), HTTPStatus.UNAUTHORIZED)

    def _trouble(self, status: HTTPStatus, error: SightlineError | str) -> None:
        self._show(Shown(title="Sightline: not done", body=error_body(error)), status)

    def _show(self, shown: Shown, status: HTTPStatus = HTTPStatus.OK) -> None:
        nonce = secrets.token_urlsafe(16)
        refresh_ms = max(round(self._console.refresh_s * 1000), 500)
        script = _SCRIPT.replace("REFRESH_MS", json.dumps(refresh_ms)) if shown.is_live else ""
        text = page(
            shown.title,
            shown.body,
            style=CONSOLE_STYLE + shown.style,
            nonce=nonce,
            script=shown.script or script,
        )
        self._send(text.encode(), "text/html; charset=utf-8", status=status, nonce=nonce)

    def _redirect(self, cookie: str = "", *, to: str = "/") -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", to)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self._end_of_headers(0, nonce="")

    def _send(
        self, body: bytes, kind: str, *, status: HTTPStatus = HTTPStatus.OK, nonce: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self._end_of_headers(len(body), nonce=nonce)
        self.wfile.write(body)

    def _end_of_headers(self, size: int, *, nonce: str) -> None:
        own = f"'nonce-{nonce}'" if nonce else "'none'"
        self.send_header("Content-Length", str(size))
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'none'; style-src {own}; script-src {own}; img-src 'self' data:; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Requests are nobody's business: addresses and tokens are not written anywhere."""
