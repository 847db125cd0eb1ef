// Trains and answers off the page's thread, which stays free.
import { FineTunedModel, fineTune } from "./try/aflora-web.js";

let model;

self.onmessage = async ({ data: { rows, ask } }) => {
  try {
    if (rows !== undefined) await train(rows);
    if (ask !== undefined) {
      const { labels } = await model.predict(ask);
      self.postMessage({ answer: labels });
    }
  } catch (error) {
    self.postMessage({ problem: error.message });
  }
};

async function train(rows) {
  const name = "all-MiniLM-L6-v2";
  let steps = 0;
  const { finished } = await fineTune(
    {
      model: new URL(`try/models/${name}/`, self.location.href).href,
      modelName: name,
      train: { name: "rows.csv", text: rows },
      text: "text",
      label: "label",
    },
    {
      onEvent(event) {
        if (event.kind === "start") steps = event.totalSteps;
        if (event.kind === "step") self.postMessage({ progress: (event.step + 1) / steps });
      },
    },
  );
  await model?.release();
  model = await FineTunedModel.adapt(finished.base, finished.adapter, finished.runtime);
  self.postMessage({ trained: true });
}
