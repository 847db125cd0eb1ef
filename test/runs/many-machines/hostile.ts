import { float32, type Tensor, type Tensors } from "../../../src/graph/tensor.ts";
import { messageBytes, readMessage } from "../../../src/runs/many-machines/message.ts";
import { resultSchema, type Shard, shardSchema } from "../../../src/runs/many-machines/protocol.ts";

/** Workers' ids that hostile messages bear: so few that refused ones come again. */
const WORKERS = 5;

/** Messages that no honest worker or coordinator sends; the same for a seed. */
export class Hostile {
  #state: number;
  /** Results as they were once sent. */
  readonly #before: Buffer[] = [];

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Another result of a shard. @param right shapes of its results */
  result(shard: string, right: ReadonlyMap<string, readonly number[]>): Buffer {
    const worker = (16 + this.#below(WORKERS)).toString(16).repeat(16);
    const facts = { worker, name: `hostile\u001b[2J${"x".repeat(this.#below(3000))}`, shard };
    const tensors = new Map([...right].map(([name, shape]) => [name, float32(shape)] as const));
    const [name, tensor] = [...tensors][this.#below(tensors.size)]!;
    const kinds: (() => Buffer)[] = [
      () => this.#noise(),
      () => this.#flipped(messageBytes(facts, tensors)),
      // Of the right form, with wrong numbers.
      () => messageBytes(facts, tensors),
      () => messageBytes(facts, tensors.set(name, this.#filled(tensor, [Number.NaN, Number.POSITIVE_INFINITY]))),
      () => messageBytes(facts, tensors.set(name, float32([1 + tensor.data.length]))),
      () => messageBytes(facts, tensors.set("more", float32([1]))),
      () => messageBytes(facts, new Map([...tensors].slice(1))),
      () => this.#oversized(facts),
      // Of another run, or of a step that is not at hand.
      () => messageBytes({ ...facts, shard: `${this.#below(9)}.${this.#below(1e6)}.step.${this.#below(9)}` }, tensors),
      () => this.#before[this.#below(this.#before.length)] ?? this.#noise(),
      () => messageBytes({ ...facts, asks: true, leaves: "\u001b]0;owned\u0007", seconds: 1e300 }),
      () => messageBytes({ ...facts, seconds: -1, worker: "../../etc" }, tensors),
    ];
    const bytes = kinds[this.#below(kinds.length)]!();
    if (readMessage(bytes, resultSchema)) this.#before.push(bytes);
    return bytes;
  }

  /** A shard that is none, or another than a coordinator's. */
  shard(right: Buffer): Buffer {
    const { facts, tensors } = readMessage(right, shardSchema)!;
    const kinds: (() => Buffer)[] = [
      () => this.#noise(),
      () => this.#flipped(right),
      () => this.#oversized(facts),
      () => messageBytes(this.#otherTexts(facts), tensors),
      () => messageBytes({ ...facts, state: this.#below(1e6), step: this.#below(1e6) }, tensors),
      () => messageBytes({ ...facts, part: ["step", "part", "outputs", "../part"][this.#below(4)] }, tensors),
      () => messageBytes({ ...facts, examples: facts.examples.slice(1) }, tensors),
      () => messageBytes(facts, this.#otherInputs(tensors)),
    ];
    return kinds[this.#below(kinds.length)]!();
  }

  #otherTexts({ examples, ...facts }: Shard): object {
    const ids = [-1, 2 ** 31, 2 ** 53, 1e6, 0.5, Number.NaN];
    const inputIds = Array.from({ length: this.#below(600) }, () => ids[this.#below(ids.length)]!);
    const tokenTypeIds = inputIds.slice(this.#below(2)).map(() => this.#below(3));
    const rows = [this.#below(1e6)];
    return { ...facts, examples: [{ ...examples[0]!, encoding: { inputIds, tokenTypeIds }, rows }] };
  }

  #otherInputs(tensors: Tensors): Tensors {
    const names = [...tensors.keys()];
    const name = names[this.#below(names.length)]!;
    const { shape, data } = tensors.get(name)!;
    const others: Tensor[] = [
      float32([...shape, 1], Float32Array.from(data, Number)),
      float32([0], new Float32Array(0)),
      this.#filled(float32(shape), [Number.NaN]),
    ];
    return new Map<string, Tensor>([...tensors]).set(name, others[this.#below(others.length)]!);
  }

  /** A header that promises more than comes. */
  #oversized(facts: object): Buffer {
    const sizes = [[2 ** 31, 2 ** 31], [2 ** 30], Array.from({ length: 5000 }, () => 2), [-1]];
    const shape = sizes[this.#below(sizes.length)]!;
    const end = this.#below(2) === 0 ? 2 ** 53 : 64;
    const tensor = { dtype: "F32", shape, data_offsets: [0, end] };
    const header = Buffer.from(JSON.stringify({ __metadata__: { aflora: JSON.stringify(facts) }, loss: tensor }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(this.#below(4) === 0 ? 2n ** 63n : BigInt(header.length));
    return Buffer.concat([length, header, Buffer.alloc(this.#below(64))]);
  }

  #flipped(bytes: Buffer): Buffer {
    const changed = Buffer.from(bytes.subarray(0, this.#below(2) === 0 ? this.#below(bytes.length) : bytes.length));
    // Numbers in the header are where it hurts; what follows it are values.
    const end = Math.min(changed.length, 400);
    for (let flips = 1 + this.#below(4); flips > 0 && end > 0; flips--) changed[this.#below(end)] = this.#below(256);
    return changed;
  }

  #noise(): Buffer {
    return Buffer.from(Array.from({ length: this.#below(200) }, () => this.#below(256)));
  }

  #filled({ shape, data }: Tensor<"float32">, values: readonly number[]): Tensor<"float32"> {
    return float32(
      shape,
      Float32Array.from(data, () => values[this.#below(values.length)]!),
    );
  }

  /** @returns a whole number from 0, less than `limit` */
  #below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
}
