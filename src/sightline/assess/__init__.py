"""Turn measured things into risk, with reasons: silence and loss of links."""

from sightline.assess.links import ContactPlan, SilenceEpisodes, loss_ratio, silence_episodes

__all__ = ["ContactPlan", "SilenceEpisodes", "loss_ratio", "silence_episodes"]
