import { UserError } from "../errors.ts";
import type { LibraryTokenizer } from "./exact.ts";

/** A decoder as `tokenizer.json` describes it. */
interface DecoderDescription {
  type: string;
  decoders?: DecoderDescription[];
  pattern?: { String?: string };
  content?: string;
  replacement?: string;
}

/**
 * The bytes that each token stands for in a text, by id; none of special tokens. Byte-level tokenizers write a letter for each
 * byte, as GPT-2 does; SentencePiece writes `▁` for a space and, where it falls back on bytes, `<0x0A>`.
 * @param decoder of the `tokenizer.json`
 * @throws UserError where a token's text depends on the tokens around it.
 */
export function bytesOfTokens(
  library: Pick<LibraryTokenizer, "model" | "added_tokens" | "special_tokens">,
  decoder: unknown,
  location: string,
): (Uint8Array | undefined)[] {
  const added = new Set(library.added_tokens.map(({ content }) => content));
  const special = new Set(library.special_tokens);
  const bytesOf = decoderOf(stepsOf(decoder), location);
  return Array.from(library.model.vocab, (token: string | undefined) => {
    if (token === undefined || special.has(token)) return undefined;
    return added.has(token) ? encoder.encode(token) : bytesOf(token);
  });
}

const encoder = new TextEncoder();

function stepsOf(decoder: unknown): DecoderDescription[] {
  if (typeof decoder !== "object" || decoder === null) return [];
  const description = decoder as DecoderDescription;
  return description.type === "Sequence" ? (description.decoders ?? []).flatMap(stepsOf) : [description];
}

/** Steps that change nothing but a whole text's beginning or end. */
const AROUND = ["Fuse", "Strip"];

function decoderOf(steps: readonly DecoderDescription[], location: string): (token: string) => Uint8Array | undefined {
  const types = steps.map(({ type }) => type);
  if (types.includes("ByteLevel")) return byteLevel;
  const unknown = types.find((type) => !["Replace", "Metaspace", "ByteFallback", ...AROUND].includes(type));
  if (steps.length === 0 || unknown !== undefined) {
    throw new UserError(
      `${location}: what a token of this tokenizer writes depends on the tokens around it (decoder ${unknown ?? "missing"}), so its answers cannot be held to a schema; use a model with a byte-level or SentencePiece tokenizer`,
    );
  }
  const fallsBack = types.includes("ByteFallback");
  const replacements = steps.flatMap(({ type, pattern, content = "", replacement = "▁" }) => {
    if (type === "Metaspace") return [[replacement, " "] as const];
    return type === "Replace" && pattern?.String ? [[pattern.String, content] as const] : [];
  });
  return (token) => {
    const byte = fallsBack ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    return encoder.encode(replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token));
  };
}

/** Bytes that stand for themselves as letters; the others take letters from U+0100 on. */
const isOwnLetter = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const BYTE_OF_LETTER: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte)
    .sort((a, b) => Number(isOwnLetter(b)) - Number(isOwnLetter(a)) || a - b)
    .map((byte, i) => [String.fromCharCode(isOwnLetter(byte) ? byte : 0x100 + i - 188), byte]),
);

/** Nothing where a token holds what is no byte's letter. */
function byteLevel(token: string): Uint8Array | undefined {
  const bytes = Array.from(token, (letter) => BYTE_OF_LETTER.get(letter));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : undefined;
}
