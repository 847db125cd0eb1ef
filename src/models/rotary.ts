import { z } from "zod";
import type { Value } from "../graph/graph.ts";
import { cast, cos, mul, reshape, sin } from "../graph/ops.ts";
import { float32, type Tensor } from "../graph/tensor.ts";

/** How positions turn pairs of a head's features (Su et al., arXiv 2104.09864). */
export interface RotaryPositions {
  /** Radians that each pair of features turns by from one position to the next, `[pairs]`. */
  frequencies: readonly number[];
  /** Factor of cosines and sines: 1 but for YaRN. */
  factor: number;
}

const length = z.number().positive().optional();
const kinds = z.discriminatedUnion("rope_type", [
  z.object({ rope_type: z.literal("default") }),
  z.object({ rope_type: z.literal("linear"), factor: z.number().min(1) }),
  z.object({
    rope_type: z.literal("llama3"),
    factor: z.number().min(1),
    low_freq_factor: z.number().positive(),
    high_freq_factor: z.number().positive(),
    original_max_position_embeddings: length,
  }),
  z.object({
    rope_type: z.literal("yarn"),
    factor: z.number().min(1),
    attention_factor: z.number().positive().nullish(),
    beta_fast: z.number().positive().nullish(),
    beta_slow: z.number().positive().nullish(),
    mscale: z.number().nullish(),
    mscale_all_dim: z.number().nullish(),
    truncate: z.boolean().default(true),
    original_max_position_embeddings: length,
  }),
]);
const shared = z.object({
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.literal(1).optional(),
});

/** `rope_scaling`, or a set of `rope_parameters`, as the one or the other generation of config.json has it. */
export const ropeSettings = z.preprocess(
  (raw) => {
    if (typeof raw !== "object" || raw === null) return raw;
    const { type, ...rest } = raw as Record<string, unknown>;
    return { ...rest, rope_type: rest.rope_type ?? type ?? "default" };
  },
  z.intersection(kinds, shared),
);

/** What turns by positions where settings do not say. */
export interface RotaryDefaults {
  /** Base of the wavelengths. */
  theta: number;
  /** Features of a head. */
  size: number;
  /** Longest text that the model was trained on before its positions were scaled. */
  maxLength: number;
}

/** How positions turn features under `settings`, computed in float32 as transformers' `modeling_rope_utils.py` does. */
export function rotaryPositions(
  settings: z.output<typeof ropeSettings> | null | undefined,
  defaults: RotaryDefaults,
): RotaryPositions {
  const theta = settings?.rope_theta ?? defaults.theta;
  const { size } = defaults;
  const plain = Array.from({ length: size / 2 }, (_, pair) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * pair) / size))),
  );
  switch (settings?.rope_type) {
    case undefined:
    case "default":
      return { frequencies: plain, factor: 1 };
    case "linear":
      return { frequencies: plain.map((each) => Math.fround(each / settings.factor)), factor: 1 };
    case "llama3": {
      const { factor, low_freq_factor: low, high_freq_factor: high } = settings;
      const trained = settings.original_max_position_embeddings ?? defaults.maxLength;
      const frequencies = plain.map((each) => {
        // How often a pair turns around within the text that was trained on: rarely, and it is slowed by `factor`.
        const turns = (trained * each) / (2 * Math.PI);
        const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
        return Math.fround((1 - kept) * (each / factor) + kept * each);
      });
      return { frequencies, factor: 1 };
    }
    case "yarn": {
      const { factor, beta_fast: fast, beta_slow: slow, truncate } = settings;
      const trained = settings.original_max_position_embeddings ?? defaults.maxLength;
      const pairOf = (turns: number): number =>
        (size * Math.log(trained / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const [first, last] = [pairOf(fast || 32), pairOf(slow || 1)];
      const low = Math.max(truncate ? Math.floor(first) : first, 0);
      const high = Math.min(truncate ? Math.ceil(last) : last, size - 1);
      const width = high === low ? 0.001 : high - low;
      const frequencies = plain.map((each, pair) => {
        const slowed = Math.min(1, Math.max(0, (pair - low) / width));
        return Math.fround((each / factor) * slowed + each * (1 - slowed));
      });
      return { frequencies, factor: settings.attention_factor ?? yarnFactor(settings) };
    }
  }
}

/** YaRN's factor of attention scores' root (arXiv 2309.00071, section 3.4). */
function yarnFactor({
  factor,
  mscale,
  mscale_all_dim: all,
}: {
  factor: number;
  mscale?: number | null | undefined;
  mscale_all_dim?: number | null | undefined;
}): number {
  const of = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && all ? of(mscale) / of(all) : of(1);
}

/** The same of all positions before `count`, as tables. */
export function rotaryTables(
  { frequencies, factor }: RotaryPositions,
  count: number,
): Record<"cosine" | "sine", Tensor<"float32">> {
  const pairs = frequencies.length;
  const [cosine, sine] = [float32([count, pairs]), float32([count, pairs])];
  for (let i = 0; i < count * pairs; i++) {
    const angle = Math.fround(Math.floor(i / pairs) * Math.fround(frequencies[i % pairs]!));
    cosine.data[i] = factor * Math.fround(Math.cos(angle));
    sine.data[i] = factor * Math.fround(Math.sin(angle));
  }
  return { cosine, sine };
}

/** Cosines and sines of the angles at `positionIds` `[tokens]`, `[tokens, pairs]` each. */
export function rotaryAngles(positionIds: Value, { frequencies, factor }: RotaryPositions): [Value, Value] {
  const positions = reshape(cast(positionIds, "float32"), [positionIds.shape[0]!, 1]);
  const angles = mul(positions, positions.graph.constant(frequencies, "float32", [1, frequencies.length]));
  const scaled = (x: Value): Value => (factor === 1 ? x : mul(x, factor));
  return [scaled(cos(angles)), scaled(sin(angles))];
}
