import { sameShape, showShape } from "../dimension.ts";
import { ELEMENT_TYPE, type OnnxEmitter, type Value } from "../graph.ts";
import { define, FLOATS, fail, requireIndices, requireType } from "./define.ts";
import { emitLogSoftmax } from "./emit.ts";

function requireRows(name: string, inputs: readonly Value[]): void {
  const [logits, targets] = inputs;
  requireType(name, [logits!], FLOATS);
  requireIndices(name, inputs, [targets!]);
  if (logits!.shape.length !== 2 || !sameShape(targets!.shape, logits!.shape.slice(0, 1))) {
    fail(name, inputs, `needs [rows, outputs] and a target for each row, not ${showShape(targets!.shape)}`);
  }
}

const columnOf = (emitter: OnnxEmitter, targets: Value): string =>
  emitter.emit("Unsqueeze", [targets, emitter.int64([1])]);

function emitPicked(emitter: OnnxEmitter, all: Value, targets: Value, picked: Value): void {
  emitter.emit("GatherElements", [all, columnOf(emitter, targets)], { attributes: { axis: 1 }, outputs: [picked] });
}

const LOG_LIKELIHOOD = define<[Value, Value]>({
  name: "LogLikelihood",
  infer(inputs) {
    requireRows("LogLikelihood", inputs);
    const [{ dtype, shape }] = inputs;
    return [
      { dtype, shape: [shape[0]!, 1] },
      { dtype, shape },
    ];
  },
  onnx({ inputs: [logits, targets], outputs: [picked, all] }, emitter) {
    emitter.emit("LogSoftmax", [logits], { attributes: { axis: -1 }, outputs: [all!] });
    emitPicked(emitter, all!, targets, picked!);
  },
  plainOnnx({ inputs: [logits, targets], outputs: [picked, all] }, emitter) {
    emitLogSoftmax(emitter, logits, [all!]);
    emitPicked(emitter, all!, targets, picked!);
  },
  gradient: ({ inputs: [, targets], outputs: [, all] }, dy) => [
    dy.graph.apply(LOG_LIKELIHOOD_GRADIENT, [all!, targets, dy], {}),
  ],
});

/**
 * Log-probability of each row's target under the softmax: `logits [rows, outputs]`, `targets [rows]` integers → `[rows,
 * 1]`. Needs no one-hot matrix of the targets.
 */
export const logLikelihood = (logits: Value, targets: Value): Value =>
  logits.graph.apply(LOG_LIKELIHOOD, [logits, targets], {});

/** `dy ∘ (onehot(targets) - softmax)` in one array, of `log-softmax [rows, outputs]`, `targets [rows]`, `dy [rows, 1]`. */
const LOG_LIKELIHOOD_GRADIENT = define<[Value, Value, Value]>({
  name: "LogLikelihoodGradient",
  infer: ([{ dtype, shape }]) => [{ dtype, shape }],
  onnx({ inputs: [all, targets, dy], outputs }, emitter) {
    const probabilities = emitter.emit("Exp", [all]);
    const scaled = emitter.emit("Mul", [probabilities, emitter.emit("Neg", [dy])]);
    emitter.emit("ScatterElements", [scaled, columnOf(emitter, targets), dy], {
      attributes: { axis: 1, reduction: "add" },
      outputs,
    });
  },
});

const HITS = define<[Value, Value]>({
  name: "Hits",
  infer(inputs) {
    requireRows("Hits", inputs);
    const [{ dtype, shape }] = inputs;
    return [{ dtype, shape: [shape[0]!, 1] }];
  },
  onnx({ inputs: [logits, targets], outputs: [hits] }, emitter) {
    const largest = emitter.emit("ArgMax", [logits], { attributes: { axis: 1, keepdims: 1 } });
    const wide = emitter.emit("Cast", [columnOf(emitter, targets)], { attributes: { to: ELEMENT_TYPE.int64 } });
    const equal = emitter.emit("Equal", [largest, wide]);
    emitter.emit("Cast", [equal], { attributes: { to: ELEMENT_TYPE[hits!.dtype] }, outputs: [hits!] });
  },
});

/** 1 if the target is the row's first largest output, otherwise 0: `[rows, outputs]`, `[rows]` → `[rows, 1]`. */
export const hits = (logits: Value, targets: Value): Value => logits.graph.apply(HITS, [logits, targets], {});
