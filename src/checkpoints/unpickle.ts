import { UserError } from "../errors.ts";

/** Something that a pickle names by module and name, such as `torch._utils._rebuild_tensor_v2`. */
export class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Most bytes of an integer: sizes take 8, and longer ones take time by the square of their length. */
const MAX_INTEGER = 1024;

/** What a pickle may do; all else is refused. */
export interface Allowed {
  /** Names that the pickle may mention. */
  globals: ReadonlySet<string>;
  /** The value of calling `callable`, one of `globals`; undefined where it cannot be called so. */
  call(callable: string, args: readonly unknown[]): unknown;
  /** The value of something that is kept outside of the pickle; undefined where the id makes no sense. */
  persistent(id: unknown): unknown;
}

/**
 * Reads the pickle at `start` of `bytes` (protocols 2 to 5) as data: dictionaries become maps, lists and tuples arrays,
 * integers numbers (bigint where too large). It imports and runs nothing; what the pickle asks to call is looked up
 * among the few functions of `allowed`.
 * @param location the file, for error messages.
 * @returns the value, and where the pickle ends.
 * @throws UserError where the pickle is damaged, or names or does anything that `allowed` does not hold.
 */
export function unpickle(
  bytes: Uint8Array,
  location: string,
  allowed: Allowed,
  start = 0,
): { value: unknown; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  const marks: number[] = [];
  const memo = new Map<number, unknown>();
  let at = start;

  const damaged = (what: string) =>
    new UserError(`${location} is damaged: its pickle has ${what} at byte ${at}; get the file again`);

  /** Steps over `length` bytes and returns where they begin. */
  const skip = (length: number): number => {
    if (length > bytes.length - at)
      throw damaged(`a claim of ${length} more bytes, where ${bytes.length - at} are left,`);
    at += length;
    return at - length;
  };
  const uint8 = () => bytes[skip(1)]!;
  const uint32 = () => view.getUint32(skip(4), true);
  const uint64 = () => Number(view.getBigUint64(skip(8), true));
  const text = (length: number) => new TextDecoder().decode(bytes.subarray(skip(length), at));
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) throw damaged("a line without an end");
    const content = text(end - at);
    skip(1);
    return content;
  };
  /** A little-endian integer in two's complement. */
  const integer = (length: number) => {
    if (length > MAX_INTEGER) throw damaged(`an integer of ${length} bytes`);
    const from = skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isFinite(number) && BigInt(number) === value ? number : value;
  };

  const top = () => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw damaged("an instruction without its operand");
    return stack.at(-1);
  };
  const pop = () => {
    const value = top();
    stack.pop();
    return value;
  };
  const popMany = (count: number) => Array.from({ length: count }, pop).reverse();
  const popMark = () => {
    const mark = marks.pop();
    if (mark === undefined) throw damaged("an instruction without its mark");
    return stack.splice(mark);
  };
  const setItems = (items: unknown[]) => {
    const map = top();
    if (!(map instanceof Map) || items.length % 2) throw damaged("keys and values that fit no dictionary");
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  };
  const append = (items: unknown[]) => {
    const list = top();
    if (!Array.isArray(list)) throw damaged("items that fit no list");
    for (const item of items) list.push(item);
  };
  const name = (module: unknown, member: unknown) => {
    const full = `${module}.${member}`;
    if (!allowed.globals.has(full)) {
      throw new UserError(
        `${location} asks for ${JSON.stringify(full)}, which no tensor needs: refused, and nothing of it was run`,
      );
    }
    return new Global(full);
  };
  const reduce = () => {
    const [callable, args] = popMany(2);
    const result = callable instanceof Global && Array.isArray(args) ? allowed.call(callable.name, args) : undefined;
    if (result === undefined) throw damaged("a call that makes no sense");
    return result;
  };
  const persistent = () => {
    const value = allowed.persistent(pop());
    if (value === undefined) throw damaged("a storage that makes no sense");
    return value;
  };
  /** Attributes set on an object hold no tensors (`_metadata` of a state dict); they are dropped. */
  const build = () => {
    const [object] = popMany(2);
    if (!(object instanceof Map)) throw damaged("attributes of what has none");
    stack.push(object);
  };

  // One entry an instruction, by its opcode in Python's pickletools.
  const instructions: Record<string, () => void> = {
    "\x80": () => uint8(), // PROTO
    "\x95": () => skip(8), // FRAME
    "(": () => marks.push(stack.length),
    "0": () => pop(),
    "1": () => popMark(),
    "2": () => stack.push(top()),

    N: () => stack.push(null),
    "\x88": () => stack.push(true),
    "\x89": () => stack.push(false),
    K: () => stack.push(uint8()),
    M: () => stack.push(view.getUint16(skip(2), true)),
    J: () => stack.push(view.getInt32(skip(4), true)),
    "\x8a": () => stack.push(integer(uint8())),
    "\x8b": () => stack.push(integer(uint32())),
    G: () => stack.push(view.getFloat64(skip(8))),
    U: () => stack.push(text(uint8())),
    T: () => stack.push(text(uint32())),
    X: () => stack.push(text(uint32())),
    "\x8c": () => stack.push(text(uint8())),
    "\x8d": () => stack.push(text(uint64())),

    ")": () => stack.push([]),
    "]": () => stack.push([]),
    "}": () => stack.push(new Map()),
    t: () => stack.push(popMark()),
    "\x85": () => stack.push(popMany(1)),
    "\x86": () => stack.push(popMany(2)),
    "\x87": () => stack.push(popMany(3)),
    a: () => append(popMany(1)),
    e: () => append(popMark()),
    s: () => setItems(popMany(2)),
    u: () => setItems(popMark()),

    q: () => memo.set(uint8(), top()),
    r: () => memo.set(uint32(), top()),
    "\x94": () => memo.set(memo.size, top()),
    h: () => recall(uint8()),
    j: () => recall(uint32()),

    c: () => stack.push(name(line(), line())),
    "\x93": () => stack.push(name(...(popMany(2) as [unknown, unknown]))),
    R: () => stack.push(reduce()),
    b: build,
    Q: () => stack.push(persistent()),
  };
  const recall = (key: number) => {
    if (!memo.has(key)) throw damaged("a reference to nothing");
    stack.push(memo.get(key));
  };

  for (;;) {
    const opcode = String.fromCharCode(uint8());
    if (opcode === ".") return { value: pop(), end: at };
    const instruction = instructions[opcode];
    if (!instruction) throw damaged(`the instruction ${JSON.stringify(opcode)}, which no tensor needs,`);
    instruction();
  }
}
