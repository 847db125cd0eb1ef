import { z } from "zod";
import { LAYER, type Network, type NetworkNode, nodesFor } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import { type Dimension, product } from "../../graph/dimension.ts";
import { Graph, type Value } from "../../graph/graph.ts";
import { reshape, transpose } from "../../graph/ops.ts";
import type { Architecture, EncoderArchitecture, ModelConfig } from "../architecture.ts";
import { labelCountOf, parseConfig } from "../config.ts";
import { ForwardContext } from "../forward-context.ts";
import { plainTokenHead, pooledHead } from "../heads.ts";
import type { PictureSize } from "../model-parts.ts";
import { MEAN_POOLING } from "../pooling.ts";
import type { TokenStream } from "../streams/token-stream.ts";
import { type Flow, flowTo } from "./flow.ts";
import { isValue } from "./imported-node.ts";
import { inputsOf, type Reading, readingOf } from "./network-inputs.ts";
import { NetworkWriter } from "./write-network.ts";

const HIDDEN_STATES = ["last_hidden_state", "token_embeddings", "hidden_states"];

/** Upper limit on samples of a sound: half a minute at 16 kHz. */
const MAX_SAMPLES = 480_000;

const settings = z.object({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  max_position_embeddings: z.int().positive().default(512),
  initializer_range: z.number().default(0.02),
  vocab_size: z.int().positive().default(1),
});

const DECODER_INPUTS: ReadonlySet<string> = new Set(["decoder_input_ids", "encoder_hidden_states"]);

/**
 * Describes an ONNX file's model. For an encoder, the file gives the hidden states, and a known family the head. For a
 * decoder, the file gives only the weights, and the family everything else, because generation must cache keys and
 * values.
 */
export function importedModel(
  raw: unknown,
  network: Network,
  family: Architecture | undefined,
  pictureSize?: PictureSize,
): { architecture: Architecture; config: ModelConfig } {
  const { location } = network;
  if (family?.kind === "decoder") return { architecture: family, config: family.readConfig(raw) };
  if (network.inputs.some(({ name }) => DECODER_INPUTS.has(name))) {
    throw new UserError(
      `${location} is the decoder of an encoder-decoder, which aflora does not train from ONNX files; take the model's safetensors, or its encoder's file`,
    );
  }
  const base = family?.kind === "encoder" ? family : unknownFamily(raw, network);
  const config = base.readConfig(raw);
  const prefix = base.prefix;
  const reading = readingOf(network, raw, pictureSize);
  const { picture, sound } = reading;
  const { name, width, length } = hiddenStates(network, reading, prefix);
  const flow = flowTo(network, name, reading.input, { isLookup: picture === undefined && sound === undefined });
  const architecture: EncoderArchitecture = {
    ...(base as EncoderArchitecture),
    padsRows: true,
    encode(context, _config, tokens) {
      const writer = new NetworkWriter(network, context, inputsOf(network, reading, context, tokens), prefix);
      return writeFlow(writer, flow, name, context, tokens);
    },
  };
  const usesTokenTypes = network.inputs.some((input) => input.name === "token_type_ids");
  const own = { ...config, hiddenSize: width, layerCount: flow.blocks.length, usesTokenTypes };
  if (sound)
    return { architecture, config: { ...own, sound, maxLength: Math.floor((MAX_SAMPLES - sound.rest) / sound.hop) } };
  return { architecture, config: picture ? { ...own, picture, maxLength: length! } : own };
}

function unknownFamily(raw: unknown, network: Network): EncoderArchitecture {
  const config = parseConfig(settings, raw);
  const { model_type, architectures } = config;
  return {
    kind: "encoder",
    // The family's prefix is the first part of `ViTForImageClassification`.
    modelTypes: { [model_type]: (architectures?.[0] ?? model_type).replace(/(Model|For[A-Z]\w*)$/, "") },
    prefix: "",
    readConfig() {
      return {
        modelType: model_type,
        hiddenSize: 0,
        layerCount: 0,
        maxLength: config.max_position_embeddings,
        initializerRange: config.initializer_range,
        usesTokenTypes: false,
        labelCount: labelCountOf(raw),
        vocabularySize: config.vocab_size,
      };
    },
    encode: () => {
      throw new Error(`${network.location} writes itself`);
    },
    heads: { sequence: pooledHead(MEAN_POOLING), token: plainTokenHead(() => 0) },
  };
}

interface HiddenStates {
  name: string;
  width: number;
  length?: number | undefined;
}

type Sizes = Omit<HiddenStates, "name">;

