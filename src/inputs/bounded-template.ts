import * as jinja from "@huggingface/jinja";

/** Upper limit on interpreter steps; a conversation of a thousand turns takes about 100,000. */
const MAX_STEPS = 2_000_000;
/** Upper limit on characters of a text, or of a list or an object as text: half a million tokens of English. */
const MAX_LENGTH = 2 ** 21;
/**
 * Upper limits on a template's characters (the longest published has 30,000) and consecutive spaces, which its parser
 * rescans.
 */
const [MAX_SOURCE, MAX_SPACE] = [2 ** 18, 1000];
/** Costs by measured time: steps per loop iteration, and characters per step. */
const [STEPS_PER_ITERATION, CHARACTERS_PER_STEP] = [10, 32];
/** Steps per character that is sliced, and per pair of characters that a search compares. */
const [STEPS_PER_SLICED_CHARACTER, STEPS_PER_COMPARISON] = [1 / 4, 1 / 1024];

interface Value {
  type: string;
  value?: unknown;
}
interface SyntaxNode {
  type: string;
  body?: SyntaxNode[];
  alternate?: SyntaxNode[];
  defaultBlock?: SyntaxNode[];
  /** Iterable of a loop; with a condition, its `lhs` is the iterable. */
  iterable?: SyntaxNode;
  lhs?: SyntaxNode;
  operator?: { value: string };
  left?: SyntaxNode;
  right?: SyntaxNode;
  callee?: SyntaxNode;
  args?: SyntaxNode[];
  argument?: SyntaxNode;
  object?: SyntaxNode;
  property?: SyntaxNode;
  computed?: boolean;
  /** Text of a name; expression of a named argument. */
  value?: unknown;
}
interface Evaluated extends SyntaxNode {
  type: typeof EVALUATED;
  result: Value;
}
const EVALUATED = "Evaluated";

interface Interpreter {
  run(program: SyntaxNode): Value;
  evaluate(node: SyntaxNode | undefined, scope: object): Value;
  applyFilter(operand: Value, filter: SyntaxNode, scope: object): Value;
  evaluateCallExpression(call: SyntaxNode, scope: object): Value;
}

// The library's declarations of these do not resolve under Node's rules.
const library = jinja as unknown as {
  Environment: new () => { set(name: string, value: unknown): void };
  Interpreter: new (scope: object) => Interpreter;
};

/** Filters whose results may be longer than their input. */
const GROWING: ReadonlySet<unknown> = new Set(["replace", "join", "indent", "tojson"]);

/** Jinja interpreter with a budget, so that an untrusted template can neither run forever nor exhaust the memory. */
class BoundedInterpreter extends library.Interpreter {
  #steps = 0;
  readonly #sizes = new WeakMap<Value, number>();
  /** Whether the value being measured has a part that may grow later. */
  #mayGrow = false;
  readonly #seen = new WeakSet<SyntaxNode>();
  /** Steps per item of a node's value. */
  readonly #stepsPerItem = new WeakMap<SyntaxNode, number>();
  readonly #becomesText = new WeakSet<SyntaxNode>();

  constructor(
    scope: object,
    private readonly sourceLength: number,
  ) {
    super(scope);
  }

