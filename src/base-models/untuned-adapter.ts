import type { ModelDescription } from "../architectures/families.ts";
import type { Pooling } from "../architectures/pooling.ts";
import type { FolderConfig } from "../checkpoints/model-folder.ts";
import { head } from "../methods/head.ts";
import { embeddingKind, recognizeHead, TASK_KINDS } from "../tasks/task-kinds.ts";
import type { Adapter, AdapterDescription } from "./adapter.ts";

/** Default limit on the tokens of an embedded text, if the model's folder has none. */
const MAX_LENGTH = 256;

export interface UntunedModel extends Pick<ModelDescription, "architecture" | "config"> {
  raw: FolderConfig;
  pooling?: Pooling | undefined;
}

/**
 * Makes an adapter that changes nothing, for the task that a model's configuration names. A decoder or an encoder-
 * decoder generates, a checkpoint with a head labels, and any other encoder embeds.
 */
export function adapterOfUntuned(
  model: string,
  { raw, pooling, ...described }: UntunedModel,
  { kind: asked, revision }: { kind?: string | undefined; revision?: string | undefined } = {},
): Adapter {
  const { maxLength, modelType, picture } = described.config;
  const found = asked === undefined ? taskOf(raw, described) : { kind: asked, labels: [] };
  // The kind that embeds texts becomes the one that embeds pictures, if the model reads these.
  const { kind, labels } =
    picture && found.kind === embeddingKind().name ? { ...found, kind: embeddingKind("pictures").name } : found;
  const poolingLimit = kind === embeddingKind().name ? (pooling?.maxLength ?? MAX_LENGTH) : maxLength;
  const description: AdapterDescription = {
    format: "aflora-adapter",
    model,
    ...(revision !== undefined && { revision }),
    modelType,
    method: head.name,
    methodOptions: {},
    task: { name: "custom", kind, labels, metrics: [] },
    maxLength: Math.min(poolingLimit, maxLength),
  };
  return { description, parameters: new Map() };
}

function taskOf(
  raw: FolderConfig,
  { architecture, config }: Pick<ModelDescription, "architecture" | "config">,
): { kind: string; labels: string[] } {
  const forModel = TASK_KINDS.all.filter(({ modelKind = architecture.kind }) => modelKind === architecture.kind);
  const suffixOf = (autoClass: string): string => autoClass.replace("AutoModel", "");
  const own = forModel.find(({ huggingFace: { autoClass } }) => {
    return suffixOf(autoClass) !== "" && raw.architectures?.some((name) => name.endsWith(suffixOf(autoClass)));
  });
  if (own?.head === "sequence" || own?.head === "token") {
    const outputs = Array.from({ length: config.labelCount }, (_, i) => raw.id2label?.[i] ?? `LABEL_${i}`);
    const { kind, labels } = recognizeHead(own.head, outputs, raw.problem_type, architecture.kind);
    return { kind: kind.name, labels };
  }
  const written = forModel.find(({ modelKind }) => modelKind !== undefined);
  return { kind: (written ?? embeddingKind()).name, labels: [] };
}
