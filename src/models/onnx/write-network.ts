import { UserError } from "../../errors.ts";
import { ShapeError } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import { cast } from "../../graph/ops.ts";
import type { Network, NetworkNode, NetworkTensor } from "../../model-files/onnx/network.ts";
import type { ForwardContext } from "../forward-context.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { asValue, ImportedNode, type Importer, isValue, LOWEST, type Operand } from "./imported-node.ts";
import { fold, numbersOf } from "./known.ts";
import { PICTURES } from "./pictures.ts";
import { POOLING } from "./pooling.ts";
import { PRODUCTS } from "./products.ts";
import { RECURRENCE } from "./recurrence.ts";
import { SHAPES } from "./shapes.ts";

/** How each of ONNX's operators is written in a graph of ours: a new one is an entry in a file of its family. */
const IMPORTERS: Readonly<Record<string, Importer>> = {
  ...ELEMENTWISE,
  ...SHAPES,
  ...PRODUCTS,
  ...PICTURES,
  ...POOLING,
  ...RECURRENCE,
};

/** Tensors that a model learns, by the ends of their names; others are constants, which never train. */
const PARAMETER = /(weight|bias|gamma|beta|scale|embeddings?|token|lambda\d?)$/i;

const DTYPES = { F32: "float32", F16: "float32", F64: "float32", BF16: "float32", BOOL: "bool" } as const;
const dtypeOf = ({ dtype }: NetworkTensor) => DTYPES[dtype as keyof typeof DTYPES] ?? ("int64" as const);

/** Writes nodes of a network, one after the other, into a graph. */
export class NetworkWriter {
  readonly #network: Network;
  readonly #context: ForwardContext;
  readonly #input: (name: string) => Operand;
  /** What tensors' names begin with that the model's own names leave out. */
  readonly #prefix: string;
  readonly #values = new Map<string, Operand>();
  readonly #isTrained: boolean;
  /** Values that a gradient comes to. */
  readonly #trained = new Set<string>();

  /**
   * @param input makes an input of the network; throws a UserError where it is not known
   * @param isTrained whether its layers may be trained: a gradient must then flow through all that follows one
   */
  constructor(
    network: Network,
    context: ForwardContext,
    input: (name: string) => Operand,
    prefix: string,
    { isTrained = true } = {},
  ) {
    this.#network = network;
    this.#context = context;
    this.#input = input;
    this.#prefix = prefix === "" ? "" : `${prefix}.`;
    this.#isTrained = isTrained;
  }

  /** A value that was written, an input or a tensor. */
  value(name: string): Value {
    return asValue(this.#context.graph, this.#operand(name));
  }

  /** A value that was written. */
  operand(name: string): Operand | undefined {
    return this.#values.get(name);
  }

  /** Puts another value in the place of one. */
  replace(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  /** @throws UserError naming the node where an operator is missing, or cannot be used so. */
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
    this.#checkGradient(node, results);
  }

  /** Of a node's branches the one that its condition, which must be known, chooses. */
  #writeBranch(node: NetworkNode): void {
    const condition = node.inputs[0] ? this.#operand(node.inputs[0]) : undefined;
    const [holds] = (condition && !isValue(condition) && numbersOf(condition)) || [];
    if (holds === undefined)
      this.#refuse(node, "its condition is computed as the graph runs, and must be known before");
    const { nodes = [], outputs = [] } = node.branches?.[holds ? "then_branch" : "else_branch"] ?? {};
    if (outputs.length !== node.outputs.length)
      this.#refuse(node, `its branch makes ${outputs.length} values, and it has ${node.outputs.length}`);
    for (const each of nodes) this.write(each);
    for (const [i, output] of outputs.entries()) {
      const name = node.outputs[i]!;
      this.#values.set(name, this.#operand(output));
      if (this.#trained.has(output)) this.#trained.add(name);
    }
  }

  #refuse(node: NetworkNode, why: string): never {
    return new ImportedNode(this.#context, this.#network.location, node, []).refuse(why);
  }

  #import(node: NetworkNode, operands: readonly (Operand | undefined)[]): readonly Operand[] {
    const own = node.layer ? { ...node, layer: { ...node.layer, name: this.#ownName(node.layer.name) } } : node;
    const imported = new ImportedNode(this.#context, this.#network.location, own, operands);
    const write = Object.hasOwn(IMPORTERS, node.op) ? IMPORTERS[node.op] : undefined;
    if (!write) return imported.refuse("aflora does not know this operator");
    try {
      const result = write(imported);
      return Array.isArray(result) ? result : [result as Operand];
    } catch (error) {
      if (error instanceof UserError || !(error instanceof ShapeError)) throw error;
      return imported.refuse(error.message);
    }
  }

  /** @throws UserError where the gradient of a layer before a node would end there without a word. */
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
    const tensor = this.#network.tensors.get(name);
    const operand = tensor ? this.#tensor(name, tensor) : this.#input(name);
    this.#values.set(name, operand);
    if (isValue(operand) && operand.leaf?.kind === "trainable") this.#trained.add(name);
    return operand;
  }

  #tensor(name: string, tensor: NetworkTensor): Operand {
    const { shape, values } = tensor;
    const dtype = dtypeOf(tensor);
    // A row of scores that are all -∞ would be no numbers at all, of which a gradient never gets rid.
    if (values) return { dtype, shape, elements: values.map((value) => Math.max(value, LOWEST)) };
    const own = this.#ownName(name);
    if (dtype !== "float32") return cast(this.#context.buffer(own, shape), dtype);
    return PARAMETER.test(own) ? this.#context.weight(own, shape) : this.#context.buffer(own, shape);
  }

  #ownName(name: string): string {
    return name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : name;
  }
}
