"""Looks into a data file: layout, roles, masks, repetitions, overlap with tests, characters, preferences."""

from fourfold.workflow.doctor.data.checks import DATA_CHECKS
from fourfold.workflow.doctor.data.reading import DATA_FILES, Data, open_data

__all__ = ["DATA_CHECKS", "DATA_FILES", "Data", "open_data"]
