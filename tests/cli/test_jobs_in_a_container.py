"""Jobs told by their environment, over files in object storage: stopped, resumed, and silent."""

import json
import logging
import os
import signal
import subprocess
import sys
import traceback

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
import typer
from pydantic import SecretStr

from sightline.cli.batch_command import batch_detect
from sightline.cli.console import fail
from sightline.errors import SightlineError, SinkError, SourceError, UsageError
from sightline.limits import Limits
from sightline.runtime.job_settings import JobSettings, load_settings
from sightline.sense.objects import open_folder
from simulation.aws import running_aws

PLANTED = "pl4nted-s3cret"
COMMAND = [sys.executable, "-c", "from sightline.cli import main; main()"]


class Told(JobSettings):
    """For these tests."""

    source: str
    """Where it is."""
    password: SecretStr
    """What is secret."""
    threshold: float = 4.0
    """A number."""


@pytest.fixture(scope="module")
def aws():
    with running_aws() as found:
        bucket = found.client("s3")
        bucket.create_bucket(
            Bucket="telemetry", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        secrets = found.client("secretsmanager")
        secrets.create_secret(Name="db", SecretString=json.dumps({"password": PLANTED}))
        found.client("ssm").put_parameter(Name="/prod/word", Value=PLANTED, Type="SecureString")
        yield found


@pytest.fixture
def as_aws(aws, monkeypatch):
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return aws


def settings(given=None, **environment):
    return load_settings(Told, given=given or {}, environment=environment)


# --- where a setting comes from -------------------------------------------------------------------


def test_an_option_goes_before_the_environment_and_that_before_a_mounted_file(tmp_path):
    (tmp_path / "source").write_text("from the file\n")
    mounted = {"SIGHTLINE_SECRETS_DIR": str(tmp_path), "SIGHTLINE_PASSWORD": "p"}
    assert settings(**mounted).source == "from the file"
    told = mounted | {"SIGHTLINE_SOURCE": "from the environment"}
    assert settings(**told).source == "from the environment"
    assert settings({"source": "given"}, **told).source == "given"


def test_a_file_can_be_named_for_one_setting(tmp_path):
    (tmp_path / "word").write_text(PLANTED)
    found = settings(SIGHTLINE_SOURCE="x", SIGHTLINE_PASSWORD_FILE=str(tmp_path / "word"))
    assert found.password.get_secret_value() == PLANTED


def test_everything_that_is_missing_or_wrong_is_said_at_once(tmp_path):
    with pytest.raises(UsageError) as caught:
        settings(SIGHTLINE_THRESHOLD=PLANTED, SIGHTLINE_SOURCE_FILE=str(tmp_path / "none"))
    for name in ("SIGHTLINE_SOURCE", "SIGHTLINE_PASSWORD", "SIGHTLINE_THRESHOLD"):
        assert name in caught.value.action
    assert PLANTED not in str(caught.value)


def test_a_mounted_file_that_is_too_large_is_no_setting(tmp_path):
    (tmp_path / "password").write_bytes(b"x" * 100_000)
    with pytest.raises(UsageError, match="more than 65536 bytes"):
        settings(SIGHTLINE_SOURCE="x", SIGHTLINE_SECRETS_DIR=str(tmp_path))


@pytest.mark.parametrize("reference", ["aws-sm://db#password", "aws-ssm:///prod/word"])
def test_a_setting_can_be_a_reference_to_aws(as_aws, reference):
    found = settings(SIGHTLINE_SOURCE="x", SIGHTLINE_PASSWORD=reference)
    assert found.password.get_secret_value() == PLANTED


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("aws-sm://nothing", "AWS has none of this name"),
        ("aws-sm://db#user", "the secret has no key user"),
        ("aws-ssm:///nothing", "AWS has none of this name"),
    ],
)
def test_a_reference_that_leads_nowhere_is_missing(as_aws, reference, said):
    with pytest.raises(UsageError, match=said):
        settings(SIGHTLINE_SOURCE="x", SIGHTLINE_PASSWORD=reference)


