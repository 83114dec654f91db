"""Whom a decision of a site is about: its subject, read back into camera, tracks, zone, machine."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.assess.site import RiskCode
from sightline.records import Decision

COMMAND_KIND = "command_"
"""Decisions that say that the level of a machine has changed begin like this."""
PAIR_KINDS = frozenset(
    code.lower()
    for code in (
        RiskCode.TOO_CLOSE,
        RiskCode.IN_STOPPING_PATH,
        RiskCode.COLLISION_COURSE,
        RiskCode.APPROACHING,
        RiskCode.LOST_NEAR_MACHINE,
        RiskCode.UNLOCATED,
    )
)
"""Decisions about somebody near a machine that moves."""
_ZONES = {code.lower() for code in RiskCode} - PAIR_KINDS
_TRACK = "track-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSubject:
    """Whom or what a decision is about.

    Attributes:
        machine: ``""`` where it is about none.
        camera: ``""`` for a machine's command, which may be about several.
        tracks: ids of the camera; of a pair the person first, then the machine.
        zone: ``""`` where it is about none.
    """

    machine: str = ""
    camera: str = ""
    tracks: tuple[int, ...] = ()
    zone: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether it is about somebody near a machine."""
        return bool(self.machine and self.camera)


def site_subject(kind: str, subject: str) -> SiteSubject:
    """What ``runtime.frames.conditions`` has put together.

    >>> site_subject("in_forbidden_zone", "east/track-7/pit")
    SiteSubject(machine='', camera='east', tracks=(7,), zone='pit')
    >>> site_subject("too_close", "forklift/east/track-7/track-2")
    SiteSubject(machine='forklift', camera='east', tracks=(7, 2), zone='')
    >>> site_subject("command_stop", "forklift").machine
    'forklift'
    """
    parts = subject.split("/")
    if kind.startswith(COMMAND_KIND):
        return SiteSubject(machine=subject)
    if kind in PAIR_KINDS:
        machine, camera, *tracks = parts
        return SiteSubject(machine=machine, camera=camera, tracks=_ids(tracks))
    if kind in _ZONES:
        camera, *tracks, zone = parts
        return SiteSubject(camera=camera, tracks=_ids(tracks), zone=zone)
    return SiteSubject(camera=parts[0])


def subject_of(decision: Decision) -> SiteSubject:
    """The same of a decision."""
    return site_subject(decision.kind, decision.subject)


def _ids(parts: list[str]) -> tuple[int, ...]:
    return tuple(int(part.removeprefix(_TRACK)) for part in parts)
