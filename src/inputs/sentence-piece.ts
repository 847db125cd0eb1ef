import { UserError } from "../errors.ts";
import { decodeMessage, type ProtobufSchema } from "../graph/protobuf-message.ts";

/** A piece of the vocabulary with its log-probability, or minus its rank if pieces are merged. */
export interface Piece {
  piece: string;
  score: number;
  /** `SentencePiece.Type` of sentencepiece_model.proto. */
  type: number;
}

/** Types of pieces: of texts, for unknown characters, special, found in texts as a whole, and a single byte. */
export const PIECE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface SentencePieceModel {
  /** Pieces in the order of their ids. */
  pieces: Piece[];
  /** Whether texts are split by merges of pairs (BPE), not by the most probable pieces (unigram). */
  merges: boolean;
  /** Whether unknown characters become bytes. */
  byteFallback: boolean;
  /** Special pieces that the model names. */
  specials: Readonly<Partial<Record<"unk" | "bos" | "eos" | "pad", string>>>;
  /** Normalisation in SentencePiece's compiled form; empty for none. */
  charsmap: Uint8Array;
  /** Whether texts begin with a space that is not theirs. */
  addsPrefix: boolean;
  /** Whether spaces at the ends, and spaces that follow others, are removed. */
  removesSpaces: boolean;
}

const number = (id: number) => ({ type: "int32", id }) as const;

/** The part of sentencepiece_model.proto that is used. */
const MODEL = {
  pieces: {
    repeated: true,
    type: { piece: { type: "string", id: 1 }, score: { type: "float", id: 2 }, type: number(3) },
    id: 1,
  },
  trainerSpec: {
    type: {
      ...{ modelType: number(3), spaceLast: number(24), byteFallback: number(35) },
      ...{ unk: number(40), bos: number(41), eos: number(42), pad: number(43) },
    },
    id: 2,
  },
  normalizerSpec: {
    type: { charsmap: { type: "bytes", id: 2 }, addsPrefix: number(3), removesSpaces: number(4), escapes: number(5) },
    id: 3,
  },
} satisfies ProtobufSchema;

/** `TrainerSpec.ModelType`, and the type of a model that names none. */
const [UNIGRAM, BPE] = [1, 2];

/** Upper limit on pieces; the largest vocabularies have a tenth. */
const MOST_PIECES = 2 ** 22;

/**
 * Reads a SentencePiece model file.
 * @throws UserError if the bytes are not such a file, or the model splits texts in another way.
 */
export function parseSentencePiece(bytes: Uint8Array, location: string): SentencePieceModel {
  type Settings = Partial<Record<string, number>>;
  let model: {
    pieces: Partial<Piece>[];
    trainerSpec?: Settings;
    normalizerSpec?: Settings & { charsmap?: Uint8Array };
  };
  try {
    model = decodeMessage(MODEL, bytes, MOST_PIECES) as typeof model;
  } catch (error) {
    throw new UserError(`${location} is damaged or not a SentencePiece model: ${(error as Error).message}`);
  }
  const { trainerSpec = {}, normalizerSpec = {} } = model;
  if (model.pieces.length === 0) throw new UserError(`${location} is not a SentencePiece model: it holds no pieces`);
  const { modelType = UNIGRAM, byteFallback, unk = 0, bos = 1, eos = 2, pad = -1, spaceLast } = trainerSpec;
  const { charsmap = new Uint8Array(), addsPrefix = 1, removesSpaces = 1, escapes = 1 } = normalizerSpec;
  if ((modelType !== UNIGRAM && modelType !== BPE) || spaceLast || !escapes) {
    throw new UserError(
      `${location} is a SentencePiece model of words or characters, or writes spaces in another way than "▁" before a word; models of kind BPE and unigram are supported`,
    );
  }
  const pieces = model.pieces.map(({ piece = "", score = 0, type = PIECE.normal }) => ({ piece, score, type }));
  const named = Object.entries({ unk, bos, eos, pad }).flatMap(([name, id]) =>
    pieces[id] ? [[name, pieces[id].piece]] : [],
  );
  return {
    pieces,
    merges: modelType === BPE,
    byteFallback: Boolean(byteFallback),
    specials: Object.fromEntries(named),
    charsmap,
    addsPrefix: Boolean(addsPrefix),
    removesSpaces: Boolean(removesSpaces),
  };
}
