"""Applications: contracts, pipelines and a simulator each; an application is a pipeline."""
