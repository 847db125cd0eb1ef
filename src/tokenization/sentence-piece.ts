import protobuf from "protobufjs/light.js";
import { UserError } from "../errors.ts";

/** A piece of the vocabulary with the logarithm of its probability. */
export interface Piece {
  piece: string;
  score: number;
}

export interface SentencePieceModel {
  /** In the order of their ids. */
  pieces: Piece[];
  /** How characters are normalised, in SentencePiece's compiled form; empty for not at all. */
  charsmap: Uint8Array;
}

/** The part of sentencepiece_model.proto that is needed here. */
const { root } = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        pieces: { rule: "repeated", type: "SentencePiece", id: 1 },
        trainerSpec: { type: "TrainerSpec", id: 2 },
        normalizerSpec: { type: "NormalizerSpec", id: 3 },
      },
    },
    SentencePiece: { fields: { piece: { type: "string", id: 1 }, score: { type: "float", id: 2 } } },
    TrainerSpec: { fields: { modelType: { type: "int32", id: 3, options: { default: 1 } } } },
    NormalizerSpec: { fields: { precompiledCharsmap: { type: "bytes", id: 2 } } },
  },
});
const ModelProto = root.lookupType("ModelProto");

/** `TrainerSpec.ModelType.UNIGRAM` */
const UNIGRAM = 1;

/**
 * Reads a SentencePiece model file.
 * @throws UserError where the bytes are none, or the model is not of the unigram kind.
 */
export function parseSentencePiece(bytes: Uint8Array, location: string): SentencePieceModel {
  let model: {
    pieces: Piece[];
    trainerSpec?: { modelType: number };
    normalizerSpec?: { precompiledCharsmap: Uint8Array };
  };
  try {
    model = ModelProto.decode(bytes) as unknown as typeof model;
  } catch (error) {
    throw new UserError(`${location} is damaged or no SentencePiece model: ${(error as Error).message}`);
  }
  if (model.pieces.length === 0) throw new UserError(`${location} is no SentencePiece model: it holds no pieces`);
  if (model.trainerSpec && model.trainerSpec.modelType !== UNIGRAM) {
    throw new UserError(`${location} is a SentencePiece model, but not of the unigram kind, which alone is supported`);
  }
  return { pieces: model.pieces, charsmap: model.normalizerSpec?.precompiledCharsmap ?? new Uint8Array() };
}
