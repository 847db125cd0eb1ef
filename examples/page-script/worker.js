// Training keeps the thread that it runs on: a worker's, not the page's.
import { adapterBytes, FineTunedModel, fineTune } from "./aflora-web.js";

self.onmessage = async ({ data: { name, text } }) => {
  const { finished } = await fineTune(
    {
      model: new URL("models/all-MiniLM-L6-v2/", self.location.href).href,
      train: { name, text },
      text: "message",
      label: "team",
      epochs: 4,
      batchSize: 8,
      learningRate: 1e-2,
      headLearningRate: 1e-2,
    },
    {
      onEvent(event) {
        if (event.kind !== "evaluation") return;
        self.postMessage(`epoch ${event.epoch}: accuracy ${event.metrics.accuracy.toFixed(2)}`);
      },
    },
  );
  const { adapter, base, runtime } = finished;
  const model = await FineTunedModel.adapt(base, adapter, runtime);
  const { label } = await model.predict("My card was charged twice");
  const bytes = adapterBytes(adapter)["adapter.safetensors"].length;
  self.postMessage(`My card was charged twice → ${label}; the adapter has ${bytes} bytes`);
};
