import { UserError } from "../../errors.ts";
import { PIXELS } from "../../models/forward-context.ts";
import type { classOptions } from "../losses/class-weights.ts";
import { cellError, textOf } from "../rows.ts";
import type { TaskKind } from "../task-kind.ts";
import { type ClassifiedText, classification } from "./classification.ts";

/** Names that a column of paths often has; the first that there is is taken. */
const PATHS = ["image", "path", "file", "file_name", "filename", "text"];

/** Each picture has one class. An example's text is the path of its picture. */
export const imageClassification: TaskKind<ClassifiedText, typeof classOptions> = {
  ...classification,
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

  columnsIn({ columns, source }, { text, label = "label", textPair }) {
    if (textPair !== undefined)
      throw new UserError("image classification takes single pictures, not pairs; leave out --text-pair");
    const path = text ?? PATHS.find((name) => columns.includes(name));
    if (path !== undefined) return { text: path, label };
    throw new UserError(`${source} has no column of paths of pictures (${PATHS.join(", ")}); name it with --text`);
  },
  exampleOfRow(cells, labels) {
    const { label } = classification.exampleOfRow(cells, labels);
    const text = textOf(cells.text);
    if (text.trim() === "") throw cellError(cells.text, "no path of a picture");
    return { text, place: cells.text.place, ...(label !== undefined && { label }) };
  },
  exampleOfInput({ text, textPair }) {
    if (textPair !== undefined) throw new UserError("image classification takes single pictures, not pairs");
    return { text };
  },
  encode({ index, text, picture }, _tokenizer, maxLength) {
    if (!picture) throw new Error(`the picture ${text} has not been read`);
    // A picture comes to as many tokens as every other, none of which has an id.
    const none = new Int32Array(maxLength);
    return { index, encoding: { inputIds: none, tokenTypeIds: none }, inputs: { [PIXELS]: picture } };
  },
};
