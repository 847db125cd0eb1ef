import { LARGEST_FILE } from "../../graph/onnx-model.ts";
import type { Device } from "../device.ts";
import { graphicsCard } from "./graphics-card.ts";

/** An NVIDIA GPU, if the installed ONNX Runtime was built with CUDA. */
export const cuda: Device = {
  name: "cuda",
  provider: "cuda",
  embeds: LARGEST_FILE,
  describe(system) {
    const name = graphicsCard(system);
    return name === undefined ? {} : { name };
  },
};
