import { UserError } from "../errors.ts";

/** A Python object that a pickle names by module and name, such as `torch._utils._rebuild_tensor_v2`. */
export class Global {
  constructor(readonly name: string) {}
}

/** Upper limit on an integer's bytes: sizes take 8, and decoding takes time by the square of the length. */
const MAX_INTEGER = 1024;

/** Operations that a pickle may use. All others are refused. */
export interface Allowed {
  globals: ReadonlySet<string>;
  /** Returns the result of calling `callable`, one of `globals`, or undefined if the call is not valid. */
  call(callable: string, args: readonly unknown[]): unknown;
  /** Returns an object stored outside of the pickle, or undefined if the id is not valid. */
  persistent(id: unknown): unknown;
}

class PickleBytes {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #location: string;

  constructor(bytes: Uint8Array, location: string, start: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#location = location;
    this.at = start;
  }

  damaged(what: string): UserError {
    return new UserError(`${this.#location} is damaged: its pickle has ${what} at byte ${this.at}; get the file again`);
  }

  /** Skips `length` bytes and returns their position. */
  skip(length: number): number {
    const left = this.#bytes.length - this.at;
    if (length > left) throw this.damaged(`a claim of ${length} more bytes, but only ${left} left,`);
    this.at += length;
    return this.at - length;
  }

  uint8 = (): number => this.#bytes[this.skip(1)]!;
  uint16 = (): number => this.#view.getUint16(this.skip(2), true);
  uint32 = (): number => this.#view.getUint32(this.skip(4), true);
  int32 = (): number => this.#view.getInt32(this.skip(4), true);
  uint64 = (): number => Number(this.#view.getBigUint64(this.skip(8), true));
  float64 = (): number => this.#view.getFloat64(this.skip(8));
  text = (length: number): string => new TextDecoder().decode(this.#bytes.subarray(this.skip(length), this.at));

  line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end < 0) throw this.damaged("a line without an end");
    const content = this.text(end - this.at);
    this.skip(1);
    return content;
  }

  /** Reads a little-endian integer in two's complement. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER) throw this.damaged(`an integer of ${length} bytes`);
    const from = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[from + i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isFinite(number) && BigInt(number) === value ? number : value;
  }
}

/** Virtual machine for a pickle's instructions: a stack, marks in it, and a memo. */
class PickleMachine {
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();

  constructor(
    readonly bytes: PickleBytes,
    private readonly location: string,
    private readonly allowed: Allowed,
  ) {}

  push(value: unknown): void {
    this.#stack.push(value);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  top(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.bytes.damaged("an instruction without its operand");
    return this.#stack.at(-1);
  }

  pop = (): unknown => {
    const value = this.top();
    this.#stack.pop();
    return value;
  };

  popMany(count: number): unknown[] {
    return Array.from({ length: count }, this.pop).reverse();
  }

  popMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.bytes.damaged("an instruction without its mark");
    return this.#stack.splice(mark);
  }

  setItems(items: readonly unknown[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2) throw this.bytes.damaged("keys and values that fit no dictionary");
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.bytes.damaged("items that fit no list");
    for (const item of items) list.push(item);
  }

  memorise(key = this.#memo.size): void {
    this.#memo.set(key, this.top());
  }