function hiddenStates(network: Network, reading: Reading, prefix: string): HiddenStates {
  const { outputs, location } = network;
  const named = HIDDEN_STATES.flatMap((name) => outputs.filter((output) => output.name === name));
  const chosen = named[0] ?? outputs[0];
  if (!chosen) throw new UserError(`${location} has no outputs`);
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: false });
  const tokens = context.tokens();
  const writer = new NetworkWriter(network, context, inputsOf(network, reading, context, tokens), prefix);
  const nodes = nodesFor(network, [chosen.name]);
  if (reading.picture && !nodes.some(({ layer }) => layer?.role === "attention"))
    return featureMaps(writer, nodes, location);
  const sizesOf = (value: Value) => (reading.picture ? sizesOfPicture(value) : sizesOfText(value, tokens));
  // Attention's input has the width of the last block's output; logits do not.
  const own = nodes.find(({ layer }) => layer?.role === "attention")?.layer?.inFeatures;
  let behindLayer = false;
  let found: HiddenStates | undefined;
  for (const [i, node] of nodes.entries()) {
    try {
      writer.write(node);
    } catch (error) {
      // The file's own head after the last attention does not matter: it is replaced.
      const last = nodes.findLastIndex(({ layer }) => layer?.role === "attention");
      if (found && !named[0] && last >= 0 && last < i) return found;
      throw error;
    }
    behindLayer ||= node.op === LAYER;
    for (const name of node.outputs) {
      const value = writer.operand(name);
      const sizes = isValue(value) && value.dtype === "float32" ? sizesOf(value) : undefined;
      if (!behindLayer || !sizes || sizes.width !== (own ?? sizes.width)) continue;
      // The file's own head may drop parts of a picture.
      if (sizes.length === (found ?? sizes).length) found = { name, ...sizes };
    }
  }
  const sizes = sizesOf(writer.value(chosen.name));
  if (sizes && (named[0] || own === undefined)) return { name: chosen.name, ...sizes };
  if (found) return found;
  throw new UserError(
    `${location} gives no hidden states [batch, sequence, width]; export the model with its last_hidden_state`,
  );
}

/**
 * For a network without attention, such as a convolutional one, finds the last feature maps, `[batch, width, height,
 * width of the map]`, which its own head pools.
 */
function featureMaps(writer: NetworkWriter, nodes: readonly NetworkNode[], location: string): HiddenStates {
  let found: HiddenStates | undefined;
  for (const node of nodes) {
    writer.write(node);
    for (const name of node.outputs) {
      const value = writer.operand(name);
      if (!isValue(value) || value.dtype !== "float32" || value.shape.length !== 4) continue;
      const [batch, width, ...map] = value.shape;
      const length = product(map);
      if (batch === "batch" && typeof width === "number" && typeof length === "number" && length > 1)
        found = { name, width, length };
    }
  }
  if (found) return found;
  throw new UserError(
    `${location} has neither attention nor maps of features; aflora trains encoders and convolutional networks`,
  );
}

function sizesOfText({ shape }: Value, { sequence }: TokenStream): Sizes | undefined {
  const width = shape.at(-1);
  if (typeof width !== "number" || shape.length < 2) return undefined;
  return product(shape.slice(0, -1)) === product(["batch", sequence]) ? { width } : undefined;
}

function sizesOfPicture({ shape }: Value): Sizes | undefined {
  const [batch, length, width] = shape;
  if (shape.length !== 3 || batch !== "batch" || typeof length !== "number" || typeof width !== "number")
    return undefined;
  return length > 1 ? { width, length } : undefined;
}

function writeFlow(
  writer: NetworkWriter,
  { before, blocks, after, cuts }: Flow,
  name: string,
  context: ForwardContext,
  tokens: TokenStream,
): Value {
  const rowsOf = (value: Value): Value => {
    const isMap = value.shape.length === 4 && blocks.length === 0;
    const last = isMap ? transpose(value, [0, 2, 3, 1]) : value;
    return tokens.unpad(reshape(last, ["batch", tokens.sequence, last.shape.at(-1)!]));
  };
  for (const node of before) writer.write(node);
  if (blocks.length > 0) {
    const shapes: (readonly Dimension[])[] = [writer.value(cuts[0]!).shape];
    const enter = (block: number, rows: Value): void =>
      writer.replace(cuts[block]!, reshape(tokens.pad(rows), shapes[block]!));
    let rows = rowsOf(writer.value(cuts[0]!));
    blocks.forEach((nodes, block) => {
      rows = context.block(rows, (input) => {
        enter(block, input);
        for (const node of nodes) writer.write(node);
        const end = writer.value(cuts[block + 1]!);
        shapes[block + 1] = end.shape;
        return rowsOf(end);
      });
    });
    enter(blocks.length, rows);
    if (cuts.at(-1) === name) return rows;
  }
  for (const node of after) writer.write(node);
  return rowsOf(writer.value(name));
}
