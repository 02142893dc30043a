"""Instruction tuning: conversations from files and from programs, and batches of them."""

from fourfold.adaptation.instruction.batches import (
    ConversationBatches,
    EpochOrder,
    Example,
    conversation_batches,
    encode_example,
    pad_examples,
    pad_token,
)
from fourfold.adaptation.instruction.calculator import (
    Problem,
    calculator_conversations,
    calculator_problems,
    is_held_out,
)
from fourfold.adaptation.instruction.conversations import (
    as_messages,
    parse_conversation,
    read_conversations,
    read_records,
    write_conversations,
)
from fourfold.adaptation.instruction.replay import (
    GeneralQuestion,
    answer_prompts,
    general_prompts,
    general_questions,
    mix,
    replay_conversations,
    whole_sentences,
)

__all__ = [
    "ConversationBatches",
    "EpochOrder",
    "Example",
    "GeneralQuestion",
    "Problem",
    "answer_prompts",
    "as_messages",
    "calculator_conversations",
    "calculator_problems",
    "conversation_batches",
    "encode_example",
    "general_prompts",
    "general_questions",
    "is_held_out",
    "mix",
    "pad_examples",
    "pad_token",
    "parse_conversation",
    "read_conversations",
    "read_records",
    "replay_conversations",
    "whole_sentences",
    "write_conversations",
]
