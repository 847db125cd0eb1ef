import { countFlops, type Flops } from "../graph/flops.ts";
import { Graph } from "../graph/graph.ts";
import { gemm } from "../graph/ops.ts";
import type { Method, MethodDefinition } from "../methods/method.ts";
import type { ModelDescription } from "../models/families.ts";
import { type ModelTrace, traceModel } from "../models/trace.ts";
import { crossEntropy } from "../tasks/objective.ts";
import { type AdaptedModel, writeStep } from "../training/step-graph.ts";

/** What a method costs at one moment of training. */
export interface MethodCost {
  /** `at the start`, or `all frozen`: what a freezing schedule comes to. */
  when: "at the start" | "all frozen";
  /** Trainable parameters by module, modules without any left out; the head is not among them. */
  modules: Record<string, number>;
  /** Sum over the modules. */
  trainable: number;
  /** Floating-point operations of one training step per token, matrix products only, head included in the base. */
  flops: Flops;
}

export interface MethodCosts {
  /** Parameters of the head, counted apart. */
  head: number;
  /** Tokens of the sequence that `costs` assume: attention's share grows with it. */
  sequenceLength: number;
  costs: MethodCost[];
  /** Forward operations per token of the adapted linear layers and of their adapters, and of nothing else. */
  adaptedLayers: { base: number; adapter: number };
}

/** Only a schedule given in steps or epochs depends on these. */
const ASSUMED = { totalSteps: 1000, stepsPerEpoch: 100 };

/**
 * Trainable parameters and floating-point operations of a method on a model, from the model's config alone.
 * @param options the method's own, with defaults filled in
 * @throws UserError where the options do not fit the model
 */
export function methodCosts(
  description: ModelDescription,
  definition: MethodDefinition,
  options: Record<string, unknown>,
  sequenceLength: number,
): MethodCosts {
  const { labelCount } = description.config;
  const trace = traceModel(description, labelCount);
  const method = definition.create(options, { sites: trace.sites, ...ASSUMED });
  const model = { ...description, method, labelCount, trainsHead: () => true };
  const frozen = new Set(method.freezable);
  const left = new Set([...method.trainable()].filter((name) => !frozen.has(name)));
  const costs = [costOf("at the start", model, trace, sequenceLength)];
  if (frozen.size > 0) {
    costs.push(costOf("all frozen", { ...model, method: { ...method, trainable: () => left } }, trace, sequenceLength));
  }
  const head = [...trace.weights.values()].filter(({ part }) => part === "head");
  return {
    head: head.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    sequenceLength,
    costs,
    adaptedLayers: adaptedLayers(method, trace),
  };
}

function costOf(when: MethodCost["when"], model: AdaptedModel, trace: ModelTrace, sequence: number): MethodCost {
  const { method } = model;
  const trains = method.trainable();
  const parameters = [
    ...method.parameters.filter(({ name }) => trains.has(name)),
    ...(method.trainsBackbone ? [...trace.weights.values()].filter(({ part }) => part === "backbone") : []),
  ];
  const modules: Record<string, number> = {};
  for (const { name, shape } of parameters) {
    const module = name.slice(0, name.lastIndexOf("."));
    modules[module] = (modules[module] ?? 0) + sizeOf(shape);
  }
  const { outputs } = writeStep(model, crossEntropy, { dropout: false });
  const flops = countFlops(Object.values(outputs))({ batch: 1, sequence });
  for (const passes of Object.values(flops)) {
    passes.forward /= sequence;
    passes.backward /= sequence;
  }
  return { when, modules, trainable: Object.values(modules).reduce((sum, count) => sum + count, 0), flops };
}

/** Writes each linear layer with its adapter once, for one token, and counts; layers without an adapter are left out. */
function adaptedLayers(method: Method, trace: ModelTrace): MethodCosts["adaptedLayers"] {
  const shapes = new Map(method.parameters.map(({ name, shape }) => [name, shape]));
  const total = { base: 0, adapter: 0 };
  for (const site of trace.sites) {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", [1, site.inFeatures]);
    const weight = graph.leaf("frozen", "W0", "float32", [site.outFeatures, site.inFeatures]);
    const parameter = (name: string) => graph.leaf("trainable", name, "float32", shapes.get(name)!);
    const layer = (input: typeof x) => graph.within({ part: "base" }, () => gemm(input, weight, { transB: true }));
    const y = graph.within({ part: "adapter" }, () => method.adapt?.(parameter, x, layer, site) ?? layer(x));
    const { base, adapter } = countFlops([y])({});
    if (adapter.forward === 0) continue;
    total.base += base.forward;
    total.adapter += adapter.forward;
  }
  return total;
}

const sizeOf = (shape: readonly (number | string)[]): number =>
  (shape as readonly number[]).reduce((product, dimension) => product * dimension, 1);
