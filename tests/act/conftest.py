"""Ledgers on every database that is there, and a receiver of alerts."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from act.act_cases import SimulatedClock, sqlite_url
from act.alert_receiver import AlertReceiver
from sightline.act import Ledger

_POSTGRES = "postgresql+psycopg://postgres@localhost:5432/test"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Address of an empty schema of its own on the local PostgreSQL; skips where there is none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL not tested: psycopg is not installed")
    engine = sa.create_engine(_POSTGRES, connect_args={"connect_timeout": 2})
    schema = f"sightline_test_{uuid.uuid4().hex}"
    try:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
    except sa.exc.OperationalError as error:
        pytest.skip(f"PostgreSQL not tested: no answer from localhost:5432 ({error.orig})")
    yield f"{_POSTGRES}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a ledger that does not exist yet."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as running:
        yield running


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()
