import { SAMPLES } from "../../models/streams/token-stream.ts";
import { classificationOfFiles } from "../files.ts";
import type { TaskKind } from "../task-kind.ts";
import type { ClassifiedText, classification } from "./classification.ts";

/** Each sound has one class. An example's text is the path of its file. */
export const audioClassification: TaskKind<ClassifiedText, NonNullable<(typeof classification)["options"]>> = {
  ...classificationOfFiles("sounds"),
  name: "audio-classification",
  refines: true,
  recipe: { maxLength: 500 },
  huggingFace: {
    autoClass: "AutoModelForAudioClassification",
    className: "ForSequenceClassification",
    problemType: null,
    peftTaskType: null,
    pipeline: "audio-classification",
    readme: {
      outputs: (names) => `Labels in order: ${names.join(", ")}.`,
      pipelineCall: "classify(samples) /* a Float32Array */",
    },
  },

  /** All come to `maxLength` tokens, none of which has an id: a model without a mask sees the silence behind a short one. */
  encode({ index, text, sound }, _tokenizer, maxLength) {
    if (!sound) throw new Error(`the sound ${text} has not been read`);
    const none = new Int32Array(maxLength);
    return {
      index,
      encoding: { inputIds: none, tokenTypeIds: none, cut: sound.tokens > maxLength },
      inputs: { [SAMPLES]: sound.ofLength(maxLength) },
    };
  },
};
