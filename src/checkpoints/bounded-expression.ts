import { UserError } from "../errors.ts";

/** Quantifiers without an upper end that may stand in a row: more take a power of the text's length that nobody waits for. */
const MAX_UNBOUNDED = 3;

/**
 * A regular expression of a stranger's, refused where matching may take time without end: where what repeats contains a
 * repetition or a choice itself, or refers back, or too many repetitions follow each other.
 * @param where it stands, for error messages
 * @throws UserError where it is refused, or is no expression.
 */
export function refuseSlowExpression(pattern: string, where: string): void {
  const slow = (why: string) =>
    new UserError(`${where}: the regular expression ${shown(pattern)} is refused, because ${why}`);
  /** Of each open group: whether it may match a text in several ways, and repetitions without end in a row. */
  const groups = [{ ambiguous: false, unbounded: 0 }];
  let closed: { ambiguous: boolean; unbounded: number } | undefined;
  for (let at = 0; at < pattern.length; ) {
    const group = groups.at(-1)!;
    const rest = pattern.slice(at, at + 40);
    const [quantifier] = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(rest) ?? [];
    if (quantifier) {
      const [, least, comma, most] = /^\{(\d+)(,?)(\d*)\}$/.exec(quantifier) ?? [];
      const endless = quantifier === "*" || quantifier === "+" || (comma === "," && most === "");
      const repeats = endless || Number(most || least) > 1;
      if (repeats && closed?.ambiguous) throw slow("what it repeats can match in several ways");
      group.ambiguous = true;
      if (endless && ++group.unbounded > MAX_UNBOUNDED) throw slow("too many repetitions follow each other");
      closed = undefined;
      at += quantifier.length;
      // Lazy and possessive ones.
      if (/^[?+]/.test(pattern.slice(at))) at++;
      continue;
    }
    closed = undefined;
    const character = pattern[at]!;
    if (/^\\(?:[1-9]|k<)/.test(rest)) throw slow("it refers back to what it matched");
    if (character === "\\") at += 2;
    else if (character === "[") at = endOfClass(pattern, at);
    else if (character === "(") {
      groups.push({ ambiguous: false, unbounded: 0 });
      at += /^\((?:\?(?:<?[=!]|[a-z-]*:|<\w+>))?/.exec(rest)![0].length;
    } else if (character === ")" && groups.length > 1) {
      closed = groups.pop()!;
      const outer = groups.at(-1)!;
      outer.ambiguous ||= closed.ambiguous;
      outer.unbounded += closed.unbounded;
      if (outer.unbounded > MAX_UNBOUNDED) throw slow("too many repetitions follow each other");
      at++;
    } else {
      if (character === "|") Object.assign(group, { ambiguous: true, unbounded: 0 });
      at++;
    }
  }
}

/** Behind the class of characters that begins at `at`; classes may stand in classes. */
function endOfClass(pattern: string, at: number): number {
  for (let depth = 0, end = at; end < pattern.length; end++) {
    if (pattern[end] === "\\") end++;
    else if (pattern[end] === "[") depth++;
    else if (pattern[end] === "]" && --depth === 0) return end + 1;
  }
  return pattern.length;
}

const shown = (pattern: string): string => (pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern);
