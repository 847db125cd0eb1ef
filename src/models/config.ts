import { z } from "zod";
import { inWords, UserError } from "../errors.ts";

/**
 * config.json through a family's schema.
 * @throws UserError naming the setting that is missing, malformed or not supported.
 */
export function parseConfig<T>(schema: z.ZodType<T>, raw: unknown): T {
  for (const [key, most] of Object.entries(LIMITS)) {
    const value = (raw as Record<string, unknown> | null)?.[key];
    if (typeof value === "number" && value > most) {
      throw new UserError(
        `config.json: "${key}" is not supported: ${value} is more than the ${most} that any model needs`,
      );
    }
  }
  const result = schema.safeParse(raw, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`config.json: "${issue!.path.join(".")}" is not supported: ${issue!.message}`);
}

/** What is counted before a weight is looked at; all other sizes must be those of the weights that are there. */
const LIMITS = {
  ...{ num_hidden_layers: 1000, n_layer: 1000, n_layers: 1000, num_labels: 100_000 },
  ...{ encoder_layers: 1000, decoder_layers: 1000, num_layers: 1000, num_decoder_layers: 1000 },
};

/** A dropout's rate. */
export const rate = z.number().min(0).lt(1);

const labels = z.object({
  id2label: z.record(z.string(), z.string()).optional(),
  num_labels: z.int().positive().optional(),
});

/** The number of attention heads that share a hidden size. @throws UserError where they do not share it evenly. */
export function evenHeads(hiddenSize: number, heads: number): number {
  if (hiddenSize % heads === 0) return heads;
  throw new UserError(
    `config.json: a hidden size of ${hiddenSize} cannot be shared by ${heads} attention heads; it must be a multiple of their number`,
  );
}

/** Number of labels of the checkpoint's own head; 2 where config.json does not say, as in transformers. */
export function labelCountOf(raw: unknown): number {
  const { id2label, num_labels } = parseConfig(labels, raw);
  return num_labels ?? (id2label && Object.keys(id2label).length) ?? 2;
}
