import { embeddingRows } from "../embedding-rows.ts";
import { ofFiles } from "../files.ts";
import { encodePicture, pictureOptions } from "../pictures.ts";
import type { TaskKind } from "../task-kind.ts";
import { type EmbeddedText, embedding } from "./embedding.ts";

const { recognition: _, ...ofTexts } = embedding;
const files = ofFiles("pictures");
const options = embedding.options!.extend(pictureOptions.shape);

export const imageEmbedding: TaskKind<EmbeddedText, typeof options> = {
  ...ofTexts,
  ...files,
  options,
  name: "image-embedding",
  summary: "a vector for each picture, for search by picture",
  refines: true,
  huggingFace: {
    ...embedding.huggingFace,
    peftTaskType: null,
    pipeline: "image-feature-extraction",
    readme: { outputs: () => "A picture's embedding is the model's output, pooled as this folder defines." },
  },
  optionsFor: ({ augmentation, ...given }, task, model) => ({
    ...embedding.optionsFor!(given, task, model),
    ...(augmentation && { augmentation }),
  }),
  table: { read: (table, named, labels) => embeddingRows.read(table, files.columnsIn(table, named), labels) },

  encode: encodePicture,
};
