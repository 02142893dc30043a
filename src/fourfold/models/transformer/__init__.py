"""The transformer: one configuration, values for every variant (the survey's chapter 4.2)."""

from fourfold.models.transformer.block import Block
from fourfold.models.transformer.cache import Earlier, KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, EncoderDecoderState
from fourfold.models.transformer.feed_forward import FeedForwardLayer
from fourfold.models.transformer.initialisation import learning_rate_scale, mup
from fourfold.models.transformer.language_model import TransformerLM
from fourfold.models.transformer.masks import Packed, Sight, look
from fourfold.models.transformer.model import Transformer
from fourfold.models.transformer.options import (
    Activation,
    ALiBi,
    Attention,
    DynamicNTKScaling,
    Embedding,
    Experts,
    FeedForward,
    Head,
    Initialisation,
    Learned,
    LinearScaling,
    Llama3Scaling,
    Mask,
    NoPositions,
    Norm,
    NormPlace,
    NTKScaling,
    Positions,
    Relative,
    Residual,
    Rotary,
    RotaryScaling,
    Sinusoidal,
    Task,
    YaRNScaling,
)
from fourfold.models.transformer.paged import PAGE, OutOfPages, PagedCache, Pages, PageShape
from fourfold.models.transformer.positions import PositionEncoding
from fourfold.models.transformer.rotary import frequencies

__all__ = [
    "PAGE",
    "ALiBi",
    "Activation",
    "Attention",
    "Block",
    "DynamicNTKScaling",
    "Earlier",
    "Embedding",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "EncoderDecoderState",
    "Experts",
    "FeedForward",
    "FeedForwardLayer",
    "Head",
    "Initialisation",
    "KeyValueCache",
    "Learned",
    "LinearScaling",
    "Llama3Scaling",
    "Mask",
    "NTKScaling",
    "NoPositions",
    "Norm",
    "NormPlace",
    "OutOfPages",
    "Packed",
    "PageShape",
    "PagedCache",
    "Pages",
    "PositionEncoding",
    "Positions",
    "Relative",
    "Residual",
    "Rotary",
    "RotaryScaling",
    "Sight",
    "Sinusoidal",
    "Task",
    "Transformer",
    "TransformerConfig",
    "TransformerLM",
    "YaRNScaling",
    "frequencies",
    "learning_rate_scale",
    "look",
    "mup",
]
