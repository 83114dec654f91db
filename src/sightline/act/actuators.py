"""Names of before: commands go out by outlets (:mod:`sightline.act.outlet`)."""

from sightline.act.delivery import CommandSender
from sightline.act.outlet import Outlet as Actuator

__all__ = ["Actuator", "CommandSender"]
