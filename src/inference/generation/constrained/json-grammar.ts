import { atOnce, type Sliced } from "../../../runtime/slices.ts";
import { type ByteGrammar, character } from "./byte-grammar.ts";
import type { Expression } from "./expressions.ts";
import { numbers } from "./number-grammar.ts";

/** Maximum number of spaces before a line, so that no answer is lost in white space. */
const INDENTATION = 16;
const HEX = "0123456789abcdefABCDEF";

export interface Member {
  key: string;
  value: Expression;
  required: boolean;
}

/** JSON values (RFC 8259), with little white space. */
export class JsonGrammar {
  readonly #blank: Expression;
  readonly #comma: Expression;
  readonly #colon: Expression;
  readonly #character: Expression;
  readonly #quote: Expression;
  readonly #strings = new Map<string, Expression>();
  #any: Expression | undefined;

  constructor(readonly grammar: ByteGrammar) {
    const space = grammar.literal(" ");
    const line = grammar.sequence(grammar.literal("\n"), grammar.repeat(space, 0, INDENTATION));
    this.#blank = grammar.optional(grammar.choice(space, line));
    this.#comma = grammar.sequence(grammar.literal(","), this.#blank);
    this.#colon = grammar.sequence(grammar.literal(":"), grammar.optional(space));
    this.#character = this.#anyCharacter();
    this.#quote = grammar.literal('"');
  }

  #anyCharacter(): Expression {
    const { grammar } = this;
    const hex = grammar.oneOf(HEX);
    const code = grammar.choice(
      grammar.sequence(grammar.oneOf("0123456789abcefABCEF"), hex, hex, hex),
      grammar.sequence(grammar.oneOf("dD"), grammar.oneOf("01234567"), hex, hex),
    );
    const escaped = grammar.choice(grammar.oneOf('"\\/bfnrt'), grammar.sequence(grammar.literal("u"), code));
    return grammar.choice(
      atOnce(
        character(grammar, [
          [0x20, 0x21],
          [0x23, 0x5b],
          [0x5d, 0x10ffff],
        ]),
      ),
      grammar.sequence(grammar.literal("\\"), escaped),
    );
  }

  any(): Expression {
    if (this.#any) return this.#any;
    const { grammar } = this;
    const value = grammar.reference();
    this.#any = value;
    const limits = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    value.target = grammar.choice(
      this.string(0),
      numbers(grammar, limits),
      grammar.words(["true", "false", "null"]),
      atOnce(this.array([], value, 0)),
      this.map(value),
    );
    return value;
  }

  string(min: number, max = Number.POSITIVE_INFINITY): Expression {
    const key = `${min}-${max}`;
    const made = this.#strings.get(key) ?? this.quoted(this.grammar.repeat(this.#character, min, max));
    this.#strings.set(key, made);
    return made;
  }

  quoted(characters: Expression): Expression {
    return this.grammar.sequence(this.#quote, characters, this.#quote);
  }

  *object(members: readonly Member[]): Sliced<Expression> {
    const { grammar } = this;
    // From the last member: the rest if no member comes before it, and the rest if one does.
    let [first, after] = [grammar.nothing, grammar.nothing];
    for (const { key, value, required } of members.toReversed()) {
      const member = grammar.sequence(grammar.literal(JSON.stringify(key)), this.#colon, value, after);
      const next = grammar.sequence(this.#comma, member);
      first = required ? member : grammar.choice(member, first);
      after = required ? next : grammar.choice(next, after);
      yield;
    }
    return this.#within("{", first, "}");
  }

  map(value: Expression): Expression {
    const { grammar } = this;
    const member = grammar.sequence(this.string(0), this.#colon, value);
    const more = grammar.repeat(grammar.sequence(this.#comma, member), 0);
    return this.#within("{", grammar.optional(grammar.sequence(member, more)), "}");
  }

  *array(
    prefix: readonly Expression[],
    item: Expression | undefined,
    min: number,
    max = Number.POSITIVE_INFINITY,
  ): Sliced<Expression> {
    const { grammar } = this;
    const most = item ? max : Math.min(max, prefix.length);
    if (min > most) return grammar.impossible;
    if (most === 0) return this.#within("[", grammar.nothing, "]");
    const places = prefix.slice(0, most);
    if (places.length === 0) places.push(item!);
    const others = item ? grammar.sequence(this.#comma, item) : grammar.impossible;
    const left = item ? most - places.length : 0;
    let rest = left > 0 ? grammar.repeat(others, Math.max(0, min - places.length), left) : grammar.nothing;
    for (const [i, place] of [...places.entries()].reverse()) {
      const here = i === 0 ? grammar.sequence(place, rest) : grammar.sequence(this.#comma, place, rest);
      rest = i < min ? here : grammar.optional(here);
      yield;
    }
    return this.#within("[", rest, "]");
  }

  /** White space only surrounds existing items: an empty list has none. */
  #within(open: string, inner: Expression, close: string): Expression {
    const { grammar } = this;
    return grammar.sequence(grammar.literal(open), this.#blank, inner, this.#blank, grammar.literal(close));
  }
}
