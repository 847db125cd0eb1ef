import { UserError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Returns a tokenizer that rejects texts, for models that read `media`. @param location for error messages */
export function noTokenizer(location: string, media: string): Tokenizer {
  const refuse = (): never => {
    throw new UserError(`${location} reads ${media}, not texts; train it on a folder of ${media}`);
  };
  return {
    padTokenId: 0,
    specialTokens: {},
    chatTemplate: undefined,
    encode: refuse,
    encodeWords: refuse,
    idsOf: refuse,
    decode: refuse,
    tokenBytes: refuse,
  };
}