def test_aws_that_does_not_answer_is_an_error_with_an_action(as_aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SinkError, match="see AWS_REGION"):
        settings(SIGHTLINE_SOURCE="x", SIGHTLINE_PASSWORD="aws-sm://db")


# --- object storage -------------------------------------------------------------------------------


def test_a_bucket_is_listed_read_and_gone_on_with_behind_a_name(as_aws):
    client = as_aws.client("s3")
    for name in ("b.txt", "a.txt", "c/d.txt"):
        client.put_object(Bucket="telemetry", Key=f"listed/{name}", Body=name.encode())
    folder = open_folder("s3://telemetry/listed")
    assert [one.name for one in folder.listing()] == ["a.txt", "b.txt", "c/d.txt"]
    assert [one.name for one in folder.listing(after="a.txt")] == ["b.txt", "c/d.txt"]
    assert bytes(folder.open("c/d.txt").read()) == b"c/d.txt"


def test_a_listing_that_breaks_off_goes_on_behind_the_last_name(as_aws):
    client = as_aws.client("s3")
    for number in range(6):
        client.put_object(Bucket="telemetry", Key=f"many/{number}", Body=b"x")
    folder = open_folder("s3://telemetry/many")
    whole, asked = folder._obstore, []

    class Breaking:
        def __getattr__(self, name):
            return getattr(whole, name)

        def list(self, store, *, offset):
            asked.append(offset)
            found = [one for page in whole.list(store, offset=offset) for one in page]
            yield found[:2]
            if len(found) > 2:
                raise OSError("connection reset")

    folder._obstore = Breaking()
    assert [one.name for one in folder.listing()] == list("012345")
    assert asked == [None, "1", "3"]


def test_a_bucket_that_does_not_answer_is_an_error_with_an_action(as_aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    folder = open_folder("s3://telemetry/x", limits=Limits(object_tries=1, object_wait_s=1.0))
    with pytest.raises(SourceError, match="credentials") as caught:
        list(folder.listing())
    assert "planted-access-key" not in str(caught.value)


def test_kpis_of_a_bucket_are_those_of_the_same_files_on_the_disk(as_aws, tmp_path, capsys):
    from sightline.cli.kpi_command import kpi

    (tmp_path / "contract.yaml").write_text(
        "contract: t\nkey: [k]\nevent_time: {column: time, format: unix_s}\n"
        "fields: {v: {type: number, unit: V}}\n"
    )
    (tmp_path / "metrics.yaml").write_text(
        "kpis: one\ncontract: contract.yaml\n"
        "metrics: {m: {version: 1, unit: V, field: v, statistic: p95}}\n"
    )
    (tmp_path / "in").mkdir()
    for number in range(3):
        path = tmp_path / "in" / f"day{number}.parquet"
        at_s = 1_767_225_600 + number * 86_400 + np.arange(500)
        pl.DataFrame({"k": "a", "time": at_s, "v": np.arange(500.0)}).write_parquet(path)
        as_aws.client("s3").upload_file(str(path), "telemetry", f"kpi/{path.name}")
    found = []
    for place in (str(tmp_path / "in"), "s3://telemetry/kpi"):
        url = f"sqlite:///{tmp_path / f'{len(found)}.sqlite'}"
        kpi(place, metrics=tmp_path / "metrics.yaml", ledger=url, since=None, until=None)
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            found.append(list(connection.exec_driver_sql("SELECT * FROM kpi_current")))
        engine.dispose()
    assert len(found[0]) == 3
    assert found[0] == found[1]


# --- a job that was stopped, and secrets ----------------------------------------------------------


def tables(folder, count, rows=400):
    folder.mkdir()
    for number in range(count):
        values = np.random.default_rng(number).normal(0, 1, rows)
        values[300 : 300 + number] += 30.0
        pl.DataFrame({"v": values}).write_csv(folder / f"t{number:02d}.csv")


def results(url):
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.exec_driver_sql(
            "SELECT name, status, result FROM batch_items ORDER BY name"))  # fmt: skip
        configuration = list(connection.exec_driver_sql("SELECT configuration FROM batch_jobs"))
    engine.dispose()
    return found, configuration


