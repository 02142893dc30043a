"""Recipes, stages and runs."""

from fourfold.workflow.recipe import Recipe, StageSpec, parse_recipe
from fourfold.workflow.runner import RunResult, StageResult, resume_command, run_recipe

__all__ = [
    "Recipe",
    "RunResult",
    "StageResult",
    "StageSpec",
    "parse_recipe",
    "resume_command",
    "run_recipe",
]
