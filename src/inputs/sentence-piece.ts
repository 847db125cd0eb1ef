import { UserError } from "../errors.ts";
import { decodeMessage, type ProtobufSchema } from "../graph/protobuf-message.ts";

/** A piece of the vocabulary with its log-probability. */
export interface Piece {
  piece: string;
  score: number;
}

export interface SentencePieceModel {
  /** Pieces in the order of their ids. */
  pieces: Piece[];
  /** Normalisation in SentencePiece's compiled form; empty for none. */
  charsmap: Uint8Array;
}

/** The part of sentencepiece_model.proto that is used. */
const MODEL = {
  pieces: { repeated: true, type: { piece: { type: "string", id: 1 }, score: { type: "float", id: 2 } }, id: 1 },
  trainerSpec: { type: { modelType: { type: "int32", id: 3 } }, id: 2 },
  normalizerSpec: { type: { precompiledCharsmap: { type: "bytes", id: 2 } }, id: 3 },
} satisfies ProtobufSchema;

/** `TrainerSpec.ModelType.UNIGRAM` */
const UNIGRAM = 1;

/**
 * Reads a SentencePiece model file.
 * @throws UserError if the bytes are not such a file, or the model is not a unigram model.
 */
export function parseSentencePiece(bytes: Uint8Array, location: string): SentencePieceModel {
  let model: {
    pieces: Partial<Piece>[];
    trainerSpec?: { modelType?: number };
    normalizerSpec?: { precompiledCharsmap?: Uint8Array };
  };
  try {
    model = decodeMessage(MODEL, bytes) as typeof model;
  } catch (error) {
    throw new UserError(`${location} is damaged or not a SentencePiece model: ${(error as Error).message}`);
  }
  if (model.pieces.length === 0) throw new UserError(`${location} is not a SentencePiece model: it holds no pieces`);
  if ((model.trainerSpec?.modelType ?? UNIGRAM) !== UNIGRAM) {
    throw new UserError(
      `${location} is a SentencePiece model, but not a unigram model, the only kind that is supported`,
    );
  }
  const pieces = model.pieces.map(({ piece = "", score = 0 }) => ({ piece, score }));
  return { pieces, charsmap: model.normalizerSpec?.precompiledCharsmap ?? new Uint8Array() };
}
