"""The families we know, found by name or by architecture."""

from __future__ import annotations

from fourfold.errors import unknown_name
from fourfold.models.families.bart import BART
from fourfold.models.families.bert import BERT
from fourfold.models.families.bloom import BLOOM
from fourfold.models.families.chatglm import CHATGLM
from fourfold.models.families.distilbert import DISTILBERT
from fourfold.models.families.electra import ELECTRA
from fourfold.models.families.falcon import FALCON
from fourfold.models.families.gemma import GEMMA
from fourfold.models.families.gemma2 import GEMMA2
from fourfold.models.families.gemma3 import GEMMA3
from fourfold.models.families.glm import GLM
from fourfold.models.families.gpt2 import GPT2
from fourfold.models.families.gpt_neox import GPT_NEOX
from fourfold.models.families.llama import LLAMA
from fourfold.models.families.mistral import MISTRAL
from fourfold.models.families.mixtral import MIXTRAL
from fourfold.models.families.mt5 import MT5
from fourfold.models.families.olmo2 import OLMO2
from fourfold.models.families.opt import OPT
from fourfold.models.families.phi import PHI
from fourfold.models.families.qwen2 import QWEN2
from fourfold.models.families.qwen3 import QWEN3
from fourfold.models.families.roberta import ROBERTA
from fourfold.models.families.t5 import T5
from fourfold.models.interop import Config, Family

LLAMAS = (LLAMA, MISTRAL, MIXTRAL, QWEN2, QWEN3)
DECODERS = (GPT2, GPT_NEOX, GEMMA, GEMMA2, GEMMA3, PHI, FALCON, BLOOM, OPT, OLMO2, GLM, CHATGLM)
ENCODERS = (BERT, ROBERTA, DISTILBERT, ELECTRA)
ENCODER_DECODERS = (BART, T5, MT5)
FAMILIES = {family.name: family for family in (*LLAMAS, *DECODERS, *ENCODERS, *ENCODER_DECODERS)}
"""By `model_type`. Where several can express an architecture, the first is written."""


def family_named(name: str, where: object = None) -> Family:
    """The family of a `model_type` or GGUF architecture; UserError naming the nearest."""
    if name not in FAMILIES:
        raise unknown_name("model architecture", name, FAMILIES, where)
    return FAMILIES[name]


def family_for(config: Config) -> Family | None:
    """The first family that can express the architecture, or None."""
    return next((family for family in FAMILIES.values() if family.express(config) is not None), None)