  recall(key: number): void {
    if (!this.#memo.has(key)) throw this.bytes.damaged("a reference to nothing");
    this.push(this.#memo.get(key));
  }

  /** Pushes a module's member if the pickle may mention it. */
  global(module: unknown, member: unknown): void {
    // As text, nested tuples that share their parts could fill all memory.
    if (typeof module !== "string" || typeof member !== "string") throw this.bytes.damaged("a name that is no text");
    const full = `${module}.${member}`;
    if (!this.allowed.globals.has(full)) {
      throw new UserError(
        `${this.location} asks for ${JSON.stringify(full)}, which no tensor needs: refused, and nothing of it was run`,
      );
    }
    this.push(new Global(full));
  }

  reduce(): void {
    const [callable, args] = this.popMany(2);
    const isCall = callable instanceof Global && Array.isArray(args);
    const result = isCall ? this.allowed.call(callable.name, args) : undefined;
    if (result === undefined) throw this.bytes.damaged("an invalid call");
    this.push(result);
  }

  persistent(): void {
    const value = this.allowed.persistent(this.pop());
    if (value === undefined) throw this.bytes.damaged("an invalid storage");
    this.push(value);
  }

  /** Drops attributes of an object (`_metadata` of a state dict), which hold no tensors. */
  build(): void {
    const [object] = this.popMany(2);
    if (!(object instanceof Map)) throw this.bytes.damaged("attributes of an object that has none");
    this.push(object);
  }
}

/** Instructions by their opcode in Python's pickletools. */
const INSTRUCTIONS: Readonly<Record<string, (machine: PickleMachine, bytes: PickleBytes) => void>> = {
  "\x80": (_, bytes) => bytes.uint8(), // PROTO
  "\x95": (_, bytes) => bytes.skip(8), // FRAME
  "(": (machine) => machine.mark(),
  "0": (machine) => machine.pop(),
  "1": (machine) => machine.popMark(),
  "2": (machine) => machine.push(machine.top()),

  N: (machine) => machine.push(null),
  "\x88": (machine) => machine.push(true),
  "\x89": (machine) => machine.push(false),
  K: (machine, bytes) => machine.push(bytes.uint8()),
  M: (machine, bytes) => machine.push(bytes.uint16()),
  J: (machine, bytes) => machine.push(bytes.int32()),
  "\x8a": (machine, bytes) => machine.push(bytes.integer(bytes.uint8())),
  "\x8b": (machine, bytes) => machine.push(bytes.integer(bytes.uint32())),
  G: (machine, bytes) => machine.push(bytes.float64()),
  U: (machine, bytes) => machine.push(bytes.text(bytes.uint8())),
  T: (machine, bytes) => machine.push(bytes.text(bytes.uint32())),
  X: (machine, bytes) => machine.push(bytes.text(bytes.uint32())),
  "\x8c": (machine, bytes) => machine.push(bytes.text(bytes.uint8())),
  "\x8d": (machine, bytes) => machine.push(bytes.text(bytes.uint64())),

  ")": (machine) => machine.push([]),
  "]": (machine) => machine.push([]),
  "}": (machine) => machine.push(new Map()),
  t: (machine) => machine.push(machine.popMark()),
  "\x85": (machine) => machine.push(machine.popMany(1)),
  "\x86": (machine) => machine.push(machine.popMany(2)),
  "\x87": (machine) => machine.push(machine.popMany(3)),
  a: (machine) => machine.append(machine.popMany(1)),
  e: (machine) => machine.append(machine.popMark()),
  s: (machine) => machine.setItems(machine.popMany(2)),
  u: (machine) => machine.setItems(machine.popMark()),

  q: (machine, bytes) => machine.memorise(bytes.uint8()),
  r: (machine, bytes) => machine.memorise(bytes.uint32()),
  "\x94": (machine) => machine.memorise(),
  h: (machine, bytes) => machine.recall(bytes.uint8()),
  j: (machine, bytes) => machine.recall(bytes.uint32()),

  c: (machine, bytes) => machine.global(bytes.line(), bytes.line()),
  "\x93": (machine) => machine.global(...(machine.popMany(2) as [unknown, unknown])),
  R: (machine) => machine.reduce(),
  b: (machine) => machine.build(),
  Q: (machine) => machine.persistent(),
};

/**
 * Reads the pickle at `start` of `bytes` (protocols 2 to 5) as data: dictionaries become maps, lists and tuples arrays,
 * integers numbers (bigint if too large). It imports and runs nothing; calls are limited to the functions of `allowed`.
 * @param location the file, for error messages.
 * @returns the value, and the position where the pickle ends.
 * @throws UserError if the pickle is damaged, or uses anything that `allowed` does not permit.
 */
export function unpickle(
  bytes: Uint8Array,
  location: string,
  allowed: Allowed,
  start = 0,
): { value: unknown; end: number } {
  const reader = new PickleBytes(bytes, location, start);
  const machine = new PickleMachine(reader, location, allowed);
  for (;;) {
    const opcode = String.fromCharCode(reader.uint8());
    if (opcode === ".") return { value: machine.pop(), end: reader.at };
    const instruction = Object.hasOwn(INSTRUCTIONS, opcode) && INSTRUCTIONS[opcode];
    if (!instruction) throw reader.damaged(`the instruction ${JSON.stringify(opcode)}, which no tensor needs,`);
    instruction(machine, reader);
  }
}
