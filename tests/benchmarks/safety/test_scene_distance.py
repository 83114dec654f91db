"""Where somebody in conflict is first seen."""

from benchmarks.safety.scene_drawing import SceneConfig, draw_conflict


def test_nobody_is_first_seen_nearer_than_the_way_to_stop_and_two_seconds_of_driving():
    config = SceneConfig()
    for seed in range(60):
        scene = draw_conflict(config, seed)
        speed_m_s = scene.vehicle.cruise_m_s
        least_m = config.declared.stopping_m(speed_m_s) + config.lead_s * speed_m_s
        front_m = 0.0
        assert scene.people[0].start_m[0] - front_m >= least_m
