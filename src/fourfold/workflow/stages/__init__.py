"""The kinds of stage a recipe may name, in the order of a model's life."""

from fourfold.workflow.stages import corpus, pretrain, tokenizer

KINDS = {module.KIND.name: module.KIND for module in (corpus, tokenizer, pretrain)}

__all__ = ["KINDS"]
