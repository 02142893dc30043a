"""Fold 2, adaptation: instruction tuning, alignment, parameter-efficient fine-tuning."""
