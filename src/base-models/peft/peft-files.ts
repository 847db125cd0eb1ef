/** File name that identifies an adapter folder of Hugging Face PEFT. */
export const PEFT_CONFIG = "adapter_config.json";

/** Name of the file with its parameters. */
export const PEFT_WEIGHTS = "adapter_model.safetensors";

/** Name of that file in older adapters. */
export const PEFT_PICKLE = "adapter_model.bin";

/** Files of an adapter; of the two with parameters, most have one. */
export const PEFT_FILES = [PEFT_CONFIG, PEFT_WEIGHTS, PEFT_PICKLE] as const;
