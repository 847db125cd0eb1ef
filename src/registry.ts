import { z } from "zod";
import { checkOptions, didYouMean, inWords, opt, UserError } from "./errors.ts";

interface Named {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly options?: z.ZodObject;
}

/** Methods, devices or similar parts by name: the package's own, and those that a program registers. */
export class Registry<Entry extends Named, Name extends string = string> {
  readonly #what: string;
  readonly #entries: Entry[];

  constructor(what: string, entries: readonly Entry[]) {
    this.#what = what;
    this.#entries = [...entries];
  }

  get all(): readonly Entry[] {
    return this.#entries;
  }

  get names(): string[] {
    return this.#entries.map(({ name }) => name);
  }

  get(asked: string): Entry | undefined {
    return this.#entries.find(({ name, aliases = [] }) => name === asked || aliases.includes(asked));
  }

  register(...entries: readonly Entry[]): void {
    const taken = entries.find(({ name }) => this.get(name));
    if (taken) throw new UserError(`${this.#what} "${taken.name}" already exists; give the new one another name`);
    this.#entries.push(...entries);
  }

  /** Returns the entry of this name or alias. */
  find(name: string, where?: string): Entry {
    const entry = this.get(name);
    if (entry) return entry;
    throw new UserError(
      `${where ? `${where}: ` : ""}unknown ${this.#what} "${name}"${didYouMean(name, this.names)} (${this.#what}s: ${this.names.join(", ")})`,
    );
  }

  /** Returns a schema for an option that names an entry. Help and errors list the entries registered by then. */
  option(description: string): z.ZodType<Name, Name> {
    const names = (): string[] => this.names;
    return z
      .custom<Name>((name) => names().includes(name as string), {
        error: ({ input }) => inWords({ code: "invalid_value", values: names(), input }),
      })
      .meta({
        description,
        get enum() {
          return names();
        },
      });
  }

  get optionNames(): string[] {
    return [...new Set(this.#entries.flatMap(({ options }) => Object.keys(options?.shape ?? {})))];
  }

  schemaOf(option: string): z.ZodType | undefined {
    return this.#entries.find(({ options }) => options && option in options.shape)?.options?.shape[option];
  }

  ownersOf(option: string): string[] {
    return this.#entries.filter(({ options }) => options && option in options.shape).map(({ name }) => name);
  }

  /** Parses an entry's own options and fills in defaults. */
  parseOptions(
    { name, options = z.object({}) }: Entry,
    given: Readonly<Record<string, unknown>>,
    others: readonly string[] = [],
  ): Record<string, unknown> {
    const known = Object.keys(options.shape);
    for (const key of Object.keys(given)) {
      if (known.includes(key)) continue;
      const owners = this.ownersOf(key);
      throw new UserError(
        owners.length > 0
          ? `${opt(key)} belongs to ${new Intl.ListFormat("en").format(owners)}, not to ${this.#what} "${name}"`
          : `unknown ${opt(key)} of ${this.#what} "${name}"${didYouMean(key, [...known, ...others])}`,
      );
    }
    return checkOptions(options, given, ` of ${this.#what} "${name}"`);
  }
}
