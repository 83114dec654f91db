"""Simulated yards: conflicts are conflicts, bystanders keep clear, seeds tell everything."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.safety import (
    Person,
    SceneConfig,
    SensorModel,
    draw_clear,
    draw_conflict,
)
from benchmarks.safety.scene import Declared
from benchmarks.safety.scene_drawing import Bystander, _proposed
from benchmarks.safety.sensor import CLASSES, PERSON, VEHICLE, mast_camera
from benchmarks.safety.vehicle import Vehicle, VehicleModel
from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode

CONFIG = SceneConfig()
SEEDS = range(60)
S = 1_000_000_000


@pytest.mark.parametrize("draw", [draw_conflict, draw_clear])
def test_equal_seeds_give_equal_scenes_and_others_give_others(draw):
    assert draw(CONFIG, 3) == draw(CONFIG, 3) != draw(CONFIG, 4)


def test_in_a_conflict_the_vehicle_hits_the_person_with_its_front_if_it_drives_on():
    for seed in SEEDS:
        scene = draw_conflict(CONFIG, seed)
        centre_m = scene.vehicle.cruise_m_s * scene.contact_s - scene.vehicle.length_m / 2
        at_m = scene.people_m(np.array([scene.contact_s]))[0]
        apart_m = scene.separation_m(at_m, np.array([centre_m]))
        # The gait moves the person by its amplitude.
        assert abs(apart_m[0]) <= CONFIG.sway_m + 1e-6
        assert at_m[0, 0] > centre_m


def test_in_a_conflict_the_person_is_visible_from_stopping_distance_and_two_seconds():
    for seed in SEEDS:
        scene = draw_conflict(CONFIG, seed)
        v = scene.vehicle.cruise_m_s
        lead_m = CONFIG.declared.stopping_m(v) + 2.0 * v
        assert v * scene.contact_s >= lead_m - 1e-9
        person_m = scene.people_m(np.zeros(1))[0, 0, 0]
        assert (
            person_m >= lead_m - 1e-9
            or scene.people[0].velocity_m_s[0] <= 0
            or (scene.people[0].halts_s < math.inf)
        )


def test_speeds_of_conflicts_reach_over_the_whole_ranges():
    scenes = [draw_conflict(CONFIG, seed) for seed in range(300)]
    driven = [scene.vehicle.cruise_m_s for scene in scenes]
    walked = [math.hypot(*scene.people[0].velocity_m_s) for scene in scenes]
    assert min(driven) < 1.3 and max(driven) > 7.7
    assert min(walked) < 0.6 and max(walked) > 2.9


def test_a_stop_at_the_latest_time_spares_the_person_and_a_later_one_does_not():
    scene = draw_conflict(CONFIG, 7)
    latest_s, v = scene.latest_stop_s(), scene.vehicle.cruise_m_s

    def hits(command_s):
        braking_s, dt, x, speed = command_s + CONFIG.declared.response_s, 0.005, -2.0, v
        for k in range(4000):
            if speed <= 0:
                return False
            if scene.separation_m(scene.people_m(np.array([k * dt]))[0], np.array([x]))[0] <= 0:
                return True
            x += speed * dt
            if k * dt >= braking_s:
                speed -= CONFIG.declared.deceleration_m_s2 * dt
        return False

    assert not hits(latest_s - 0.05) and hits(latest_s + 0.1)


def test_no_bystander_would_be_hit_if_the_vehicle_drove_on():
    for seed in SEEDS:
        scene = draw_clear(CONFIG, seed)
        time_s = np.arange(0.0, scene.duration_s, 0.02)
        centre_m = scene.vehicle.cruise_m_s * time_s - scene.vehicle.length_m / 2
        for person in scene.people:
            assert scene.separation_m(person.at(time_s), centre_m).min() >= CONFIG.clear_m - 0.2


def test_several_bystanders_come_near():
    scenes = [draw_clear(CONFIG, seed) for seed in SEEDS]
    assert {len(scene.people) for scene in scenes} == {2, 3, 4}
    assert all(s.nearest_m(p) <= CONFIG.near_m for s in scenes for p in s.people)


@pytest.mark.parametrize("kind", list(Bystander))
def test_every_kind_of_bystander_is_found_at_any_speed_of_the_vehicle(kind):
    random = np.random.default_rng(1)
    for speed in (1.0, 4.0, 8.0):
        scene = draw_clear(replace(CONFIG, cruise_m_s=(speed, speed)), 0)
        proposed = [_proposed(CONFIG, scene, kind, random) for _ in range(3000)]
        assert any(
            not scene.is_in_conflict(p, clear_m=CONFIG.clear_m, grace_s=CONFIG.grace_s)
            and scene.nearest_m(p) <= CONFIG.near_m
            for p in proposed
        )


def test_who_runs_at_the_way_and_halts_at_the_last_moment_is_in_conflict():
    scene = replace(
        draw_clear(CONFIG, 0),
        vehicle=VehicleModel(cruise_m_s=5.0),
        duration_s=8.0,
    )
    ahead_m = 14.0
    runner = Person(start_m=(ahead_m, 9.0), velocity_m_s=(0.0, -3.0), halts_s=1.5)
    stands = Person(start_m=(ahead_m, 4.5), velocity_m_s=(0.0, 0.0))
    assert scene.is_in_conflict(runner, clear_m=2.0, grace_s=0.5)
    assert not scene.is_in_conflict(stands, clear_m=2.0, grace_s=0.5)


def test_ranges_that_leave_no_scene_are_refused():
    with pytest.raises(UsageError, match="widen the ranges"):
        draw_conflict(SceneConfig(lead_s=100.0), 0)


def test_a_vehicle_that_may_speed_up_needs_more_way_to_stop():
    slow_m, _ = Declared().longest_stopping(4.0)
    assert slow_m > Declared().stopping_m(4.0)


# --- camera -----------------------------------------------------------------------------------


def seen(sensor, n=400, *, is_visible=(True, True)):
    """``n`` pictures of a person and a vehicle."""
    camera, random = mast_camera((10.0, -30.0, 20.0), (10.0, 0.0)), np.random.default_rng(2)
    return camera, [
        sensor.detect(
            "yard",
            i,
            camera=camera,
            ground_m=np.array([[8.0, 1.0], [12.0, 0.0]]),
            class_id=np.array([PERSON, VEHICLE], np.int32),
            is_visible=np.array(is_visible),
            random=random,
        )
        for i in range(n)
    ]


def test_pictures_are_dropped_as_often_as_said():
    _, pictures = seen(SensorModel(dropped=0.3), 2000)
    assert sum(p is None for p in pictures) / 2000 == pytest.approx(0.3, abs=0.04)


def test_things_are_missed_as_often_as_said():
    _, pictures = seen(SensorModel(dropped=0.0, missed=0.1), 2000)
    assert 1 - sum(len(p) for p in pictures) / 4000 == pytest.approx(0.1, abs=0.02)


def test_without_noise_a_box_stands_on_the_place_of_its_thing():
    camera, (picture,) = seen(SensorModel(dropped=0.0, missed=0.0, foot_sd=0.0, side_sd=0.0), 1)
    np.testing.assert_allclose(
        camera.ground_from_pixel(picture.foot_px), [[8.0, 1.0], [12.0, 0.0]], atol=1e-9
    )


def test_who_is_not_visible_is_not_detected():
    _, pictures = seen(SensorModel(dropped=0.0, missed=0.0), 20, is_visible=(False, True))
    assert {CLASSES[k] for p in pictures for k in p.class_id} == {"vehicle"}


# --- vehicle ----------------------------------------------------------------------------------


def driven(commands, *, seconds=10.0, model=VehicleModel()):
    """The vehicle after some time; commands by the second in which they arrive."""
    vehicle, step_s = Vehicle(model=model, x_m=0.0), 0.01
    for k in range(round(seconds / step_s)):
        for command in [c for c in commands if c.issued_ns == k * S // 100]:
            vehicle.receive(command)
        vehicle.drive(k * S // 100, step_s)
    return vehicle


def command(level, at_s=0, valid_s=100.0):
    now_ns = round(at_s * S)
    return ActuatorCommand(
        command_id="c",
        machine="vehicle",
        level=level,
        issued_ns=now_ns,
        valid_until_ns=now_ns + round(valid_s * S),
        revision=0,
        reasons=(),
        mode=Mode.PRIMARY,
    )


def test_a_vehicle_without_a_command_stands():
    assert driven([]).x_m == 0.0


def test_a_vehicle_that_is_let_go_reaches_its_cruise_speed():
    assert driven([command(CommandLevel.NONE)]).speed_m_s == 5.0


def test_a_vehicle_whose_command_runs_out_stops_by_itself():
    assert driven([command(CommandLevel.NONE, valid_s=5.0)]).speed_m_s == 0.0


def test_the_way_of_braking_is_that_of_the_formula():
    go, stop = command(CommandLevel.NONE), command(CommandLevel.STOP, at_s=5)
    before = driven([go], seconds=5.0).x_m
    way_m = driven([go, stop]).x_m - before
    assert way_m == pytest.approx(5.0 * 0.3 + 25.0 / 6.0, abs=0.1)
