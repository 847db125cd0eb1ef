import { z } from "zod";
import { didYouMean, inWords, UserError } from "./errors.ts";

/** Methods, devices or the like by name: the package's own, and those that a program adds to them in this process. */
export class Registry<Entry extends { readonly name: string }, Name extends string = string> {
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

  /** @throws UserError where the name is taken. */
  register(entry: Entry): void {
    if (this.names.includes(entry.name)) {
      throw new UserError(`${this.#what} "${entry.name}" is there already; give the new one another name`);
    }
    this.#entries.push(entry);
  }

  /**
   * @param where what names it, for the error message
   * @throws UserError where there is none of this name, with the list of those that are.
   */
  find(name: string, where?: string): Entry {
    const entry = this.#entries.find((each) => each.name === name);
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
}
