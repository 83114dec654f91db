"""A satellite is watched as its rows come: what comes later changes nothing that was told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sightline.errors import LogError
from sightline.perceive.normal.block_view import BLOCKS_PER_DAY
from sightline.perceive.normal.expectation import CommandTimes
from sightline.perceive.normal.residual_tests import residual_tests
from sightline.perceive.normal.satellite_record import SatelliteRecord
from sightline.perceive.normal.satellite_watch import FALSE_ALERTS_PER_DAY, SatelliteWatch

STEP_S = 240.0
PER_DAY = round(86_400 / STEP_S)
DAYS = 5


def record(seed=3, *, is_healthy=False):
    """Five channels of an orbit; on the last day a step, its echo, a stuck and a missing one."""
    rng = np.random.default_rng(seed)
    n = DAYS * PER_DAY
    t = np.arange(n) * STEP_S
    turn = 2 * np.pi * t / 5700.0
    state = (np.sin(turn) > 0.3).astype(float)
    values = np.stack(
        [np.sin(turn), np.cos(turn), state, state + np.sin(turn), np.cos(2 * turn)], axis=1
    )
    values[:, [0, 1, 3, 4]] += 0.05 * rng.normal(size=(n, 4))
    last = (DAYS - 1) * PER_DAY
    if is_healthy:
        last = n  # no row is left for a fault
    values[last + 40 : last + 90, 0] += 1.5
    values[last + 43 : last + 80, 3] += 0.7
    values[last + 150 : last + 200, 1] = values[min(last + 150, n - 1), 1]
    values[last + 215 : last + 260, 4] = np.nan
    heard = rng.random(n) > 0.01
    values[~heard] = np.nan
    commands = CommandTimes(
        time_s=np.arange(1.0, DAYS * 86_400, 7_000.0),
        name=np.array(["GO"] * len(np.arange(1.0, DAYS * 86_400, 7_000.0))),
        value=np.full(len(np.arange(1.0, DAYS * 86_400, 7_000.0)), np.nan),
    )
    return SatelliteRecord(step_s=STEP_S, values=values, is_heard=heard, commands=commands)


def part(whole, end):
    return SatelliteRecord(
        step_s=STEP_S,
        values=whole.values[:end],
        is_heard=whole.is_heard[:end],
        commands=whole.commands,
    )


LEVELS = 12.0


def learnt_until_last_day(whole):
    watch = SatelliteWatch(part(whole, (DAYS - 1) * PER_DAY))
    watch.learn_until(DAYS - 1)
    watch.levels = np.full_like(watch.levels, LEVELS)
    return watch


def known_by(alerts, row, begin, standing):
    """What stood at the begin of a block or was told in it, as far as it is known at ``row``."""
    return [
        (a.channel, a.told, a.begin, a.reason, str([t for t in a.raised if t.row < row]),
         tuple(r for r in a.cleared if r < row))
        for a in alerts
        if a.told < row and (a.told >= begin or (a.channel, a.told) in standing)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole_day():
    whole = record()
    watch = learnt_until_last_day(whole)
    blocks = []
    for block in range((DAYS - 1) * BLOCKS_PER_DAY, DAYS * BLOCKS_PER_DAY):
        before = watch.copy()
        assert before.next_block == block
        rows = slice(*watch.block_rows(block))
        watch.advance(whole.values[rows], whole.is_heard[rows], whole.commands)
        blocks.append((block, before, list(watch.copy().alerts)))
    return whole, blocks, watch


def test_the_faults_of_the_day_are_told_while_they_last(whole_day):
    begin = (DAYS - 1) * PER_DAY
    told = {a.channel: a for a in whole_day[2].alerts}
    assert begin + 40 <= told[0].told < begin + 60
    assert begin + 150 < told[1].told < begin + 200
    assert begin + 215 <= told[4].told < begin + 260
    assert told[0].cleared
    said = told[0].raised[0]
    assert said.measured - said.expected > 3 * said.usual


def test_a_block_of_which_some_rows_are_known_tells_what_it_tells_later(whole_day):
    whole, blocks, _ = whole_day
    compared = 0
    for block, before, later in blocks:
        begin, end = before.block_rows(block)
        standing = {(a.channel, a.told) for a in before.alerts if a.is_open}
        for known in range(1, end - begin + 1, 2):
            rows = slice(begin, begin + known)
            now = before.look(whole.values[rows], whole.is_heard[rows], whole.commands)
            row = begin + known
            assert known_by(now, row, begin, standing) == known_by(later, row, begin, standing)
            compared += len(now)
    assert compared > 100


def test_a_watch_goes_on_from_its_state_through_json_as_if_it_had_not_stopped(whole_day):
    whole, blocks, _ = whole_day
    block, before, later = blocks[8]
    plain, arrays = before.state()
    again = SatelliteWatch.from_state(json.loads(json.dumps(plain)), arrays)
    rows = slice(*again.block_rows(block))
    again.advance(whole.values[rows], whole.is_heard[rows], whole.commands)
    assert again.alerts == later


def test_what_somebody_takes_as_normal_is_over_and_is_told_no_more_until_it_is_learnt():
    whole = record()
    begin = (DAYS - 1) * PER_DAY
    whole.values[begin + 40 :, 0] += 3.0
    watch = learnt_until_last_day(whole)
    for block in range((DAYS - 1) * BLOCKS_PER_DAY, DAYS * BLOCKS_PER_DAY):
        rows = slice(*watch.block_rows(block))
        watch.advance(whole.values[rows], whole.is_heard[rows], whole.commands)
        if block == (DAYS - 1) * BLOCKS_PER_DAY + 3:
            assert any(a.channel == 0 and a.is_open for a in watch.alerts)
            watch.take_as_normal(0, watch.record.end)
    row, until = watch.quiet[0]
    assert (row, until) == (begin + 4 * PER_DAY // BLOCKS_PER_DAY, begin + 3 * PER_DAY)
    mine = [a for a in watch.alerts if a.channel == 0]
    assert not any(a.is_open for a in mine)
    assert all(t.row < row for a in mine for t in a.raised)


@pytest.mark.parametrize(("size", "times"), [(0.5, 1), (1.5, 2)], ids=["as great", "thrice"])
def test_what_passed_by_itself_is_told_again_on_that_day_where_it_is_much_more(size, times):
    whole = record(is_healthy=True)
    begin = (DAYS - 1) * PER_DAY
    whole.values[begin + 40 : begin + 80, 0] += 0.5
    whole.values[begin + 200 : begin + 240, 0] += size
    watch = learnt_until_last_day(whole)
    watch.levels[:, [test.name != "step" for test in watch.tests]] = np.inf
    for block in range((DAYS - 1) * BLOCKS_PER_DAY, DAYS * BLOCKS_PER_DAY):
        rows = slice(*watch.block_rows(block))
        watch.advance(whole.values[rows], whole.is_heard[rows], whole.commands)
    assert sum(a.channel == 0 for a in watch.alerts) == times


@pytest.mark.parametrize(("name", "is_told"), [("GO", True), ("NEVER_SENT", False)])
def test_what_follows_a_command_that_was_never_sent_before_must_be_greater(name, is_told):
    whole = record(is_healthy=True)
    begin = (DAYS - 1) * PER_DAY
    whole.values[begin + 11 : begin + 17, 0] += 0.35
    sent_s = (begin + 10) * STEP_S
    at = int(np.searchsorted(whole.commands.time_s, sent_s))
    commands = CommandTimes(
        time_s=np.insert(whole.commands.time_s, at, sent_s),
        name=np.insert(whole.commands.name.astype("<U10"), at, name),
        value=np.insert(whole.commands.value, at, np.nan),
    )
    watch = learnt_until_last_day(replace(whole, commands=commands))
    for block in range((DAYS - 1) * BLOCKS_PER_DAY, (DAYS - 1) * BLOCKS_PER_DAY + 2):
        rows = slice(*watch.block_rows(block))
        watch.advance(whole.values[rows], whole.is_heard[rows], commands)
    assert any(a.channel == 0 for a in watch.alerts) == is_told


def test_what_two_days_taught_raises_no_level_once_two_better_days_are_known():
    whole = record(is_healthy=True)
    watch = SatelliteWatch.begin(5, step_s=STEP_S, learn_days=3)
    levels = {}
    for block in range(DAYS * BLOCKS_PER_DAY):
        rows = slice(*watch.block_rows(block))
        watch.advance(whole.values[rows], whole.is_heard[rows], whole.commands)
        if block + 1 == 3 * BLOCKS_PER_DAY:  # the first day that was compared is over
            watch.maxima[:] = 1e9
        levels[block + 1] = watch.levels
    for day, is_raised in ((4, True), (5, False)):
        known = levels[day * BLOCKS_PER_DAY][np.isfinite(levels[day * BLOCKS_PER_DAY])]
        assert len(known)
        assert ((known > 1e9) == is_raised).all()


@pytest.mark.parametrize(("budget", "times"), [(0.02, 1.0), (0.005, 2.0), (0.08, 0.5)])
def test_levels_go_with_the_root_of_one_over_the_budget(budget, times):
    tests = residual_tests(STEP_S)
    greatest = np.full((2, len(tests), 5, BLOCKS_PER_DAY), 100.0)
    levels = {}
    for asked in (FALSE_ALERTS_PER_DAY, budget):
        watch = learnt_until_last_day(record(is_healthy=True))
        watch.maxima, watch.budget = greatest, asked
        watch._begin_day()
        levels[asked] = watch.levels
    np.testing.assert_allclose(levels[budget], times * levels[FALSE_ALERTS_PER_DAY])


def test_the_state_of_another_version_is_refused_by_name(whole_day):
    plain, arrays = whole_day[2].state()
    with pytest.raises(LogError, match="version"):
        SatelliteWatch.from_state({**plain, "version": 0}, arrays)
