import { z } from "zod";
import { LAYER, type Network } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { cast, reshape } from "../../graph/ops.ts";
import type { ForwardContext } from "../forward-context.ts";
import type { PictureSize, SoundWindows } from "../model-parts.ts";
import { SAMPLES, type TokenStream } from "../streams/token-stream.ts";

const INPUTS = {
  input_ids: (tokens: TokenStream) => tokens.inputIds,
  token_type_ids: (tokens: TokenStream) => tokens.tokenTypeIds,
  position_ids: (tokens: TokenStream) => tokens.positionIds,
} as const;

/** Operators of networks that are not encoders, for error messages: recurrence and branches. */
const STATEFUL: ReadonlySet<string> = new Set(["If", "Loop", "Scan", "LSTM", "GRU", "RNN"]);

export interface Reading {
  input: string;
  picture?: PictureSize | undefined;
  sound?: SoundWindows | undefined;
}

const pictureConfig = z.object({ image_size: z.union([z.int(), z.tuple([z.int(), z.int()])]).optional() });

/** Whether a network reads pictures: its only input has the axes `[batch, channels, height, width]`. */
export const readsPictures = ({ inputs }: Pick<Network, "inputs">): boolean =>
  inputs.length === 1 && inputs[0]!.shape?.length === 4;

export const readsSounds = ({ inputs }: Pick<Network, "inputs">): boolean =>
  inputs.some(({ name }) => name === SAMPLES);

/**
 * Derives the conversion of samples to tokens from the convolutions before the first layer, each of which reads windows
 * of the last one.
 */
function soundWindows({ nodes, tensors, location }: Network): SoundWindows {
  const first = nodes.findIndex(({ op }) => op === LAYER);
  const before = nodes.slice(0, Math.max(0, first)).filter(({ op }) => op === "Conv");
  if (before.length === 0) throw new UserError(`${location} does not read sounds by convolutions, as wav2vec2 does`);
  const one = { hop: 1, rest: 0 };
  return before.reduceRight(({ hop, rest }, { inputs, attributes }) => {
    const list = (name: string, otherwise: number): number => {
      const value = attributes[name];
      return (typeof value === "object" && value[0]) || otherwise;
    };
    const kernel = tensors.get(inputs[1] ?? "")?.shape[2] ?? list("kernel_shape", 1);
    const stride = list("strides", 1);
    const reach = (kernel - 1) * list("dilations", 1) + 1;
    const pads = typeof attributes.pads === "object" ? attributes.pads : [];
    const padded = pads.reduce((sum, pad) => sum + pad, 0);
    return { hop: hop * stride, rest: (rest - 1) * stride + reach - padded };
  }, one);
}

/** Determines what a network reads. */
export function readingOf(network: Network, raw: unknown, given: PictureSize | undefined): Reading {
  const { inputs, location } = network;
  const [port] = inputs;
  const { shape } = port ?? {};
  if (readsSounds(network)) return { input: SAMPLES, sound: soundWindows(network) };
  if (!port || !shape || !readsPictures({ inputs })) return { input: "input_ids" };
  if (shape[1] === 1)
    throw new UserError(`${location} reads pictures of one channel; aflora gives three, of red, green and blue`);
  const side = pictureConfig.safeParse(raw).data?.image_size;
  const [height, width] = typeof side === "number" ? [side, side] : (side ?? []);
  const own = shape
    .slice(2)
    .map((size, i) => (typeof size === "number" && size > 0 ? size : [given?.height, given?.width][i]));
  const picture = { height: own[0] ?? height, width: own[1] ?? width };
  if (picture.height === undefined || picture.width === undefined) {
    throw new UserError(
      `${location} reads pictures of any size, and no file names the size; add the model's preprocessor_config.json to its folder`,
    );
  }
  if (given && (given.height !== picture.height || given.width !== picture.width)) {
    throw new UserError(
      `${location} reads pictures of ${picture.width} × ${picture.height} pixels, and preprocessor_config.json makes them ${given.width} × ${given.height}; correct one of them`,
    );
  }
  return { input: port.name, picture: { height: picture.height, width: picture.width } };
}

/**
 * Returns a function that creates inputs of a network: pictures, sounds, or `[batch, sequence]` from a token stream.
 */
export function inputsOf(
  { location, inputs, nodes }: Network,
  { input, picture, sound }: Reading,
  context: ForwardContext,
  tokens: TokenStream,
): (name: string) => Value {
  if (picture) return (name) => (name === input ? context.pixels(picture) : unknown(name));
  if (sound) return (name) => (name === input ? tokens.samples(sound) : unknown(name));
  const padded = (rows: Value): Value => {
    const column = reshape(cast(rows, "float32"), [tokens.tokens, 1]);
    return cast(reshape(tokens.pad(column), ["batch", tokens.sequence]), "int64");
  };
  return (name) => {
    if (name === "attention_mask") return cast(tokens.attentionMask, "int64");
    return Object.hasOwn(INPUTS, name) ? padded(INPUTS[name as keyof typeof INPUTS](tokens)) : unknown(name);
  };

  function unknown(name: string): never {
    const own = inputs.map((each) => each.name).join(", ");
    const state = nodes.find(({ op }) => STATEFUL.has(op));
    if (state) {
      throw new UserError(
        `${location} reads ${own} and has the node "${state.name}" (${state.op}); aflora trains encoders, which neither branch by an input nor carry a state from step to step`,
      );
    }
    const known = sound ? [input] : ["attention_mask", ...Object.keys(INPUTS)];
    throw new UserError(`${location} reads ${own}; aflora supports the inputs ${known.join(", ")}, and not "${name}"`);
  }
}
