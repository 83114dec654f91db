"""The fleets of the documentation, built again and scored."""

from benchmarks.fleets import FLEETS, NamedFleet, fleet_lines, score_fleets
from tests.evidence.fleet.other_world import World

FAULTS = ((0, "agc_dbm", "stuck", 3.30, 7200.0, 0.0), (0, "load_i", "stuck", 3.70, 7200.0, 0.0))


def test_a_fleet_is_written_watched_and_its_counts_are_those_of_the_world():
    world = World(
        satellites=1,
        days=5,
        step_s=120,
        sensor_faults_per_day=0,
        physical_faults_per_day=0,
        given=(*FAULTS, (0, "t_panel", "dropout", 4.5, 7200.0, 0.0)),
    )
    found = score_fleets(fleets=[NamedFleet(name="small", scene=world)])
    row = found["fleets"][0]
    assert row["by_kind"] == {"dropout": {"found": 1, "faults": 1}}
    assert found["apart"]["faults"] == 1
    assert found["chosen_on"]["faults"] == 0
    assert fleet_lines(found)[1].startswith("small")


def test_fleets_have_names_of_their_own():
    assert len({fleet.name for fleet in FLEETS}) == len(FLEETS)