  override evaluate(node: SyntaxNode | Evaluated | undefined, scope: object): Value {
    if (node && "result" in node) return node.result;
    if (node) this.#inspect(node);
    const result = super.evaluate(this.#chargeSearch(node, scope), scope);
    const { value } = result;
    const size = this.#sizeOf(result);
    this.#spend(1);
    if (typeof value === "string" || (node && this.#becomesText.has(node))) this.#spend(size / CHARACTERS_PER_STEP);
    const each = node && this.#stepsPerItem.get(node);
    if (each) this.#spend(each * countOf(value));
    // Macro arguments are searched for in the macro's whole text.
    if (node?.type === "Macro" || node?.type === "CallStatement") this.#spend(this.sourceLength / 10);
    if (node && isKeptReplace(node, result)) throw new Error("it keeps replace() of a text without calling it");
    return result;
  }

  /** Checks filters of texts before they produce long results. */
  override applyFilter(operand: Value, filter: SyntaxNode, scope: object): Value {
    if (!filter.callee || !GROWING.has(filter.callee.value)) return super.applyFilter(operand, filter, scope);
    const args = this.#evaluated(filter.args ?? [], scope);
    this.#refuseGrowth(filter.callee.value, operand, args.flatMap(resultsOf));
    return super.applyFilter(operand, { ...filter, args }, scope);
  }

  override evaluateCallExpression(call: SyntaxNode, scope: object): Value {
    const { callee } = call;
    if (callee?.type !== "MemberExpression") return super.evaluateCallExpression(call, scope);
    const args = this.#evaluated(call.args ?? [], scope);
    const object = this.evaluate(callee.object, scope);
    this.#refuseGrowth("replace", object, args.flatMap(resultsOf));
    const known = { ...callee, object: evaluated(object) };
    return super.evaluateCallExpression({ ...call, args, callee: known }, scope);
  }

  /** Charges for a text search once the lengths are known. */
  #chargeSearch(node: SyntaxNode | undefined, scope: object): SyntaxNode | undefined {
    if (node?.type !== "BinaryExpression" || !/^(not )?in$/.test(node.operator?.value ?? "")) return node;
    const [left, right] = [this.evaluate(node.left, scope), this.evaluate(node.right, scope)];
    if (typeof left.value === "string" && typeof right.value === "string") this.#compare(left.value, right.value);
    return { ...node, left: evaluated(left), right: evaluated(right) };
  }

  #compare(part: string, text: string): void {
    this.#spend(part.length * text.length * STEPS_PER_COMPARISON);
  }

  #spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new Error("it takes more steps than any conversation needs");
  }

  /** Records which parts of a node are iterated, and which become text. */
  #inspect(node: SyntaxNode): void {
    if (this.#seen.has(node)) return;
    this.#seen.add(node);
    for (const each of [node.body, node.alternate, node.defaultBlock].flat()) if (each) this.#becomesText.add(each);
    if (node.iterable) this.#stepsPerItem.set(node.iterable.lhs ?? node.iterable, STEPS_PER_ITERATION);
    if (node.object && node.property?.type === "SliceExpression")
      this.#stepsPerItem.set(node.object, STEPS_PER_SLICED_CHARACTER);
    if (!/^([+~]|[!=]=)$/.test(node.operator?.value ?? "")) return;
    for (const each of [node.left, node.right]) if (each) this.#becomesText.add(each);
  }

  #evaluated(args: readonly SyntaxNode[], scope: object): SyntaxNode[] {
    return args.map((arg) => {
      if (arg.argument) return { ...arg, argument: evaluated(this.evaluate(arg.argument, scope)) };
      if (arg.type === "KeywordArgumentExpression") {
        return { ...arg, value: evaluated(this.evaluate(arg.value as SyntaxNode, scope)) };
      }
      return evaluated(this.evaluate(arg, scope));
    });
  }

  /**
   * Returns the length of a value as text, counting shared parts each time they occur.
   * @throws Error if it exceeds the limit.
   */
  #sizeOf(of: Value): number {
    const known = this.#sizes.get(of);
    if (known !== undefined) return known;
    const { type, value } = of;
    if (typeof value !== "object" || value === null) return checkedSize(typeof value === "string" ? value.length : 1);
    const outer = this.#mayGrow;
    this.#mayGrow = type === "NamespaceValue";
    let size = 2;
    for (const [key, each] of partsOf(value)) {
      size = checkedSize(size + 2 + (typeof key === "string" ? key.length : 0) + this.#sizeOf(each));
      this.#spend(1 / 8);
    }
    if (!this.#mayGrow) {
      this.#sizes.set(of, size);
      this.#spend(countOf(value) + size / CHARACTERS_PER_STEP);
    }
    this.#mayGrow ||= outer;
    return size;
  }

  /** @throws Error if a filter's result would exceed the limit. */
  #refuseGrowth(filter: unknown, operand: Value, args: readonly Value[]): void {
    const { value } = operand;
    const [from, to] = args.map((arg) => arg.value);
    const width = args.reduce(
      (most, { value: given }) => (typeof given === "number" ? Math.max(most, given) : most),
      0,
    );
    if (filter === "tojson")
      this.#indentationOf(
        operand,
        width,
        args.reduce((sum, arg) => sum + this.#sizeOf(arg), 0),
      );
    else if (filter === "join")
      checkedSize(this.#sizeOf(operand) + countOf(value) * (typeof from === "string" ? from.length : 0));
    else if (typeof value !== "string") return;
    else if (filter === "indent") checkedSize(value.length + occurrencesOf(value, "\n") * width);
    else if (typeof from === "string") {
      this.#compare(from, value);
      if (typeof to === "string") checkedSize(value.length + occurrencesOf(value, from) * to.length);
    }
  }

  #indentationOf({ value }: Value, indent: number, between: number, depth = 1): number {
    if (typeof value !== "object" || value === null) return 0;
    let size = indent * depth;
    for (const [, each] of partsOf(value)) {
      size = checkedSize(size + between + indent * depth + this.#indentationOf(each, indent, between, depth + 1));
      this.#spend(1 / 8);
    }
    return size;
  }
}

