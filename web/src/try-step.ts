import { UNSURE } from "../../src/inference/confidence-threshold.ts";
import { byId, element, tableOf } from "./dom.ts";
import { attempt } from "./problems.ts";
import type { EndFacts, Said } from "./training-session.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { Called } from "./worker-calls.ts";

/** Labels that are shown with their probabilities. */
const SHOWN = 8;

/** The step in which the model is asked. */
export function setUpTryStep(training: Called<TrainingHandlers>): { begin(end: EndFacts): void } {
  const [text, pair] = [byId("ask-text", HTMLTextAreaElement), byId("ask-pair", HTMLTextAreaElement)];
  const answer = byId("answer", HTMLElement);
  const form = byId("ask", HTMLFormElement);
  const wrong = byId("wrong", HTMLDetailsElement);
  const threshold = byId("ask-threshold", HTMLInputElement);
  let said: Said | undefined;
  const show = (): void => {
    const least = threshold.validity.valid ? threshold.valueAsNumber / 100 : Number.NaN;
    answer.replaceChildren(...(said ? shown(said, least) : []));
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said = await attempt("try-problem", () => training.ask(text.value, pair.value));
    show();
  });
  threshold.addEventListener("input", show);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return {
    begin({ asks, choosesClass }) {
      byId("ask-pair-field", HTMLElement).hidden = asks !== "pair";
      byId("ask-threshold-field", HTMLElement).hidden = !choosesClass;
      if (!choosesClass) threshold.value = "";
      said = undefined;
      show();
      wrong.hidden = true;
      void attempt("try-problem", async () => {
        const { of, examples } = await training.wrong();
        if (examples.length === 0) return;
        wrong.hidden = false;
        byId("wrong-summary", HTMLElement).textContent =
          `Its mistakes: ${examples.length} of ${of} validation examples`;
        const rows = examples.map(({ text: asked, label, said }) => [asked, label, said]);
        byId("wrong-list", HTMLElement).replaceChildren(
          tableOf("Validation examples", ["text", "label", "the model says"], rows),
        );
      });
    },
  };
}

/** @param least probability of a class that the model is sure of; NaN: any */
function shown({ line, labels }: Said, least: number): Node[] {
  if (labels.length === 0) return [element("p", line, { class: "said" })];
  const bars = labels.slice(0, SHOWN).map(({ label, probability }) => {
    const filled = element("span");
    filled.style.width = `${100 * probability}%`;
    return element("li", [
      element("span", label, { class: "name" }),
      element("span", [filled], { class: "bar", "aria-hidden": "true" }),
      element("output", `${(100 * probability).toFixed(1)} %`),
    ]);
  });
  const unsure = labels[0]!.probability < least ? [element("p", UNSURE, { class: "said" })] : [];
  return [...unsure, element("ol", bars, { class: "bars" })];
}
