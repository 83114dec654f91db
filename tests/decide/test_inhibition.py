from decide.making import decision
from sightline.decide import Episode, InhibitionRule, episodes, released

RULE = InhibitionRule(kind="link", inhibited_by=("region",), hold_ns=20)


def release(candidates, wider, now_ns=1000):
    return [
        (d.event_ns, str(d.transition)) for d in released(RULE, candidates, wider, now_ns=now_ns)[0]
    ]


def link(start, end=None):
    cleared = None if end is None else decision(end, raised=False)
    return Episode(raised=decision(start), cleared=cleared)


def test_without_a_wider_episode_both_ends_are_released():
    assert release([link(100, 200)], []) == [(100, "raised"), (200, "cleared")]


def test_a_candidate_waits_for_its_hold():
    assert release([link(100)], [], now_ns=119) == []


def test_a_candidate_is_released_when_its_hold_has_passed():
    assert release([link(100)], [], now_ns=120) == [(100, "raised")]


def test_a_wider_episode_within_the_hold_inhibits():
    assert release([link(100, 200)], [link(120)]) == []


def test_a_wider_episode_after_the_hold_does_not_inhibit():
    assert release([link(100)], [link(121)]) == [(100, "raised")]


def test_a_wider_episode_that_lasts_inhibits():
    assert release([link(100)], [link(50)]) == []


def test_a_wider_episode_that_was_over_does_not_inhibit():
    assert release([link(100)], [link(50, 100)]) == [(100, "raised")]


def test_an_episode_that_outlasts_the_wider_one_is_news_again():
    assert release([link(100)], [link(100, 200)], now_ns=221) == [(100, "raised")]


def test_an_episode_gets_the_hold_to_end_after_the_wider_one():
    assert release([link(100)], [link(100, 200)], now_ns=220) == []
    assert release([link(100, 220)], [link(100, 200)]) == []


def test_an_inhibited_episode_that_lasts_waits():
    assert released(RULE, [link(100)], [link(100)], now_ns=1000) == ([], True)


def test_transitions_pair_into_episodes_in_order_of_time():
    found = episodes([decision(30), decision(20, raised=False), decision(10)])
    assert [(e.start_ns, e.end_ns) for e in found] == [(10, 20), (30, (1 << 63) - 1)]
