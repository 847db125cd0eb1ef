import * as jinja from "@huggingface/jinja";

/** Steps of its interpreter that a template may take: a conversation of a thousand turns takes some 100,000. */
const MAX_STEPS = 3_000_000;
/** Characters of a text, and items of a list, at most. */
const MAX_LENGTH = 2 ** 24;
/** Steps that one turn of a loop stands for, and characters that one step stands for, by the time they take. */
const [STEPS_OF_TURN, CHARACTERS_OF_STEP] = [10, 64];

interface SyntaxNode {
  type: string;
  /** What a loop goes through. */
  iterable?: SyntaxNode;
}
interface Interpreter {
  run(program: SyntaxNode): { value: unknown };
  evaluate(node: SyntaxNode | undefined, scope: object): { value?: unknown };
}

// The library's declarations of these do not resolve under Node's rules.
const library = jinja as unknown as {
  Environment: new () => { set(name: string, value: unknown): void };
  Interpreter: new (scope: object) => Interpreter;
};

/** The interpreter of Jinja with a budget: a stranger's template can neither run for ever nor fill the memory. */
class BoundedInterpreter extends library.Interpreter {
  #steps = 0;
  readonly #loopedOver = new WeakSet<SyntaxNode>();

  override evaluate(node: SyntaxNode | undefined, scope: object): { value?: unknown } {
    if (node?.type === "For" && node.iterable) this.#loopedOver.add(node.iterable);
    const result = super.evaluate(node, scope);
    const { value } = result;
    this.#steps++;
    if (typeof value === "string" || Array.isArray(value)) {
      if (value.length > MAX_LENGTH) throw new Error("it makes a text or a list longer than any conversation");
      if (typeof value === "string") this.#steps += value.length / CHARACTERS_OF_STEP;
      else if (node && this.#loopedOver.has(node)) this.#steps += STEPS_OF_TURN * value.length;
    }
    if (this.#steps > MAX_STEPS) throw new Error("it takes more steps than any conversation needs");
    return result;
  }
}

/** A Jinja template as Transformers compiles it (huggingface.co/docs/transformers/chat_templating), with bounds. */
export class BoundedTemplate {
  readonly #template: jinja.Template;

  /** @throws Error where it is malformed. */
  constructor(source: string) {
    this.#template = new jinja.Template(source);
  }

  /** @throws Error where it refuses what it is given, fails, or does more than a conversation needs. */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = new library.Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) scope.set(name, value);
    const { value } = new BoundedInterpreter(scope).run(this.#template.parsed);
    return String(value);
  }
}

/** Numbers that range() may give: a loop through more would use up the budget. */
const MAX_RANGE = MAX_STEPS / STEPS_OF_TURN;

/** What every template knows; the library does not export its own. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception(message: string): never {
    throw new Error(message);
  },
  strftime_now: (format: string): string => new jinja.Template("{{ strftime_now(format) }}").render({ format }),
  range(start: number, stop?: number, step = 1): number[] {
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (!(count <= MAX_RANGE)) throw new Error(`range() of ${count} numbers is longer than any conversation`);
    return Array.from({ length: count }, (_, i) => from + i * step);
  },
};
