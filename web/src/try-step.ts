import { UNSURE } from "../../src/inference/confidence-threshold.ts";
import { Camera } from "./camera.ts";
import { acceptDrops, byId, element, tableOf, thumbnail } from "./dom.ts";
import type { EndFacts } from "./end-facts.ts";
import { attempt } from "./problems.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { Asked, Said } from "./tuned-model.ts";
import type { Called } from "./worker-calls.ts";

const SHOWN = 8;
const PAUSE = 200;

export interface TryStep {
  begin(end: EndFacts): void;
  /** Closes the camera: the model behind its predictions is about to change. */
  lock(locked: boolean): void;
}

export function setUpTryStep(training: Called<TrainingHandlers>): TryStep {
  const [text, pair] = [byId("ask-text", HTMLTextAreaElement), byId("ask-pair", HTMLTextAreaElement)];
  const answer = byId("answer", HTMLElement);
  const form = byId("ask", HTMLFormElement);
  const threshold = byId("ask-threshold", HTMLInputElement);
  let said: Said | undefined;
  const show = (): void => {
    const least = threshold.validity.valid ? threshold.valueAsNumber / 100 : Number.NaN;
    answer.replaceChildren(...(said ? shown(said, least) : []));
  };
  const ask = async (asked: Asked): Promise<void> => {
    said = await attempt("try-problem", () => training.ask(asked));
    show();
  };
  const pictures = setUpPictures(ask);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void ask({ text: text.value, textPair: pair.value });
  });
  threshold.addEventListener("input", show);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  return {
    begin({ asks, choosesClass }) {
      for (const id of ["ask-words", "ask-submit"]) byId(id, HTMLElement).hidden = asks === "picture";
      byId("ask-picture", HTMLElement).hidden = asks !== "picture";
      byId("ask-pair-field", HTMLElement).hidden = asks !== "pair";
      byId("ask-threshold-field", HTMLElement).hidden = !choosesClass;
      if (!choosesClass) threshold.value = "";
      said = undefined;
      show();
      pictures.clear();
      void showMistakes(training);
    },
    lock(locked) {
      if (locked) pictures.clear();
      pictures.lock(locked);
    },
  };
}

function setUpPictures(ask: (asked: Asked) => Promise<void>): { clear(): void; lock(locked: boolean): void } {
  const file = byId("ask-file", HTMLInputElement);
  const live = byId("ask-live", HTMLButtonElement);
  const [seen, answer] = [byId("ask-seen", HTMLElement), byId("answer", HTMLElement)];
  let camera: Camera | undefined;
  const close = (): void => {
    camera?.close();
    camera = undefined;
    live.textContent = "Try live with the camera";
    answer.setAttribute("aria-live", "polite");
  };
  const clear = (): void => {
    close();
    seen.replaceChildren();
  };
  const askFile = async (picture: File): Promise<void> => {
    clear();
    const small = await thumbnail(picture.name, picture);
    if (small) seen.replaceChildren(small);
    await ask({ text: picture.name, picture });
  };
  const follow = async (): Promise<void> => {
    clear();
    live.disabled = true;
    camera = await Camera.open(byId("ask-camera", HTMLVideoElement)).finally(() => {
      live.disabled = false;
    });
    live.textContent = "Close the camera";
    // A screen reader would never finish.
    answer.setAttribute("aria-live", "off");
    for (const opened = camera; camera === opened; ) {
      const begun = performance.now();
      await ask({ text: "camera", picture: await opened.photo() });
      await new Promise((resolve) => setTimeout(resolve, begun + PAUSE - performance.now()));
    }
  };
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    if (chosen) void askFile(chosen);
    file.value = "";
  });
  acceptDrops(byId("ask-drop", HTMLElement), file, ({ files: [dropped] }) => void askFile(dropped!));
  live.addEventListener("click", () => void (camera ? close() : attempt("try-problem", follow)));
  return {
    clear,
    lock(locked) {
      file.disabled = live.disabled = locked;
    },
  };
}

async function showMistakes(training: Called<TrainingHandlers>): Promise<void> {
  const wrong = byId("wrong", HTMLDetailsElement);
  wrong.hidden = true;
  await attempt("try-problem", async () => {
    const { of, examples } = await training.wrong();
    if (examples.length === 0) return;
    wrong.hidden = false;
    byId("wrong-summary", HTMLElement).textContent = `Its mistakes: ${examples.length} of ${of} validation examples`;
    const rows = examples.map(async ({ text, picture, label, said }) => {
      const small = picture && (await thumbnail(text, picture));
      return [small ?? text, label, said];
    });
    byId("wrong-list", HTMLElement).replaceChildren(
      tableOf("Validation examples", ["example", "label", "the model says"], await Promise.all(rows)),
    );
  });
}

/** @param least probability of a class from which the model is sure of it; NaN for any */
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
