"""Simulated runs and the questions the gateway tests ask of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl

from sightline.apps import gateway
from sightline.apps.gateway import FaultKind, SceneFrames, simulate, watched_scene
from sightline.sense.contract import Contract, FieldForm, load_contract

FIELDS = ("snr_db", "bus_voltage_v", "temperature_c", "wheel_speed_rpm")
CONTRACTS = Path(gateway.__file__).parent
NS = 1_000_000_000
SCENE = watched_scene(seed=7, duration_s=1800)


@cache
def default_run() -> SceneFrames:
    return simulate(SCENE)


@cache
def faultless_run() -> SceneFrames:
    return simulate(replace(SCENE, scheduled_faults=()))


def label(kind: FaultKind) -> dict[str, object]:
    if kind is FaultKind.OUTAGE:
        return default_run().truth.outages.row(0, named=True)
    return default_run().truth.faults.row(by_predicate=pl.col("kind") == kind, named=True)


def during(fault: dict[str, object], column: str = "time_ns") -> pl.Expr:
    return pl.col(column).is_between(fault["start_ns"], fault["end_ns"], closed="left")


def rows_of(satellite: object, run: SceneFrames | None = None) -> pl.DataFrame:
    return (run or default_run()).telemetry.filter(satellite=satellite)


def impaired(kind: str) -> pl.DataFrame:
    return default_run().impairments.filter(kind=kind).select("satellite", "sequence", "delay_s")


@cache
def contract(name: str) -> Contract:
    return load_contract(CONTRACTS / f"{name}.contract.yaml")


def telemetry_field(name: str) -> FieldForm:
    return contract("telemetry").fields[name]
