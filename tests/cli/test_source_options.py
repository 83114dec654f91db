"""``--source NAME=LOCATION``: what is refused, and that no location is repeated."""

import pytest

from sightline.cli.sources import parse_locations
from sightline.errors import UsageError


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (["hal=a.csv"], "got hal;"),
        (["hall=a.csv", "hall=b.csv"], "got hall again;"),
        (["a.csv"], "got no NAME=;"),
        (["rtsp://user:hunter2=x@gate/1"], "got no NAME=;"),
    ],
)
def test_what_is_no_location_of_a_source_is_refused_by_its_name_alone(given, got):
    with pytest.raises(UsageError, match="NAME=LOCATION, once for each of yard, hall") as caught:
        parse_locations(given, ["yard", "hall"])
    assert got in str(caught.value)
    assert "hunter2" not in str(caught.value)
