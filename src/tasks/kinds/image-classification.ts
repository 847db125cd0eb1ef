import { classOptions } from "../losses/class-weights.ts";
import { encodePicture, pictureColumns, pictureOfInput, pictureOptions } from "../pictures.ts";
import { cellError, textOf } from "../rows.ts";
import type { TaskKind } from "../task-kind.ts";
import { type ClassifiedText, classification } from "./classification.ts";

const options = classOptions.extend(pictureOptions.shape);

/** Each picture has one class. An example's text is the path of its picture. */
export const imageClassification: TaskKind<ClassifiedText, typeof options> = {
  ...classification,
  options,
  name: "image-classification",
  summary: "one class for each picture",
  reads: "pictures",
  huggingFace: {
    autoClass: "AutoModelForImageClassification",
    problemType: null,
    peftTaskType: null,
    pipeline: "image-classification",
    readme: {
      outputs: (names) => `Labels in order: ${names.join(", ")}.`,
      pipelineCall: 'classify("picture.jpg")',
    },
  },
  recognition: {
    order: 5,
    fitsColumns: ({ columns }) => columns.includes("image") && columns.includes("label") && !columns.includes("text"),
    fitsRows: () => false,
    labelsOfHead: () => undefined,
  },

  columnsIn: pictureColumns,
  exampleOfRow(cells, labels) {
    const { label } = classification.exampleOfRow(cells, labels);
    const text = textOf(cells.text);
    if (text.trim() === "") throw cellError(cells.text, "no path of a picture");
    return { text, place: cells.text.place, ...(label !== undefined && { label }) };
  },
  exampleOfInput: pictureOfInput,
  encode: encodePicture,
};
