import type { Network, NetworkNode, NetworkTensor } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import { ShapeError } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import { cast } from "../../graph/ops.ts";
import { elementsOf } from "../../graph/tensor.ts";
import type { ForwardContext } from "../forward-context.ts";
import { fold, numbersOf } from "./constant-folding.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { asValue, ImportedNode, type Importer, isValue, LOWEST, type Operand } from "./imported-node.ts";
import { PICTURES } from "./pictures.ts";
import { POOLING } from "./pooling.ts";
import { PRODUCTS } from "./products.ts";
import { RECURRENCE } from "./recurrence.ts";
import { SHAPES } from "./shapes.ts";

/** Writers of ONNX's operators. A new one is an entry in the file of its kind. */
const IMPORTERS: Readonly<Record<string, Importer>> = {
  ...ELEMENTWISE,
  ...SHAPES,
  ...PRODUCTS,
  ...PICTURES,
  ...POOLING,
  ...RECURRENCE,
};

/** Name endings of parameters; other tensors are constants and never train. */
const PARAMETER = /(weight|bias|gamma|beta|scale|embeddings?|token|lambda\d?)$/i;
const DTYPES = { F32: "float32", F16: "float32", F64: "float32", BF16: "float32", BOOL: "bool" } as const;
const dtypeOf = ({ dtype }: NetworkTensor) => DTYPES[dtype as keyof typeof DTYPES] ?? ("int64" as const);

/** Upper limit on the elements of a node's result for one text, apart from sizes that differ from text to text. */
const MOST_ELEMENTS = 2 ** 28;
/** Upper limit on the elements that a network computes from its own tensors alone, for each element of these, and in any case. */
const FIXED_FACTOR = 4;
const FIXED_ELEMENTS = 2 ** 24;

export class NetworkWriter {
  readonly #prefix: string;
  readonly #values = new Map<string, Operand>();
  readonly #isTrained: boolean;
  readonly #trained = new Set<string>();
  readonly #varying = new Set<string>();
  #fixedLeft: number;

  /**
   * @param input creates an input of the network; throws a UserError if it is not supported
   * @param isTrained whether layers may train: everything after one must then have a gradient
   */
  constructor(
    private readonly network: Network,
    private readonly context: ForwardContext,
    private readonly input: (name: string) => Operand,
    prefix: string,
    { isTrained = true } = {},
  ) {
    this.#prefix = prefix === "" ? "" : `${prefix}.`;
    this.#isTrained = isTrained;
    const own = [...network.tensors.values()].reduce((sum, { shape }) => sum + elementsOf(shape), 0);
    this.#fixedLeft = Math.max(FIXED_ELEMENTS, FIXED_FACTOR * own);
  }

  value(name: string): Value {
    return asValue(this.context.graph, this.#operand(name));
  }

  operand(name: string): Operand | undefined {
    return this.#values.get(name);
  }

  replace(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  write(node: NetworkNode): void {
    if (node.op === "If") this.#writeBranch(node);
    else this.#writeNode(node);
  }

  #writeNode(node: NetworkNode): void {
    const operands = node.inputs.map((input) => (input === "" ? undefined : this.#operand(input)));
    const known = operands.map((operand) => (isValue(operand) ? undefined : operand));
    const folded = known.length === operands.length && !operands.some(isValue) ? fold(node, known) : undefined;
    const results = folded ? [folded] : this.#import(node, operands);
    node.outputs.forEach((output, i) => {
      const result = results[i];
      if (output !== "" && result) this.#values.set(output, result);
    });
    this.#checkSizes(node, results);
    this.#checkGradient(node, results);
  }

  /** @throws UserError if a node's results are larger than those of any model: a small file can ask for any size. */
  #checkSizes(node: NetworkNode, results: readonly Operand[]): void {
    const isFixed = !node.inputs.some((input) => this.#varying.has(input));
    if (!isFixed) for (const output of node.outputs) this.#varying.add(output);
    for (const { shape } of results) {
      const size = shape.reduce<number>((count, each) => (typeof each === "number" ? count * each : count), 1);
      if (isFixed) this.#fixedLeft -= size;
      if (size > MOST_ELEMENTS || this.#fixedLeft < 0)
        this.#refuse(node, `its result [${shape.join(", ")}] is larger than a model of this file's size needs`);
    }
  }

  #writeBranch(node: NetworkNode): void {
    const condition = node.inputs[0] ? this.#operand(node.inputs[0]) : undefined;
    const [holds] = (condition && !isValue(condition) && numbersOf(condition)) || [];
    if (holds === undefined)
      this.#refuse(node, "its condition is computed as the graph runs, and must be known before");
    const { nodes = [], outputs = [] } = node.branches?.[holds ? "then_branch" : "else_branch"] ?? {};
    if (outputs.length !== node.outputs.length)
      this.#refuse(node, `its branch has ${outputs.length} outputs, and it has ${node.outputs.length}`);
    for (const each of nodes) this.write(each);
    for (const [i, output] of outputs.entries()) {
      const name = node.outputs[i]!;
      this.#values.set(name, this.#operand(output));
      if (this.#trained.has(output)) this.#trained.add(name);
      if (this.#varying.has(output)) this.#varying.add(name);
    }
  }

  #refuse(node: NetworkNode, why: string): never {
    return new ImportedNode(this.context, this.network.location, node, []).refuse(why);
  }

  #import(node: NetworkNode, operands: readonly (Operand | undefined)[]): readonly Operand[] {
    const own = node.layer ? { ...node, layer: { ...node.layer, name: this.#ownName(node.layer.name) } } : node;
    const imported = new ImportedNode(this.context, this.network.location, own, operands);
    const write = Object.hasOwn(IMPORTERS, node.op) ? IMPORTERS[node.op] : undefined;
    if (!write) return imported.refuse("aflora does not support this operator");
    try {
      const result = write(imported);
      return Array.isArray(result) ? result : [result as Operand];
    } catch (error) {
      if (error instanceof UserError || !(error instanceof ShapeError)) throw error;
      return imported.refuse(error.message);
    }
  }

  /** @throws UserError if a node would silently stop the gradient of an earlier layer. */
  #checkGradient(node: NetworkNode, results: readonly Operand[]): void {
    if (!this.#isTrained || (!node.layer && !node.inputs.some((input) => this.#trained.has(input)))) return;
    for (const [i, result] of results.entries()) {
      if (!isValue(result) || result.dtype !== "float32") continue;
      if (result.node && !result.node.op.gradient) this.#refuse(node, "no gradient flows through it");
      this.#trained.add(node.outputs[i]!);
    }
  }

  #operand(name: string): Operand {
    const made = this.#values.get(name);
    if (made) return made;
    const tensor = this.network.tensors.get(name);
    const operand = tensor ? this.#tensor(name, tensor) : this.input(name);
    if (!tensor) this.#varying.add(name);
    this.#values.set(name, operand);
    if (isValue(operand) && operand.leaf?.kind === "trainable") this.#trained.add(name);
    return operand;
  }

  #tensor(name: string, tensor: NetworkTensor): Operand {
    const { shape, values } = tensor;
    const dtype = dtypeOf(tensor);
    // A row of scores that are all -∞ would give NaN, which then spreads through gradients.
    if (values) return { dtype, shape, elements: values.map((value) => Math.max(value, LOWEST)) };
    const own = this.#ownName(name);
    if (dtype !== "float32") return cast(this.context.buffer(own, shape), dtype);
    return PARAMETER.test(own) ? this.context.weight(own, shape) : this.context.buffer(own, shape);
  }

  #ownName(name: string): string {
    return name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : name;
  }
}
