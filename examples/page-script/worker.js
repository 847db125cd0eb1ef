// Training keeps the thread that it runs on: a worker's, not the page's.
import { adapterBytes, FineTunedModel, fineTune } from "./aflora-web.js";

self.onmessage = async ({ data: { name, text } }) => {
  const { adapter, base, runtime } = await fineTune(
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
      onEvaluation: ({ epoch, metrics }) => self.postMessage(`epoch ${epoch}: accuracy ${metrics.accuracy.toFixed(2)}`),
    },
  );
  const model = await FineTunedModel.adapt(base, adapter, runtime);
  const { label } = await model.predict("My card was charged twice");
  const bytes = adapterBytes(adapter)["adapter.safetensors"].length;
  self.postMessage(`My card was charged twice → ${label}; the adapter has ${bytes} bytes`);
};
