import { poolingOfFeatures, readsPooled } from "../architectures/heads.ts";
import type { AdapterDescription } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { openSafetensors, safetensorsBytes } from "../checkpoints/safetensors.ts";
import { readSentenceModules, SENTENCE_FILES } from "../checkpoints/sentence-modules.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import type { Tensors } from "../graph/tensor.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { labelNames } from "./hugging-face.ts";
import { type OutputFolder, writeJson } from "./output-folder.ts";

/**
 * Writes the files for sentence-transformers to compute vectors with the folder's model, in the form that every version
 * reads. A head on pooled hidden states is the last module: its outputs are the vectors.
 */
export async function writeSentenceFiles(
  folder: OutputFolder,
  base: BaseModel,
  maxLength: number,
  weights: Tensors<"float32">,
): Promise<void> {
  const { config, head, features, pooling, labelCount } = base;
  const hasHead = readsPooled(head, features);
  const { mode, normalize } = poolingOfFeatures(features ?? "sentence", pooling);
  const types = ["Transformer", "Pooling", ...(normalize ? ["Normalize"] : []), ...(hasHead ? ["Dense"] : [])];
  const modules = types.map((type, idx) => {
    const path = idx === 0 ? "" : `${idx}_${type}`;
    return { idx, name: String(idx), path, type: `sentence_transformers.models.${type}` };
  });
  await writeJson(folder, SENTENCE_FILES.modules, modules);
  await writeJson(folder, SENTENCE_FILES.transformer, { max_seq_length: maxLength, do_lower_case: false });
  await writeJson(folder, SENTENCE_FILES.pooling, {
    word_embedding_dimension: config.hiddenSize,
    pooling_mode_cls_token: mode === "cls",
    pooling_mode_mean_tokens: mode === "mean",
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
    pooling_mode_weightedmean_tokens: false,
    pooling_mode_lasttoken: mode === "lasttoken",
    include_prompt: true,
  });
  if (normalize) await folder.makeFolder("2_Normalize");
  if (hasHead) {
    const { path } = modules.at(-1)!;
    await writeJson(folder, `${path}/config.json`, {
      in_features: config.hiddenSize,
      out_features: labelCount,
      bias: true,
      activation_function: "torch.nn.modules.linear.Identity",
    });
    const { classifier } = base.trace;
    const layer = new Map(
      ["weight", "bias"].map((part) => [`linear.${part}`, weights.get(`${classifier}.${part}`)!] as const),
    );
    await folder.write(`${path}/model.safetensors`, safetensorsBytes(layer, { format: "pt" }));
  }
  await writeJson(folder, "config_sentence_transformers.json", {
    prompts: {},
    default_prompt_name: null,
    similarity_fn_name: "cosine",
  });
}

export async function readSentenceHead(
  files: ModelFiles,
  { trace }: Pick<BaseModel, "trace">,
): Promise<Tensors<"float32">> {
  const modules = await readSentenceModules(files);
  const file = modules?.head === undefined ? undefined : await files.open(`${modules.head}/model.safetensors`);
  if (!file) return new Map();
  const layer = await readTensors(await openSafetensors(file));
  return new Map([...layer].map(([name, values]) => [name.replace("linear", trace.classifier!), values]));
}

export function sentenceReadme(base: BaseModel, { task }: AdapterDescription, needs = ""): string {
  const call = `\`\`\`python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/of/this/folder")
\`\`\``;
  if (!readsPooled(base.head, base.features)) return `Loads with sentence-transformers${needs}:\n\n${call}\n`;
  return `Loads with sentence-transformers${needs}: Transformers has no class whose head reads pooled hidden states.

${call.replace(/\n```$/, '\nlogits = model.encode(["a text", "another"])\n```')}

${findTaskKind(task.kind).huggingFace.readme.outputs(labelNames(task), task.options)}
`;
}
