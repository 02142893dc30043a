"""The kinds of stage a recipe may name, in the order of a model's life."""

from fourfold.workflow.stages import corpus, data, evaluate, finetune, generate, pretrain, score, tokenizer, tune

KINDS = {
    module.KIND.name: module.KIND
    for module in (corpus, tokenizer, pretrain, finetune, data, tune, score, generate, evaluate)
}
