/** File name that identifies an adapter folder of Hugging Face PEFT. */
export const PEFT_CONFIG = "adapter_config.json";

/** Name of the file with its parameters. */
export const PEFT_WEIGHTS = "adapter_model.safetensors";
