import * as jinja from "@huggingface/jinja";

/** Steps of its interpreter that a template may take: a conversation of a thousand turns takes some 100,000. */
const MAX_STEPS = 2_000_000;
/** Characters of a text, or of a list or an object as text, at most: half a million tokens of English. */
const MAX_LENGTH = 2 ** 21;
/** Characters of a template, the longest published have 30,000; and of space in it, which its parser looks at again and again. */
const [MAX_SOURCE, MAX_SPACE] = [2 ** 18, 1000];
/** Steps that one turn of a loop stands for, and characters that one step stands for, by the time they take. */
const [STEPS_OF_TURN, CHARACTERS_OF_STEP] = [10, 32];
/** Steps that a character stands for where a part is cut out, and where each is compared with each of another text. */
const [STEPS_OF_CUT, STEPS_OF_COMPARISON] = [1 / 4, 1 / 1024];

/** A value of the interpreter: texts, numbers, functions, lists of values, objects as maps. */
interface Value {
  type: string;
  value?: unknown;
}
interface SyntaxNode {
  type: string;
  /** Statements of a block. */
  body?: SyntaxNode[];
  alternate?: SyntaxNode[];
  defaultBlock?: SyntaxNode[];
  /** What a loop goes through, and that of one with a condition. */
  iterable?: SyntaxNode;
  lhs?: SyntaxNode;
  /** Of an operation. */
  operator?: { value: string };
  left?: SyntaxNode;
  right?: SyntaxNode;
  /** Of a call. */
  callee?: SyntaxNode;
  args?: SyntaxNode[];
  argument?: SyntaxNode;
  /** Of what belongs to a value. */
  object?: SyntaxNode;
  property?: SyntaxNode;
  computed?: boolean;
  /** Of a name its text, of an argument with a name its expression. */
  value?: unknown;
}
/** Stands for an expression that is evaluated. */
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

/** Filters whose texts grow with what they are given. */
const GROWING: ReadonlySet<unknown> = new Set(["replace", "join", "indent", "tojson"]);

/** The interpreter of Jinja with a budget: a stranger's template can neither run for ever nor fill the memory. */
class BoundedInterpreter extends library.Interpreter {
  readonly #sourceLength: number;
  #steps = 0;
  readonly #sizes = new WeakMap<Value, number>();
  /** Whether what is being measured has a part that may grow later. */
  #mayGrow = false;
  readonly #seen = new WeakSet<SyntaxNode>();
  /** Steps for each item of a node's value. */
  readonly #takenApart = new WeakMap<SyntaxNode, number>();
  readonly #written = new WeakSet<SyntaxNode>();

  constructor(scope: object, sourceLength: number) {
    super(scope);
    this.#sourceLength = sourceLength;
  }

  override evaluate(node: SyntaxNode | Evaluated | undefined, scope: object): Value {
    if (node && "result" in node) return node.result;
    if (node) this.#look(node);
    const result = super.evaluate(this.#searched(node, scope), scope);
    const { value } = result;
    const size = this.#sizeOf(result);
    this.#spend(1);
    if (typeof value === "string" || (node && this.#written.has(node))) this.#spend(size / CHARACTERS_OF_STEP);
    const each = node && this.#takenApart.get(node);
    if (each) this.#spend(each * countOf(value));
    // What a macro is given is looked for in all of its text.
    if (node?.type === "Macro" || node?.type === "CallStatement") this.#spend(this.#sourceLength / 10);
    if (node && isKeptReplace(node, result)) throw new Error("it keeps replace() of a text without calling it");
    return result;
  }

  /** Filters and functions of texts, before they make what is longer than what they are given. */
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

  /** A search of one text in another, once it is known how long both are. */
  #searched(node: SyntaxNode | undefined, scope: object): SyntaxNode | undefined {
    if (node?.type !== "BinaryExpression" || !/^(not )?in$/.test(node.operator?.value ?? "")) return node;
    const [left, right] = [this.evaluate(node.left, scope), this.evaluate(node.right, scope)];
    if (typeof left.value === "string" && typeof right.value === "string") this.#compare(left.value, right.value);
    return { ...node, left: evaluated(left), right: evaluated(right) };
  }

  #compare(part: string, text: string): void {
    this.#spend(part.length * text.length * STEPS_OF_COMPARISON);
  }

  #spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new Error("it takes more steps than any conversation needs");
  }

  /** Remembers of a node which of its parts are gone through, and which become text. */
  #look(node: SyntaxNode): void {
    if (this.#seen.has(node)) return;
    this.#seen.add(node);
    for (const each of [node.body, node.alternate, node.defaultBlock].flat()) if (each) this.#written.add(each);
    if (node.iterable) this.#takenApart.set(node.iterable.lhs ?? node.iterable, STEPS_OF_TURN);
    if (node.object && node.property?.type === "SliceExpression") this.#takenApart.set(node.object, STEPS_OF_CUT);
    if (!/^([+~]|[!=]=)$/.test(node.operator?.value ?? "")) return;
    for (const each of [node.left, node.right]) if (each) this.#written.add(each);
  }