const evaluated = (result: Value): Evaluated => ({ type: EVALUATED, result });

function resultsOf(arg: SyntaxNode): Value[] {
  const { result } = (arg.argument ?? (arg.type === EVALUATED ? arg : arg.value)) as Evaluated;
  return arg.argument ? Array.from(partsOf(result.value as object), ([, each]) => each) : [result];
}

/** Whether a text's replace() is read without a call; a later call could not be checked. */
const isKeptReplace = (node: SyntaxNode, { type }: Value): boolean =>
  type === "FunctionValue" &&
  node.type === "MemberExpression" &&
  node.object?.type !== EVALUATED &&
  (node.computed === true || node.property?.value === "replace");

const partsOf = (value: object): Iterable<readonly [unknown, Value]> =>
  value instanceof Map ? value : Array.isArray(value) ? value.entries() : [];

const countOf = (value: unknown): number =>
  value instanceof Map ? value.size : typeof value === "string" || Array.isArray(value) ? value.length : 0;

function occurrencesOf(text: string, part: string): number {
  if (part === "") return text.length + 1;
  let places = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) places++;
  return places;
}

/** Returns the size. @throws Error if it exceeds the limit. */
function checkedSize(size: number): number {
  if (size > MAX_LENGTH) throw new Error("it makes a text or a list longer than any conversation");
  return size;
}

const TOO_MUCH_SPACE = new RegExp(`\\s{${MAX_SPACE}}`);

/** A Jinja template as Transformers uses it (huggingface.co/docs/transformers/chat_templating), within limits. */
export class BoundedTemplate {
  readonly #template: jinja.Template;
  readonly #length: number;

  /** @throws Error if it is malformed. */
  constructor(source: string) {
    if (source.length > MAX_SOURCE) throw new Error(`it has ${source.length} characters`);
    if (TOO_MUCH_SPACE.test(source)) throw new Error(`it has more than ${MAX_SPACE} spaces in a row`);
    this.#length = source.length;
    this.#template = new jinja.Template(source);
  }

  /** Renders the template. @throws Error if it rejects its input, fails, or exceeds a limit. */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = new library.Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) scope.set(name, value);
    const { value } = new BoundedInterpreter(scope, this.#length).run(this.#template.parsed);
    return String(value);
  }
}

/** Upper limit on the length of range(): a longer loop would exceed the budget. */
const MAX_RANGE = MAX_STEPS / STEPS_PER_ITERATION;

const MAX_FORMAT = 1000;

/** Global names of every template; the library does not export its own. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception(message: unknown): never {
    throw new Error(typeof message === "string" ? message : "it raises an exception");
  },
  strftime_now(format: unknown): string {
    if (typeof format !== "string" || format.length > MAX_FORMAT) throw new Error("strftime_now() has no format");
    return new jinja.Template("{{ strftime_now(format) }}").render({ format });
  },
  range(start: number, stop?: number, step = 1): number[] {
    if (![start, stop ?? 0, step].every(Number.isFinite)) throw new Error("range() takes numbers");
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (!(count <= MAX_RANGE)) throw new Error(`range() of ${count} numbers is longer than any conversation`);
    return Array.from({ length: count }, (_, i) => from + i * step);
  },
};
