"""Simulated runs and the questions the gateway tests ask of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl

from sightline.apps import gateway
from sightline.apps.gateway import Constellation, ConstellationConfig, FaultKind, simulate
from sightline.sense.contract import Contract, FieldForm, load_contract

FIELDS = ("snr_db", "bus_voltage_v", "temperature_c", "wheel_speed_rpm")
CONTRACTS = Path(gateway.__file__).parent
NS = 1_000_000_000


@cache
def default_run() -> Constellation:
    return simulate(ConstellationConfig(seed=7))


@cache
def faultless_run() -> Constellation:
    return simulate(ConstellationConfig(seed=7, faults="none"))


def label(kind: FaultKind) -> dict[str, object]:
    return default_run().faults.row(by_predicate=pl.col("kind") == kind, named=True)


def during(fault: dict[str, object], column: str = "time_ns") -> pl.Expr:
    return pl.col(column).is_between(fault["start_ns"], fault["end_ns"], closed="left")


def rows_of(satellite: object, run: Constellation | None = None) -> pl.DataFrame:
    return (run or default_run()).telemetry.filter(satellite=satellite)


def impaired(kind: str) -> pl.DataFrame:
    return default_run().impairments.filter(kind=kind).select("satellite", "sequence", "delay_s")


@cache
def contract(name: str) -> Contract:
    return load_contract(CONTRACTS / f"{name}.contract.yaml")


def telemetry_field(name: str) -> FieldForm:
    return contract("telemetry").fields[name]
