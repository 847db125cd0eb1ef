import type { Network } from "../checkpoints/onnx/network.ts";
import { Registry } from "../registry.ts";
import type { Architecture, ModelConfig } from "./architecture.ts";
import { bart } from "./families/bart.ts";
import { bert } from "./families/bert.ts";
import { deberta } from "./families/deberta.ts";
import { distilbert } from "./families/distilbert.ts";
import { electra } from "./families/electra.ts";
import { gemma2 } from "./families/gemma2.ts";
import { gemma3 } from "./families/gemma3.ts";
import { gpt2 } from "./families/gpt2.ts";
import { llama } from "./families/llama.ts";
import { mistral } from "./families/mistral.ts";
import { modernbert } from "./families/modernbert.ts";
import { mpnet } from "./families/mpnet.ts";
import { qwen2 } from "./families/qwen2.ts";
import { qwen3 } from "./families/qwen3.ts";
import { roberta } from "./families/roberta.ts";
import { t5 } from "./families/t5.ts";
import type { HeadFeatures } from "./heads.ts";
import type { PictureSize } from "./model-parts.ts";
import { importedModel } from "./onnx/imported-model.ts";
import type { Pooling } from "./pooling.ts";

interface Family {
  readonly name: string;
  readonly architecture: Architecture;
}

const familiesOf = (architecture: Architecture): Family[] =>
  Object.keys(architecture.modelTypes).map((name) => ({ name, architecture }));

export const FAMILIES = new Registry<Family>(
  "model_type",
  [
    ...[bert, roberta, distilbert, electra, mpnet, deberta, modernbert],
    ...[llama, mistral, qwen2, qwen3, gemma2, gemma3, gpt2],
    ...[bart, t5],
  ].flatMap(familiesOf),
);

/**
 * Registers a family of the caller's own under its values of `model_type`, in this process.
 * @throws UserError if one of them is taken.
 */
export function registerArchitecture<Config extends ModelConfig>(architecture: Architecture<Config>): void {
  FAMILIES.register(...familiesOf(architecture));
}

/** Whether there is a family for a `model_type`. Models without a family are read from ONNX files alone. */
export const hasFamily = (modelType: string): boolean => FAMILIES.get(modelType) !== undefined;

/** A model's family and its configuration. */
export interface ModelDescription {
  architecture: Architecture;
  config: ModelConfig;
  /** Pooling of a text's tokens (default: their mean). */
  pooling?: Pooling;
  /** Input of the sequence head's last layer (default: the family's own). */
  features?: HeadFeatures | undefined;
}

/** Returns the family for `model_type` of a parsed config.json, and its configuration. */
export function describeModel(raw: unknown, network?: Network, pictureSize?: PictureSize): ModelDescription {
  const modelType = String((raw as { model_type?: unknown } | null)?.model_type);
  if (network) return importedModel(raw, network, FAMILIES.get(modelType)?.architecture, pictureSize);
  const { architecture } = FAMILIES.find(modelType, "config.json");
  return { architecture, config: architecture.readConfig(raw) };
}
