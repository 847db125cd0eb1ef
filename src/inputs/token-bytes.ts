import { UserError } from "../errors.ts";
import type { LibraryTokenizer } from "./library-patches.ts";

interface DecoderDescription {
  type: string;
  decoders?: DecoderDescription[];
  pattern?: { String?: string };
  content?: string;
  replacement?: string;
}

/**
 * Returns the bytes that each token represents in a text, by id; undefined for special tokens. Byte-level tokenizers
 * write a letter for each byte, as GPT-2 does; SentencePiece writes `▁` for a space and, with byte fallback, `<0x0A>`.
 * @param decoder of the `tokenizer.json`
 * @throws UserError if a token's text depends on the tokens around it.
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

/** Steps that change only the beginning or end of a whole text. */
const EDGE_STEPS = ["Fuse", "Strip"];

function decoderOf(steps: readonly DecoderDescription[], location: string): (token: string) => Uint8Array | undefined {
  const types = steps.map(({ type }) => type);
  if (types.includes("ByteLevel")) return byteLevel;
  const unknown = types.find((type) => !["Replace", "Metaspace", "ByteFallback", ...EDGE_STEPS].includes(type));
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

/** Whether a byte is written as its own character; the others use characters from U+0100 on. */
const isOwnLetter = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const BYTE_OF_LETTER: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte)
    .sort((a, b) => Number(isOwnLetter(b)) - Number(isOwnLetter(a)) || a - b)
    .map((byte, i) => [String.fromCharCode(isOwnLetter(byte) ? byte : 0x100 + i - 188), byte]),
);

/** Returns undefined if a letter of the token is no byte's. */
function byteLevel(token: string): Uint8Array | undefined {
  const bytes = Array.from(token, (letter) => BYTE_OF_LETTER.get(letter));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : undefined;
}
