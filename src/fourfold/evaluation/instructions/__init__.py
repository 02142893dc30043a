"""Instructions whose following a program can check: the 25 kinds of IFEval."""

from fourfold.evaluation.instructions.checks import CHECKS
from fourfold.evaluation.instructions.following import Followed, follow, needs_languages
from fourfold.evaluation.instructions.words import can_tell_languages

__all__ = ["CHECKS", "Followed", "can_tell_languages", "follow", "needs_languages"]
