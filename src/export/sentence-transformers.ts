import { SENTENCE_FILES } from "../checkpoints/sentence-modules.ts";
import type { BaseModel } from "../inference/base-model.ts";
import { MEAN_POOLING } from "../models/pooling.ts";
import { type OutputFolder, writeJson } from "./output-folder.ts";

/** Files by which sentence-transformers makes vectors of what the folder's model gives, as every version of it reads them. */
export async function writeSentenceFiles(folder: OutputFolder, base: BaseModel, maxLength: number): Promise<void> {
  const { mode, normalize } = base.pooling ?? MEAN_POOLING;
  const modules = [
    { path: "", type: "Transformer" },
    { path: "1_Pooling", type: "Pooling" },
    ...(normalize ? [{ path: "2_Normalize", type: "Normalize" }] : []),
  ].map(({ path, type }, idx) => ({ idx, name: String(idx), path, type: `sentence_transformers.models.${type}` }));
  await writeJson(folder, SENTENCE_FILES.modules, modules);
  await writeJson(folder, SENTENCE_FILES.transformer, { max_seq_length: maxLength, do_lower_case: false });
  await writeJson(folder, SENTENCE_FILES.pooling, {
    word_embedding_dimension: base.config.hiddenSize,
    pooling_mode_cls_token: mode === "cls",
    pooling_mode_mean_tokens: mode === "mean",
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
    pooling_mode_weightedmean_tokens: false,
    pooling_mode_lasttoken: mode === "lasttoken",
    include_prompt: true,
  });
  if (normalize) await folder.makeFolder("2_Normalize");
  await writeJson(folder, "config_sentence_transformers.json", {
    prompts: {},
    default_prompt_name: null,
    similarity_fn_name: "cosine",
  });
}
