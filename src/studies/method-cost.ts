import type { ModelDescription } from "../architectures/families.ts";
import { defaultHead, isPretrained, type ModelTrace, traceModel } from "../architectures/trace.ts";
import { UserError } from "../errors.ts";
import { countFlops, type Flops } from "../graph/flops.ts";
import { Graph } from "../graph/graph.ts";
import { planMemory } from "../graph/memory.ts";
import { gemm } from "../graph/ops.ts";
import { elementsOf } from "../graph/tensor.ts";
import type { Encoding } from "../inputs/tokenizer.ts";
import type { Adaptation, MethodDefinition } from "../methods/method.ts";
import { crossEntropy } from "../tasks/losses/objective.ts";
import { layOut } from "../training/batches/model-inputs.ts";
import { type AdaptedModel, trainedByBlock, writeStep } from "../training/step-graph.ts";

export interface MethodCost {
  /** `at the start`; `all frozen`: the end of a freezing schedule; or with the first blocks frozen, too. */
  when: "at the start" | "all frozen" | `${number} of ${number} blocks frozen`;
  /** Trainable parameters by module, without the head. Modules without any are left out. */
  modules: Record<string, number>;
  trainable: number;
  /** Floating-point operations of one training step per token: matrix products only; the base includes the head. */
  flops: Flops;
}

export interface MethodCosts {
  /** Number of parameters of the head, counted separately. */
  head: number;
  /** Assumed length of the sequence, or of both sequences of an encoder-decoder. Attention's share grows with it. */
  sequenceLength: number;
  costs: MethodCost[];
  /** Trainable parameters on average over a run, by the planned curve of the freezing schedule; undefined if nothing freezes. */
  average?: number;
  /** Forward operations per token of the adapted linear layers and of their adapters only. */
  adaptedLayers: { base: number; adapter: number };
}

/**
 * Computes the trainable parameters and floating-point operations of a method from the model's config.
 * @param options of the method, with all defaults
 * @param frozenBlocks number of frozen blocks to count, too (docs/blocks.md); their hidden states are assumed to be cached
 * @throws UserError if the options do not fit the model, or if that many of its blocks cannot freeze
 */
export function methodCosts(
  description: ModelDescription,
  definition: MethodDefinition,
  options: Record<string, unknown>,
  sequenceLength: number,
  frozenBlocks = 0,
): MethodCosts {
  const head = defaultHead(description.architecture);
  const labelCount = isPretrained(head) ? description.config.vocabularySize : description.config.labelCount;
  const trace = traceModel(description, labelCount, head);
  const adaptation = definition.adapt(options, trace.modules);
  const model = { ...description, adaptation, labelCount, head, trainsHead: () => true };
  const frozen = new Set(adaptation.freezable);
  const left = new Set([...adaptation.trainable].filter((name) => !frozen.has(name)));
  const costs = [costOf("at the start", model, trace, sequenceLength)];
  if (frozen.size > 0) {
    costs.push(costOf("all frozen", { ...model, trainable: left }, trace, sequenceLength));
  }
  const [start, end] = costs.map(({ trainable }) => trainable);
  const share = definition.leftOnAverage?.(options);
  const average = share !== undefined && end !== undefined && Math.round(end + share * (start! - end));
  if (frozenBlocks > 0) {
    const trained = trainedByBlock(model);
    if (frozenBlocks > trained.length) {
      throw new UserError(`${frozenBlocks} blocks cannot freeze: the model has ${trained.length} that may`);
    }
    const parameters = new Set(trained.slice(0, frozenBlocks).flat());
    const trainable = new Set([...left].filter((name) => !parameters.has(name)));
    const now = { ...model, trainable, frozenBlocks: { count: frozenBlocks, parameters } };
    costs.push(costOf(`${frozenBlocks} of ${trained.length} blocks frozen`, now, trace, sequenceLength));
  }
  const ofHead = [...trace.weights.values()].filter(({ part }) => part === "head");
  return {
    head: ofHead.reduce((sum, { shape }) => sum + elementsOf(shape as readonly number[]), 0),
    sequenceLength,
    costs,
    ...(average !== false && { average }),
    adaptedLayers: adaptedLayers(adaptation),
  };
}

