"""The stages that Sightline brings: classes that put functions of the rooms into the engine."""