@pytest.fixture
def batch(monkeypatch, capsys):
    """The command in this process: exit code, and all that it prints or raises."""

    def run(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code, trace = 0, ""
        try:
            batch_detect(as_json=True)
        except SightlineError as error:
            trace = "".join(traceback.format_exception(error))
            with pytest.raises(typer.Exit) as left:
                fail(error)
            code = left.value.exit_code
        said = capsys.readouterr()
        return code, said.out, said.err + trace

    return run


def test_a_batch_job_that_was_killed_does_the_rest_and_nothing_twice(tmp_path, batch):
    tables(tmp_path / "in", 8)
    (tmp_path / "in" / "t03.csv").write_text("nothing,here\n1,2\n")
    found = []
    for name in ("killed", "whole"):
        url = f"sqlite:///{tmp_path / name}.sqlite"
        told = {"SIGHTLINE_SOURCE": str(tmp_path / "in"), "SIGHTLINE_LEDGER": url,
                "SIGHTLINE_VALUE": "v"}  # fmt: skip
        before = 0
        if name == "killed":
            with subprocess.Popen(
                [*COMMAND, "batch", "detect"],
                env={**os.environ, **told},
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                for line in process.stderr:
                    if line.startswith("2 of 8"):
                        process.send_signal(signal.SIGKILL)
            before = len(results(url)[0])
            assert 2 <= before < 8
        code, out, _ = batch(told)
        report = json.loads(out)
        assert code == 0
        assert (report["known"], report["done"] + report["refused"]) == (before, 8 - before)
        found.append(results(url)[0])
    assert found[0] == found[1]
    assert [row[1] for row in found[0]].count("refused") == 1


def test_planted_secrets_are_in_no_output_trace_repr_or_record(tmp_path, batch, caplog):
    tables(tmp_path / "in", 1)
    told = {
        "SIGHTLINE_SOURCE": str(tmp_path / "in"),
        "SIGHTLINE_VALUE": "v",
        "AWS_SECRET_ACCESS_KEY": PLANTED,
    }
    good = f"sqlite:///{tmp_path / 'b.sqlite'}"
    with caplog.at_level(logging.DEBUG):
        for url, expected in (
            (good, 0),
            (f"postgresql+psycopg://u:{PLANTED}@127.0.0.1:9/x", 7),
            (f"nothing://u:{PLANTED}@[there", 2),
            (f"mysql://u:{PLANTED}@there/x", 2),
        ):
            code, out, err = batch(told | {"SIGHTLINE_LEDGER": url})
            assert code == expected, err
            assert PLANTED not in out + err
    assert results(good)[1]
    assert PLANTED not in caplog.text
    for path in tmp_path.rglob("*.sqlite*"):
        assert PLANTED.encode() not in path.read_bytes()


def test_what_is_recorded_of_settings_has_no_secret():
    address = f"s3://u:{PLANTED}@h/bucket?key={PLANTED}"
    found = settings(SIGHTLINE_SOURCE=address, SIGHTLINE_PASSWORD=PLANTED)
    assert PLANTED not in json.dumps(found.as_recorded()) + repr(found.password)
    assert found.as_recorded()["source"] == "s3://h/bucket"


def test_without_settings_a_job_ends_at_once_with_the_whole_list(batch):
    code, _, err = batch(
        dict.fromkeys(["SIGHTLINE_SOURCE", "SIGHTLINE_LEDGER", "SIGHTLINE_VALUE"], "")
    )
    assert code == 2
    for name in ("SIGHTLINE_SOURCE", "SIGHTLINE_LEDGER", "SIGHTLINE_VALUE"):
        assert name in err
