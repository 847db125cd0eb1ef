import type { KindHead } from "../architectures/architecture.ts";
import { pluralOf } from "../architectures/architecture-kinds.ts";
import { type BaseFormat, formatOfTypes } from "../architectures/base-format.ts";
import { describeModel, hasFamily, type ModelDescription } from "../architectures/families.ts";
import { nameOfHead, offersHead, readsPooled } from "../architectures/heads.ts";
import type { WeightSpec } from "../architectures/model-parts.ts";
import { readModelWeights } from "../architectures/model-weights.ts";
import { MEAN_POOLING, POOLING_MODES, type Pooling } from "../architectures/pooling.ts";
import { defaultHead, isPretrained, type ModelTrace, traceModel } from "../architectures/trace.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { type FolderConfig, type ModelFolder, openModelFolder } from "../checkpoints/model-folder.ts";
import { readSentenceModules } from "../checkpoints/sentence-modules.ts";
import { opt, UserError } from "../errors.ts";
import { ELEMENT_SIZE, elementsOf, type Tensor, type Tensors } from "../graph/tensor.ts";
import { loadTokenizer } from "../inputs/load-tokenizer.ts";
import { noTokenizer } from "../inputs/no-tokenizer.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import { constant, normal, randomFor } from "../methods/initializers.ts";
import type { TaskData } from "../tasks/example.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind, kindsForModel } from "../tasks/task-kinds.ts";
import { type Decoders, mediaReader, processorFor, readsOf } from "./media-reader.ts";
import type { MediaReader } from "./read-media.ts";

/** A pretrained model in memory, with a head for a task. */
export interface BaseModel extends ModelDescription {
  /** Requested name or folder; for a model on the hub `owner/name`. */
  name: string;
  /** Commit of a model on the hub. */
  revision?: string;
  /** Source of its configuration, tokenizer and weights. */
  files: ModelFiles;
  tokenizer: Tokenizer;
  /** Reader of files, if the model does not read texts. */
  media?: MediaReader | undefined;
  trace: ModelTrace;
  labelCount: number;
  head: KindHead;
  /** Storage format of the backbone weights. */
  format: BaseFormat;
  /** Weights by name without the family's prefix. */
  weights: Map<string, Tensor<"float32">>;
  /** Tensors that replace backbone weights in a format other than float32. */
  quantized: Tensors;
  /** Weights of the head that are newly initialized, because the checkpoint lacks them or has them for other labels. */
  newWeights: WeightSpec[];
  /** Tensors of the checkpoint that the model does not use. */
  unused: string[];
}

/** Properties of a checkpoint's weights. */
export interface StoredWeights {
  /** Size of its tensors in float32, in bytes. */
  float32Bytes: number;
  /** Format of its layers, if they are stored in blocks of few bits. */
  format: BaseFormat | undefined;
}

/** Storage format of a model's weights, or a function that chooses it from the properties of the checkpoint's. */
export type FormatChoice = BaseFormat | ((stored: StoredWeights) => BaseFormat);

/** Name and revision of a model (default: its location), and the storage format of its weights (default: float32). */
export interface BaseOptions extends Partial<Pick<BaseModel, "name" | "revision">> {
  format?: FormatChoice;
  /** Decoders of pictures and sounds. If undefined, the model cannot read such files. */
  decoders?: Partial<Decoders>;
}

/** The task that a head is for. */
export type HeadTask = Pick<TaskData, "kind" | "labels" | "features">;

/** A model whose description, tokenizer and media reader are known, and whose weights are not read yet. */
export interface OpenedModel<Base extends BaseModel = BaseModel>
  extends ModelDescription,
    Pick<BaseModel, "name" | "revision" | "files" | "tokenizer" | "media"> {
  /** Its config.json. */
  raw: FolderConfig;
  /**
   * Reads the weights. Head parameters that the checkpoint lacks are drawn from `seed` as Hugging Face does: matrices normal,
   * biases 0, normalisations 1. The checkpoint's own classifier is kept if it is for the same labels.
   * @param task the task of the head (default: the checkpoint's own text classification)
   * @throws UserError if a weight is missing or damaged, or the model does not suit the task
   */
  read(task: HeadTask | undefined, seed: number, format?: FormatChoice): Promise<Base>;
}

export async function openBaseModel(
  files: ModelFiles,
  { decoders, ...name }: Omit<BaseOptions, "format"> = {},
): Promise<OpenedModel> {
  const folder = await openModelFolder(files);
  const { network } = folder.weights;
  const processor = await processorFor(network, files);
  const description = { ...describeModel(folder.config, network, processor), pooling: await readPooling(files) };
  const media = await mediaReader(description.config, files, processor, decoders);
  const tokenizer = media ? noTokenizer(files.location, media.reads) : await loadTokenizer(files);
  const opened = {
    name: files.location,
    raw: folder.config,
    ...description,
    ...name,
    files,
    tokenizer,
    ...(media && { media }),
  };
  return {
    ...opened,
    async read(task, seed, choice = "float32") {
      const format = typeof choice === "string" ? choice : choice(storedWeights(folder));
      return { ...opened, format, ...(await readForTask(folder, { ...description, format }, task, seed)) };
    },
  };
}

/**
 * Opens a model and reads its weights, as `OpenedModel.read` does.
 * @throws UserError as both do
 * @example
 * ```ts
 * const base = await readBaseModel(urlFiles("https://example.org/models/mine"), adapter.description.task, 0);
 * ```
 */
export async function readBaseModel(
  files: ModelFiles,
  task: HeadTask | undefined,
  seed: number,
  { format, ...options }: BaseOptions = {},
): Promise<BaseModel> {
  return (await openBaseModel(files, options)).read(task, seed, format);
}