function costOf(when: MethodCost["when"], model: AdaptedModel, trace: ModelTrace, sequence: number): MethodCost {
  const { modules, trainable, at } = writtenStep(model, trace);
  const { tokens, flops } = at(1, sequence);
  for (const passes of Object.values(flops)) {
    passes.forward /= tokens;
    passes.backward /= tokens;
  }
  return { when, modules, trainable, flops };
}

/** A training step from a config alone. */
export interface WrittenStep extends Pick<MethodCost, "modules" | "trainable"> {
  /**
   * Cost of one run over `texts` texts of `length` tokens each.
   * @param answer tokens of an encoder-decoder's answers (default: the same)
   * @returns tokens of all texts, operations, and bytes of the step's values
   */
  at(texts: number, length: number, answer?: number): { tokens: number; flops: Flops; memory: number };
}

/** Writes a training step, and counts what it trains. */
export function writtenStep(model: AdaptedModel, trace: ModelTrace): WrittenStep {
  const { adaptation, trainable = adaptation.trainable, frozenBlocks } = model;
  const backbone = adaptation.trainsBackbone
    ? [...trace.weights.values()].filter(
        ({ name, part, buffer }) => part === "backbone" && !buffer && !frozenBlocks?.parameters.has(name),
      )
    : [];
  const parameters = [...adaptation.parameters.filter(({ name }) => trainable.has(name)), ...backbone];
  const modules: Record<string, number> = {};
  for (const { name, shape } of parameters) {
    const module = name.slice(0, name.lastIndexOf("."));
    modules[module] = (modules[module] ?? 0) + elementsOf(shape as readonly number[]);
  }
  const { outputs, streams } = writeStep(model, crossEntropy, { dropout: false });
  const values = Object.values(outputs);
  const [flopsOf, memoryOf] = [countFlops(values), planMemory(values)];
  return {
    modules,
    trainable: Object.values(modules).reduce((sum, count) => sum + count, 0),
    at(texts, length, answer = length) {
      const [encoding, decoder] = [length, answer].map((tokens) => ({
        inputIds: new Int32Array(tokens),
        tokenTypeIds: new Int32Array(tokens),
      })) as [Encoding, Encoding];
      const answers = streams.length > 1;
      // A language model predicts every token.
      const { inputIds } = answers ? decoder : encoding;
      const rows = isPretrained(model.head ?? "sequence") && { rows: Int32Array.from(inputIds.keys()) };
      const examples = Array.from({ length: texts }, (_, index) => ({ index, encoding, decoder, ...rows }));
      const { sizes } = layOut(streams, examples);
      return { tokens: texts * (length + (answers ? answer : 0)), flops: flopsOf(sizes), memory: memoryOf(sizes) };
    },
  };
}

function adaptedLayers({ modules, parameters, adapt }: Adaptation): MethodCosts["adaptedLayers"] {
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  const total = { base: 0, adapter: 0 };
  for (const module of modules) {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["tokens", module.inFeatures]);
    const weight = graph.leaf("frozen", "W0", "float32", [module.outFeatures, module.inFeatures]);
    const parameter = (name: string) => graph.leaf("trainable", name, "float32", shapes.get(name)!);
    const layer = (input: typeof x) => graph.within({ part: "base" }, () => gemm(input, weight, { transB: true }));
    const y = graph.within({ part: "adapter" }, () => adapt!(parameter, x, layer, module));
    const count = countFlops([y]);
    const [one, none] = [count({ tokens: 1 }), count({ tokens: 0 })];
    total.base += one.base.forward - none.base.forward;
    total.adapter += one.adapter.forward - none.adapter.forward;
  }
  return total;
}
