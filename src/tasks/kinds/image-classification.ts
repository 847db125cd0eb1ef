import { classificationOfFiles } from "../files.ts";
import { classOptions } from "../losses/class-weights.ts";
import { encodePicture, pictureOptions } from "../pictures.ts";
import type { TaskKind } from "../task-kind.ts";
import type { ClassifiedText } from "./classification.ts";

const options = classOptions.extend(pictureOptions.shape);

export const imageClassification: TaskKind<ClassifiedText, typeof options> = {
  ...classificationOfFiles("pictures"),
  options,
  name: "image-classification",
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
  encode: encodePicture,
};
