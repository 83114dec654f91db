"""Inspectors: trained into a model, run over pictures, held against marked defects."""
