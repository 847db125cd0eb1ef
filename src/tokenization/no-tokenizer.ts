import { UserError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** In place of a tokenizer, of a model that reads pictures. @param location of the model, for error messages */
export function noTokenizer(location: string): Tokenizer {
  const refuse = (): never => {
    throw new UserError(`${location} reads pictures, not texts; train it on a folder of pictures`);
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
