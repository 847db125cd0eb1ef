import { SAMPLES } from "../../architectures/streams/token-stream.ts";
import { classificationOfFiles } from "../files.ts";
import type { TaskKind } from "../task-kind.ts";
import type { ClassifiedText, classification } from "./classification.ts";

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

  /** All sounds have `maxLength` tokens without ids: a model without a mask also reads the silence after a short sound. */
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
