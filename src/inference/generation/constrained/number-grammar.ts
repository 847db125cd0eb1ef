import type { ByteGrammar } from "./byte-grammar.ts";
import type { Expression } from "./expressions.ts";

/** Inclusive bounds of a number; infinite if there is no bound. */
export interface Bounds {
  low: number;
  high: number;
}

/** Maximum number of digits before the point: integers with this many are exact in JavaScript. */
const DIGITS = 15;
const GREATEST = 10 ** DIGITS - 1;
const ALL_DIGITS = "0123456789";

export function integers(grammar: ByteGrammar, { low, high }: Bounds): Expression {
  return signed({ low: Math.ceil(low), high: Math.floor(high) }, grammar, (from, to) => naturals(grammar, from, to));
}

/** Numbers between two, as JSON writes them; those without bounds may have an exponent. */
export function numbers(grammar: ByteGrammar, bounds: Bounds): Expression {
  const written = signed(bounds, grammar, (from, to) => decimals(grammar, from, to));
  if (bounds.low !== Number.NEGATIVE_INFINITY || bounds.high !== Number.POSITIVE_INFINITY) return written;
  const digit = grammar.oneOf(ALL_DIGITS);
  const exponent = [grammar.oneOf("eE"), grammar.optional(grammar.oneOf("+-")), grammar.repeat(digit, 1, 2)];
  return grammar.sequence(written, grammar.optional(grammar.sequence(...exponent)));
}

function signed(
  { low, high }: Bounds,
  grammar: ByteGrammar,
  positive: (from: number, to: number) => Expression,
): Expression {
  const [from, to] = [Math.max(low, -GREATEST), Math.min(high, GREATEST)];
  const choices: Expression[] = [];
  if (to >= Math.max(0, from)) choices.push(positive(Math.max(0, from), to));
  if (from < 0 && from <= to) choices.push(grammar.sequence(grammar.literal("-"), positive(Math.max(0, -to), -from)));
  return grammar.choice(...choices);
}

function naturals(grammar: ByteGrammar, from: number, to: number): Expression {
  if (from > to) return grammar.impossible;
  const [shortest, longest] = [String(from).length, String(to).length];
  const lengths = Array.from({ length: longest - shortest + 1 }, (_, i) => shortest + i);
  return grammar.choice(
    ...lengths.map((length) =>
      digitsBetween(
        grammar,
        length === shortest ? String(from) : `1${"0".repeat(length - 1)}`,
        length === longest ? String(to) : "9".repeat(length),
      ),
    ),
  );
}

function digitsBetween(grammar: ByteGrammar, low: string, high: string): Expression {
  if (low === "") return grammar.nothing;
  if (/^0*$/.test(low) && /^9*$/.test(high)) {
    return grammar.repeat(grammar.oneOf(ALL_DIGITS), low.length, low.length);
  }
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  const [least, most] = ["0".repeat(lowRest.length), "9".repeat(lowRest.length)];
  const after = (from: number, to: number, a: string, b: string): Expression[] =>
    from > to ? [] : [grammar.sequence(grammar.oneOf(ALL_DIGITS.slice(from, to + 1)), digitsBetween(grammar, a, b))];
  if (first === last) return grammar.choice(...after(first, last, lowRest, highRest));
  return grammar.choice(
    ...after(first, first, lowRest, most),
    ...after(first + 1, last - 1, least, most),
    ...after(last, last, least, highRest),
  );
}

function decimals(grammar: ByteGrammar, from: number, to: number): Expression {
  const [low, lowDigits] = parts(from);
  const [high, highDigits] = parts(to);
  const fraction = (a: string, b: string | undefined): Expression => fractionBetween(grammar, a, b);
  const whole = (a: number, b: number, tail: Expression): Expression[] =>
    a > b ? [] : [grammar.sequence(naturals(grammar, a, b), tail)];
  if (low === high) return grammar.choice(...whole(low, low, fraction(lowDigits, highDigits)));
  return grammar.choice(
    ...whole(low, low, fraction(lowDigits, undefined)),
    ...whole(low + 1, high - 1, fraction("", undefined)),
    ...whole(high, high, fraction("", highDigits)),
  );
}

/** `12.5` → 12 and "5" */
function parts(value: number): [whole: number, digits: string] {
  const [whole, digits = ""] = String(value).split(".");
  return [Number(whole), digits.replace(/0+$/, "")];
}

function fractionBetween(grammar: ByteGrammar, low: string, high: string | undefined): Expression {
  const point = grammar.literal(".");
  const digit = grammar.oneOf(ALL_DIGITS);
  const more = grammar.repeat(digit, 0, DIGITS - 1);
  const zero = grammar.literal("0");
  const zeros = grammar.repeat(zero, 0, DIGITS - 1);
  const some = (from: number, to: number, rest: Expression): Expression[] =>
    from > to ? [] : [grammar.sequence(grammar.oneOf(ALL_DIGITS.slice(from, to + 1)), rest)];
  const atLeast = (digits: string): Expression => {
    if (digits === "") return more;
    const first = Number(digits[0]);
    return grammar.choice(...some(first + 1, 9, more), ...some(first, first, atLeast(digits.slice(1))));
  };
  const atMost = (digits: string): Expression => {
    const first = Number(digits[0]);
    return grammar.choice(...some(0, first - 1, more), ...some(first, first, rest(digits.slice(1))));
  };
  const rest = (digits: string): Expression => (digits === "" ? zeros : grammar.optional(atMost(digits)));
  const between = (a: string, b: string): Expression => {
    if (a === "") return rest(b);
    const [first, last] = [Number(a[0]), Number(b[0] ?? 0)];
    if (first === last) return grammar.choice(...some(first, first, between(a.slice(1), b.slice(1))));
    return grammar.choice(
      ...some(first, first, atLeast(a.slice(1))),
      ...some(first + 1, last - 1, more),
      ...some(last, last, rest(b.slice(1))),
    );
  };
  if (low === "" && high === undefined) return grammar.optional(grammar.sequence(point, digit, more));
  if (low !== "") return grammar.sequence(point, high === undefined ? atLeast(low) : between(low, high));
  return grammar.optional(grammar.sequence(point, high ? atMost(high) : grammar.sequence(zero, zeros)));
}
