"""Parameter-efficient fine-tuning: few numbers train, the base stays."""

from fourfold.adaptation.peft.lora import LoRAOptions, adapter_count, add_lora, merge_lora, trainable_parameters

__all__ = ["LoRAOptions", "adapter_count", "add_lora", "merge_lora", "trainable_parameters"]
