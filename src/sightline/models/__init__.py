"""Models as artefacts: what a model is, what it takes, where it came from; refused when changed."""

from sightline.models.artefact import (
    InputContract,
    ModelArtefact,
    load_artefact,
    model_kind,
    save_artefact,
)

__all__ = ["InputContract", "ModelArtefact", "load_artefact", "model_kind", "save_artefact"]
