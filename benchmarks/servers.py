"""Servers of a trial's own: started in a folder of theirs, killed, and started again.

They listen on this machine alone. Whoever starts one ends it; nothing of the machine's own services
is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline.errors import UsageError, WorkerError

_START_S = 300.0


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, *, until_s: float = _START_S) -> None:
    """Return once something accepts connections at a port.

    Raises:
        TimeoutError: nothing did in time.
    """
    deadline = time.monotonic() + until_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing answers on port {port} after {until_s:g} s")


@dataclass
class Server:
    """A server of its own, which may be killed and started again.

    Attributes:
        command: what starts it, from its port and folder.
        port: it listens on.
        folder: of its files, which outlive it until :meth:`close`.
        keeps: whether what it was given is there after it was killed.
        environment: added to that of this process, from port and folder.
        user: it runs as; None: as this process.
        is_ready: whether it serves, once it listens; asked until it does.
    """

    command: Callable[[int, str], Sequence[str]]
    port: int = field(default_factory=free_port)
    folder: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="sightline-server-"))
    keeps: bool = True
    environment: Callable[[int, str], Mapping[str, str]] = lambda port, folder: {}
    user: str | None = None
    is_ready: Callable[[int], bool] = lambda port: True
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and again where it ends at once: what a killed one held may not be free yet.

        Raises:
            WorkerError: it does not serve in time.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            self.process = subprocess.Popen(
                self.command(self.port, self.folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **self.environment(self.port, self.folder)},
                user=self.user,
                cwd=self.folder,
                start_new_session=True,
            )
            while self.process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    wait_for(self.port, until_s=0.2)
                    if self.is_ready(self.port):
                        return
                time.sleep(0.05)
            time.sleep(0.2)
        raise WorkerError(
            expected=f"a server that serves within {_START_S:g} s",
            got="none",
            where=" ".join(self.command(self.port, self.folder))[:200],
            action="start it by hand in this folder, and see what it says",
        )

    def kill(self) -> None:
        """End it and what it has started in its session, without notice (SIGKILL)."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + _START_S
        with contextlib.suppress(OSError):  # until nobody of the session listens any more
            while time.monotonic() < deadline:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.01)

    def close(self) -> None:
        """Kill it and take its folder away."""
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def program(*names: str, beside: Sequence[str] = ()) -> str:
    """The first of some programs that is beside the interpreter, on the path, or in a folder.

    Raises:
        UsageError: none is.
    """
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), *beside]
    for name in names:
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is not None:
            return found
    raise UsageError(
        expected=f"the program {' or '.join(names)}",
        got="none",
        where="a server of the trial's own",
        action="install it, or leave this server out",
    )


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM leaves this block like an error, so that what was started in it is ended.

    Servers have sessions of their own: nothing else would end them. For the main thread alone.
    """
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once: the second would interrupt the ending
    raise SystemExit(128 + number)


@contextlib.contextmanager
def own(server: Server) -> Iterator[Server]:
    """A server while it is needed."""
    try:
        server.start()
        yield server
    finally:
        server.close()


def nats_server(*, configuration: Path | None = None, monitoring: int = 8222) -> Server:
    """NATS with JetStream.

    Args:
        configuration: a file for a server whose folder is ``/data``, monitored at port 8222, with
            the password ``$NATS_PASSWORD``, here ``secret``; None: as shipped.
        monitoring: the port for that here.
    """
    found = program("nats-server")

    def command(port: int, folder: str) -> list[str]:
        how = ["-js", "-sd", folder]
        if configuration is not None:
            text = configuration.read_text(encoding="utf-8").replace("/data", folder)
            text = text.replace("http: 8222", f'http: "127.0.0.1:{monitoring}"')
            Path(folder, "nats.conf").write_text(text, encoding="utf-8")
            how = ["-c", f"{folder}/nats.conf"]
        return [found, *how, "-a", "127.0.0.1", "-p", str(port)]

    return Server(command, environment=lambda port, folder: {"NATS_PASSWORD": "secret"})


def rabbitmq_server() -> Server:
    """RabbitMQ, with a name server (epmd) of its own."""
    found = program("rabbitmq-server", beside=["/usr/lib/rabbitmq/bin"])
    # What the system installs beside it starts it as another user, with folders of its own.
    inner = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(inner) if inner.exists() else found
    names, distribution = free_port(), free_port()

    def environment(port: int, folder: str) -> dict[str, str]:
        Path(folder, "plugins").write_text("[].\n", encoding="utf-8")
        return {
            "RABBITMQ_NODENAME": f"trial{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": folder,
        }

    return _WithNames(lambda port, folder: [found], environment=environment, names_port=names)


@dataclass
class _WithNames(Server):
    """RabbitMQ: the name server of Erlang is started here, so that it can be ended here."""

    names_port: int = 0
    names: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.names is None:
            how = {"ERL_EPMD_ADDRESS": "127.0.0.1"}
            self.names = subprocess.Popen(
                [program("epmd"), "-port", str(self.names_port)],
                env={**os.environ, **how},
                stdin=subprocess.DEVNULL,
            )
        super().start()

    def close(self) -> None:
        super().close()
        if self.names is not None:
            self.names.kill()
            self.names.wait()


def postgres_server() -> Server:
    """PostgreSQL, whose user and database are ``postgres``, without a password, on this machine."""
    folders = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found, making = program("postgres", beside=folders), program("initdb", beside=folders)
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    server = Server(
        lambda port, folder: [
            *(found, "-D", f"{folder}/data", "-p", str(port), "-h", "127.0.0.1"),
            *("-k", folder, "-c", "max_connections=50"),
        ],
        user=user,
        is_ready=_answers,
    )
    if user is not None:
        shutil.chown(server.folder, user)
    subprocess.run(
        [making, "-D", f"{server.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8"],
        user=user,
        cwd=server.folder,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=_START_S,
    )
    return server


def _answers(port: int) -> bool:
    """Whether PostgreSQL takes statements: while it recovers it listens and refuses."""
    import psycopg  # noqa: PLC0415 - an extra

    try:
        with psycopg.connect(host="127.0.0.1", port=port, user="postgres", connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False
