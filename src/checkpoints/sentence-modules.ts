import { z } from "zod";
import { inWords, UserError } from "../errors.ts";
import { readJson } from "./json-file.ts";
import type { ModelFiles } from "./model-files.ts";

/** Files of a sentence-transformers folder that define a text's vector. The first names the pooling's folder. */
export const SENTENCE_FILES = {
  modules: "modules.json",
  pooling: "1_Pooling/config.json",
  transformer: "sentence_bert_config.json",
} as const;

const modulesSchema = z.array(z.looseObject({ path: z.string(), type: z.string() }));
const transformerSchema = z.looseObject({ max_seq_length: z.int().positive().nullish() });
const denseSchema = z.looseObject({ bias: z.boolean(), activation_function: z.string() });
const tokenizerSchema = z.looseObject({ model_max_length: z.number().positive() });

/** Pooling modes by their older switches. */
const SWITCHES: Readonly<Record<string, string>> = {
  pooling_mode_cls_token: "cls",
  pooling_mode_max_tokens: "max",
  pooling_mode_mean_tokens: "mean",
  pooling_mode_mean_sqrt_len_tokens: "mean_sqrt_len_tokens",
  pooling_mode_weightedmean_tokens: "weightedmean",
  pooling_mode_lasttoken: "lasttoken",
};

/** Modules of a sentence-transformers folder after its transformer. */
export interface SentenceModules {
  /** Pooling modes. The vectors of several are concatenated. */
  poolingModes: string[];
  normalize: boolean;
  maxLength?: number | undefined;
  /** Folder of a final linear layer, a classifier's head, if there is one; its input is the text's vector. */
  head?: string | undefined;
}

/**
 * Reads the modules of a sentence-transformers folder.
 * @returns undefined if it is not such a folder.
 * @throws UserError if it is damaged, or has a module other than a transformer, a pooling, a normalisation and a head.
 */
export async function readSentenceModules(files: ModelFiles): Promise<SentenceModules | undefined> {
  const raw = await readJson(files, SENTENCE_FILES.modules);
  if (raw === undefined) return undefined;
  const modules = checked(modulesSchema, raw, `${files.location}/${SENTENCE_FILES.modules}`);
  let [poolingModes, normalize]: [string[], boolean] = [["mean"], false];
  let head: string | undefined;
  for (const [i, { type, path }] of modules.entries()) {
    if (/^([/\\]|\w:)|(^|[/\\])\.\.([/\\]|$)/.test(path)) {
      throw new UserError(
        `${files.location}/${SENTENCE_FILES.modules} names a module outside of its folder, "${path.slice(0, 60)}"; get the model again`,
      );
    }
    const kind = type.replace(/^.*\./, "");
    if (kind === "Pooling") {
      const config = checked(
        z.looseObject({}),
        await readJson(files, `${path}/config.json`),
        `${files.location}/${path}/config.json`,
      );
      poolingModes = modesOf(config);
    } else if (kind === "Normalize") normalize = true;
    else if (kind === "Dense" && i === modules.length - 1 && (await isLinear(files, path))) head = path;
    else if (kind !== "Transformer") {
      throw new UserError(
        `${files.location} has a module ${kind} in ${SENTENCE_FILES.modules}, which is not supported (supported: Transformer, Pooling, Normalize)`,
      );
    }
  }
  const transformer = await readJson(files, SENTENCE_FILES.transformer);
  const { max_seq_length } =
    transformer === undefined
      ? {}
      : checked(transformerSchema, transformer, `${files.location}/${SENTENCE_FILES.transformer}`);
  return { poolingModes, normalize, maxLength: max_seq_length ?? (await tokenizersMaxLength(files)), head };
}

async function isLinear(files: ModelFiles, path: string): Promise<boolean> {
  const { data } = denseSchema.safeParse(await readJson(files, `${path}/config.json`));
  return data?.bias === true && data.activation_function.endsWith(".Identity");
}

/** Since version 6, only the tokenizer's settings hold a text's maximum length. A huge number there means no limit. */
async function tokenizersMaxLength(files: ModelFiles): Promise<number | undefined> {
  const { data } = tokenizerSchema.safeParse(await readJson(files, "tokenizer_config.json"));
  return data && data.model_max_length < 1e6 ? data.model_max_length : undefined;
}

function modesOf(config: Record<string, unknown>): string[] {
  const { pooling_mode } = config;
  if (pooling_mode !== undefined) return [pooling_mode].flat().map(String);
  const modes = Object.keys(SWITCHES).filter((name) => config[name] === true);
  return modes.length > 0 ? modes.map((name) => SWITCHES[name]!) : ["mean"];
}

function checked<Schema extends z.ZodType>(schema: Schema, raw: unknown, location: string): z.output<Schema> {
  const result = schema.safeParse(raw, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${location} is damaged: ${issue!.path.join(".") || "the whole"}: ${issue!.message}`);
}
