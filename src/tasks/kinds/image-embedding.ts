import { embeddingRows } from "../embedding-rows.ts";
import { encodePicture, pictureColumns, pictureOfInput } from "../pictures.ts";
import type { TaskKind } from "../task-kind.ts";
import { type EmbeddedText, embedding } from "./embedding.ts";

const { recognition: _, ...ofTexts } = embedding;

/** Each picture has a vector, near to those of pictures of its class. An example's text is the path of its picture. */
export const imageEmbedding: TaskKind<EmbeddedText, NonNullable<typeof embedding.options>> = {
  ...ofTexts,
  name: "image-embedding",
  summary: "a vector for each picture, for search by picture",
  reads: "pictures",
  huggingFace: {
    ...embedding.huggingFace,
    peftTaskType: null,
    pipeline: "image-feature-extraction",
    readme: { outputs: () => "A picture's embedding is what the pooling of this folder makes of the model's outputs." },
  },
  table: { read: (table, named, labels) => embeddingRows.read(table, pictureColumns(table, named), labels) },

  columnsIn: pictureColumns,
  exampleOfInput: pictureOfInput,
  encode: encodePicture,
};
