import { z } from "zod";
import { checkOptions, didYouMean, inWords, UserError } from "./errors.ts";

/** What has a name by which it is asked for. */
interface Named {
  readonly name: string;
  /** Other names by which it may be asked for. */
  readonly aliases?: readonly string[];
  /** Options of its own: flags and keys of config files are made of them. */
  readonly options?: z.ZodObject;
}

/** Methods, devices or the like by name: the package's own, and those that a program adds to them in this process. */
export class Registry<Entry extends Named, Name extends string = string> {
  readonly #what: string;
  readonly #entries: Entry[];

  /** @param what one of them is called in messages: `method` */
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

  #called(asked: string): Entry | undefined {
    return this.#entries.find(({ name, aliases = [] }) => name === asked || aliases.includes(asked));
  }

  /** @throws UserError where the name is taken. */
  register(entry: Entry): void {
    if (this.#called(entry.name)) {
      throw new UserError(`${this.#what} "${entry.name}" already exists; give the new one another name`);
    }
    this.#entries.push(entry);
  }

  /**
   * The entry of this name or alias.
   * @param where what names it, for the error message
   * @throws UserError where there is none, with the list of those that are.
   */
  find(name: string, where?: string): Entry {
    const entry = this.#called(name);
    if (entry) return entry;
    throw new UserError(
      `${where ? `${where}: ` : ""}unknown ${this.#what} "${name}"${didYouMean(name, this.names)} (${this.#what}s: ${this.names.join(", ")})`,
    );
  }

  /** An option that names one of them; help and errors list those that are there when they are asked for. */
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

  /** Names of all options that entries have of their own. */
  get optionNames(): string[] {
    return [...new Set(this.#entries.flatMap(({ options }) => Object.keys(options?.shape ?? {})))];
  }

  /** An option of this name, as the first entry that has one describes it; undefined where none has. */
  schemaOf(option: string): z.ZodType | undefined {
    return this.#entries.find(({ options }) => options && option in options.shape)?.options?.shape[option];
  }

  /** Names of the entries that have an option of this name. */
  ownersOf(option: string): string[] {
    return this.#entries.filter(({ options }) => options && option in options.shape).map(({ name }) => name);
  }

  /**
   * An entry's own options, with defaults filled in.
   * @param others names that are known beside them, to suggest
   * @throws UserError naming the option that is unknown, of another entry or malformed.
   */
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
          ? `option "${key}" belongs to ${new Intl.ListFormat("en").format(owners)}, not to ${this.#what} "${name}"`
          : `unknown option "${key}" of ${this.#what} "${name}"${didYouMean(key, [...known, ...others])}`,
      );
    }
    return checkOptions(options, given, ` of ${this.#what} "${name}"`);
  }
}
