/** Name of the file by which an adapter folder of Hugging Face PEFT is told. */
export const PEFT_CONFIG = "adapter_config.json";

/** Name of its file with the parameters. */
export const PEFT_WEIGHTS = "adapter_model.safetensors";
