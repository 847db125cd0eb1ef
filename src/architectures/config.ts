import { z } from "zod";
import { inWords, UserError } from "../errors.ts";

/**
 * Parses config.json with a family's schema.
 * @throws UserError naming the setting that is missing, malformed or not supported.
 */
export function parseConfig<T>(schema: z.ZodType<T>, raw: unknown): T {
  refuseLargeCounts(raw);
  const result = schema.safeParse(raw, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`config.json: "${issue!.path.join(".")}" is not supported: ${issue!.message}`);
}

/** Upper limits on counts, because tables are allocated by these settings before any weight is read. */
const LIMITS: readonly (readonly [settings: RegExp, most: number])[] = [
  [/^(num_(hidden_|decoder_)?layers|n_layers?|(en|de)coder_layers)$/, 1000],
  [/^(hidden_size|embedding_size|pooler_hidden_size|d_model|d_kv|dim|n_embd)$/, 2 ** 17],
  [/^(head_dim|attention_head_size|num_attention_heads|num_key_value_heads|num_heads|n_heads?)$/, 2 ** 14],
  [/^(intermediate_size|d_ff|hidden_dim|n_inner|(en|de)coder_ffn_dim)$/, 2 ** 20],
  [/^(vocab_size|type_vocab_size)$/, 2 ** 23],
  [/^(max_position_embeddings|n_positions|max_relative_positions|position_buckets)$/, 2 ** 27],
  [/^relative_attention_num_buckets$/, 2 ** 16],
  [/^(num_labels|id2label)$/, 100_000],
];

function refuseLargeCounts(raw: unknown): void {
  for (const [key, value] of Object.entries((raw as Record<string, unknown> | null) ?? {})) {
    const most = LIMITS.find(([settings]) => settings.test(key))?.[1];
    const count = key === "id2label" && value ? Object.keys(value).length : value;
    if (most === undefined || typeof count !== "number" || count <= most) continue;
    throw new UserError(
      `config.json: "${key}" is not supported: ${count} is more than the ${most} that any model needs`,
    );
  }
}

export const rate = z.number().min(0).lt(1);

const labels = z.object({
  id2label: z.record(z.string(), z.string()).optional(),
  num_labels: z.int().positive().optional(),
});

export function evenHeads(hiddenSize: number, heads: number): number {
  if (hiddenSize % heads === 0) return heads;
  throw new UserError(
    `config.json: a hidden size of ${hiddenSize} cannot be shared by ${heads} attention heads; it must be a multiple of their number`,
  );
}

/** Returns the number of labels of the checkpoint's own head (default: 2, as in Transformers). */
export function labelCountOf(raw: unknown): number {
  const { id2label, num_labels } = parseConfig(labels, raw);
  return num_labels ?? (id2label && Object.keys(id2label).length) ?? 2;
}
