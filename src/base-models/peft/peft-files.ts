export const PEFT_CONFIG = "adapter_config.json";
export const PEFT_WEIGHTS = "adapter_model.safetensors";
export const PEFT_PICKLE = "adapter_model.bin";
export const PEFT_FILES = [PEFT_CONFIG, PEFT_WEIGHTS, PEFT_PICKLE] as const;
