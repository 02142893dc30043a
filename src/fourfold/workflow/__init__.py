"""Recipes, stages and runs."""

from fourfold.workflow.quickstart import quickstart_recipe
from fourfold.workflow.recipe import Recipe, StageSpec, parse_recipe
from fourfold.workflow.runner import RunResult, StageResult, resume_command, run_recipe
from fourfold.workflow.survey import FolderSummary, describe_folder, init_recipe

__all__ = [
    "FolderSummary",
    "Recipe",
    "RunResult",
    "StageResult",
    "StageSpec",
    "describe_folder",
    "init_recipe",
    "parse_recipe",
    "quickstart_recipe",
    "resume_command",
    "run_recipe",
]