function storedWeights({ config, weights }: ModelFolder): StoredWeights {
  const all = [...weights.tensors.values()];
  // Word embeddings are stored in more bits than layers.
  const layers = all.filter(({ shape }) => shape.length === 2 && shape[0] !== config.vocab_size);
  return {
    float32Bytes: all.reduce((sum, { shape }) => sum + ELEMENT_SIZE.float32 * elementsOf(shape), 0),
    format: formatOfTypes(new Set(layers.map(({ dtype }) => dtype))),
  };
}

/**
 * Returns the same model with a head for another task, like {@link readBaseModel}. The backbone's arrays are shared.
 */
export async function withHead<Base extends BaseModel>(base: Base, task: HeadTask, seed: number): Promise<Base> {
  const read = await readForTask(await openModelFolder(base.files), base, task, seed, base);
  return { ...base, ...read };
}

type TaskParts = Pick<
  BaseModel,
  "trace" | "labelCount" | "head" | "features" | "weights" | "quantized" | "newWeights" | "unused"
>;

async function readForTask(
  { config, weights: source }: ModelFolder,
  given: ModelDescription & Pick<BaseModel, "format">,
  task: HeadTask | undefined,
  seed: number,
  backbone?: Pick<BaseModel, "weights" | "quantized">,
): Promise<TaskParts> {
  // A model without a family has no head of its own.
  const features = task?.features ?? (hasFamily(given.config.modelType) ? undefined : "mean");
  const description = { ...given, features };
  const kind = task && findTaskKind(task.kind);
  const head = kind?.head ?? defaultHead(description.architecture);
  const { labelCount: ownCount, vocabularySize } = description.config;
  const labelCount =
    kind?.outputs(task!.labels, description.config) ?? (isPretrained(head) ? vocabularySize : ownCount);
  if (kind) refuseOtherModel(kind, description);
  if (head === "pooled" && description.pooling?.scores) {
    throw new UserError(
      "the model is a classifier: it returns label scores instead of vectors, with a head of sentence-transformers that aflora does not read; use the run or the model that it was made from",
    );
  }
  const trace = traceModel(description, labelCount, head);
  const known = !kind || hasLabels(config, description.config.labelCount, kind, task!.labels, labelCount);
  const takes = (weight: WeightSpec) =>
    (known && !readsPooled(head, features)) || !weight.name.startsWith(`${trace.classifier}.`);
  const { format } = description;
  const read = await readModelWeights(source, description, trace, { takes, format, backbone });
  const { weights, quantized, missing, unused } = read;
  for (const { name, shape } of missing) {
    const matrix = shape.length > 1;
    const initialize = matrix ? normal(description.config.initializerRange) : constant(name.endsWith(".bias") ? 0 : 1);
    weights.set(name, initialize(shape as number[], randomFor(seed, name)));
  }
  return { trace, labelCount, head, features, weights, quantized, newWeights: missing, unused };
}

const HEAD_ABILITIES: Readonly<Record<string, string>> = {
  sequence: "labels texts",
  token: "labels words",
  languageModel: "writes texts",
};

export function refuseOtherModel(
  { name, modelKind, head, reads }: TaskKind,
  { architecture, config }: ModelDescription,
): void {
  const own = readsOf(config);
  if (reads !== own) {
    throw new UserError(
      `task kind "${name}" is for models that read ${reads ?? "texts"}, and this model of type "${config.modelType}" reads ${own ?? "texts"}; take another model, or another ${opt("kind")}`,
    );
  }
  if (modelKind === undefined && !offersHead(architecture, head)) {
    throw new UserError(
      `task kind "${name}" needs a model that ${HEAD_ABILITIES[nameOfHead(head)]}, which models of type "${config.modelType}" cannot do; choose another model with ${opt("model")}`,
    );
  }
  if (modelKind === undefined || modelKind === architecture.kind) return;
  const others = kindsForModel(architecture.kind);
  throw new UserError(
    `task kind "${name}" is for ${pluralOf(modelKind)}, and models of type "${config.modelType}" are ${pluralOf(architecture.kind)}; take another model${others.length > 0 ? `, or ${opt("kind")} ${others.join(" or ")}` : ""}`,
  );
}

export async function readPooling(files: ModelFiles): Promise<Pooling> {
  const modules = await readSentenceModules(files);
  if (!modules) return MEAN_POOLING;
  const { poolingModes, normalize, maxLength, head } = modules;
  const mode = POOLING_MODES.find((known) => known === poolingModes.join());
  if (mode) return { mode, normalize, maxLength, ...(head !== undefined && { scores: true }) };
  throw new UserError(
    `${files.location} pools a text's tokens by ${poolingModes.join(" and ")}, which is not supported; ${POOLING_MODES.join(", ")} are`,
  );
}

/** Whether a checkpoint's head is for this kind of task and these labels in this order. Unnamed labels are numbers. */
function hasLabels(
  { architectures, id2label }: FolderConfig,
  ownCount: number,
  { huggingFace, head }: TaskKind,
  labels: readonly string[],
  labelCount: number,
): boolean {
  // The outputs of a language model are its vocabulary.
  if (isPretrained(head)) return true;
  const suffix = huggingFace.autoClass.replace("AutoModel", "");
  if (ownCount !== labelCount || !architectures?.some((name) => name.endsWith(suffix))) return false;
  return labels.every((label, i) => {
    const own = id2label?.[i] ?? `LABEL_${i}`;
    return own.toLowerCase() === label.toLowerCase() || (own === `LABEL_${i}` && label === String(i));
  });
}
