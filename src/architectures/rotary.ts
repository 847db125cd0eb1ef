import { z } from "zod";
import type { Value } from "../graph/graph.ts";
import { cast, cos, mul, reshape, sin } from "../graph/ops.ts";
import { float32, type Tensor } from "../graph/tensor.ts";

/** Rotary positions (Su et al., arXiv 2104.09864). */
export interface RotaryPositions {
  /** Rotation of each pair of features from one position to the next, in radians, `[pairs]`. */
  frequencies: readonly number[];
  /** Scale of cosines and sines: 1 except for YaRN. */
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

/** Schema of `rope_scaling`, or of a set of `rope_parameters`, in older and newer config.json files. */
export const ropeSettings = z.preprocess(
  (raw) => {
    if (typeof raw !== "object" || raw === null) return raw;
    const { type, ...rest } = raw as Record<string, unknown>;
    return { ...rest, rope_type: rest.rope_type ?? type ?? "default" };
  },
  z.intersection(kinds, shared),
);

export interface RotaryDefaults {
  theta: number;
  size: number;
  /** Maximum length in training, before positions were scaled. */
  maxLength: number;
}

/** Returns the rotary positions of `settings`, computed in float32 like Transformers' `modeling_rope_utils.py`. */
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
        // Number of rotations of a pair within the training length. Pairs with few rotations are slowed by `factor`.
        const rotations = (trained * each) / (2 * Math.PI);
        const kept = Math.min(1, Math.max(0, (rotations - low) / (high - low)));
        return Math.fround((1 - kept) * (each / factor) + kept * each);
      });
      return { frequencies, factor: 1 };
    }
    case "yarn": {
      const { factor, beta_fast: fast, beta_slow: slow, truncate } = settings;
      const trained = settings.original_max_position_embeddings ?? defaults.maxLength;
      const pairOf = (rotations: number): number =>
        (size * Math.log(trained / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
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

/** YaRN's scale of the square root of attention scores (arXiv 2309.00071, section 3.4). */
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

/** Returns the cosines and sines of the angles at `positionIds` `[tokens]`, `[tokens, pairs]` each. */
export function rotaryAngles(positionIds: Value, { frequencies, factor }: RotaryPositions): [Value, Value] {
  const positions = reshape(cast(positionIds, "float32"), [positionIds.shape[0]!, 1]);
  const angles = mul(positions, positions.graph.constant(frequencies, "float32", [1, frequencies.length]));
  const scaled = (x: Value): Value => (factor === 1 ? x : mul(x, factor));
  return [scaled(cos(angles)), scaled(sin(angles))];
}