  /** Arguments by their values, each evaluated once. */
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
   * Characters of a value as text, with all that is in it, as often as it is in it.
   * @throws Error where they are more than any conversation has.
   */
  #sizeOf(of: Value): number {
    const known = this.#sizes.get(of);
    if (known !== undefined) return known;
    const { type, value } = of;
    if (typeof value !== "object" || value === null) return grown(typeof value === "string" ? value.length : 1);
    const outer = this.#mayGrow;
    this.#mayGrow = type === "NamespaceValue";
    let size = 2;
    for (const [key, each] of partsOf(value)) {
      size = grown(size + 2 + (typeof key === "string" ? key.length : 0) + this.#sizeOf(each));
      this.#spend(1 / 8);
    }
    if (!this.#mayGrow) {
      this.#sizes.set(of, size);
      this.#spend(countOf(value) + size / CHARACTERS_OF_STEP);
    }
    this.#mayGrow ||= outer;
    return size;
  }

  /** @throws Error where a filter would make a text longer than any conversation. */
  #refuseGrowth(filter: unknown, operand: Value, args: readonly Value[]): void {
    const { value } = operand;
    const [from, to] = args.map((arg) => arg.value);
    const width = args.reduce(
      (most, { value: given }) => (typeof given === "number" ? Math.max(most, given) : most),
      0,
    );
    if (filter === "tojson")
      this.#padded(
        operand,
        width,
        args.reduce((sum, arg) => sum + this.#sizeOf(arg), 0),
      );
    else if (filter === "join")
      grown(this.#sizeOf(operand) + countOf(value) * (typeof from === "string" ? from.length : 0));
    else if (typeof value !== "string") return;
    else if (filter === "indent") grown(value.length + placesOf(value, "\n") * width);
    else if (typeof from === "string") {
      this.#compare(from, value);
      if (typeof to === "string") grown(value.length + placesOf(value, from) * to.length);
    }
  }

  /** Characters of a value as JSON of which each part stands on a line of its own. */
  #padded({ value }: Value, indent: number, between: number, depth = 1): number {
    if (typeof value !== "object" || value === null) return 0;
    let size = indent * depth;
    for (const [, each] of partsOf(value)) {
      size = grown(size + between + indent * depth + this.#padded(each, indent, between, depth + 1));
      this.#spend(1 / 8);
    }
    return size;
  }
}

const evaluated = (result: Value): Evaluated => ({ type: EVALUATED, result });

/** The value of an argument, with or without a name, or of those that are spread. */
function resultsOf(arg: SyntaxNode): Value[] {
  const { result } = (arg.argument ?? (arg.type === EVALUATED ? arg : arg.value)) as Evaluated;
  return arg.argument ? Array.from(partsOf(result.value as object), ([, each]) => each) : [result];
}

/** Whether a text's own replace() is read and not called: called later, nothing would tell how long its text is. */
const isKeptReplace = (node: SyntaxNode, { type }: Value): boolean =>
  type === "FunctionValue" &&
  node.type === "MemberExpression" &&
  node.object?.type !== EVALUATED &&
  (node.computed === true || node.property?.value === "replace");

const partsOf = (value: object): Iterable<readonly [unknown, Value]> =>
  value instanceof Map ? value : Array.isArray(value) ? value.entries() : [];

const countOf = (value: unknown): number =>
  value instanceof Map ? value.size : typeof value === "string" || Array.isArray(value) ? value.length : 0;

/** How often a part is in a text. */
function placesOf(text: string, part: string): number {
  if (part === "") return text.length + 1;
  let places = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) places++;
  return places;
}

/** @throws Error where a text has more characters than any conversation. */
function grown(size: number): number {
  if (size > MAX_LENGTH) throw new Error("it makes a text or a list longer than any conversation");
  return size;
}

const TOO_MUCH_SPACE = new RegExp(`\\s{${MAX_SPACE}}`);

/** A Jinja template as Transformers compiles it (huggingface.co/docs/transformers/chat_templating), with bounds. */
export class BoundedTemplate {
  readonly #template: jinja.Template;
  readonly #length: number;

  /** @throws Error where it is malformed. */
  constructor(source: string) {
    if (source.length > MAX_SOURCE) throw new Error(`it has ${source.length} characters`);
    if (TOO_MUCH_SPACE.test(source)) throw new Error(`it has more than ${MAX_SPACE} spaces in a row`);
    this.#length = source.length;
    this.#template = new jinja.Template(source);
  }

  /** @throws Error where it refuses what it is given, fails, or does more than a conversation needs. */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = new library.Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) scope.set(name, value);
    const { value } = new BoundedInterpreter(scope, this.#length).run(this.#template.parsed);
    return String(value);
  }
}

/** Numbers that range() may give: a loop through more would use up the budget. */
const MAX_RANGE = MAX_STEPS / STEPS_OF_TURN;

/** Characters of a date's format. */
const MAX_FORMAT = 1000;

/** What every template knows; the library does not export its own. */
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
