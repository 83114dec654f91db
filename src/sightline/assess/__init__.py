"""Turn measured things into risk, with reasons: silence and loss of links."""

from sightline.assess.packet_loss import loss_ratio
from sightline.assess.silence import ContactPlan, SilenceEpisodes, silence_episodes

__all__ = ["ContactPlan", "SilenceEpisodes", "loss_ratio", "silence_episodes"]
