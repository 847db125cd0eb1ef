import { UserError } from "../../src/errors.ts";
import { number, prefixed } from "../../src/reports/quantities.ts";
import { byId } from "./dom.ts";
import type { TaskFacts } from "./examples-file.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { DownloadProgress, ModelChoice } from "./model-store.ts";
import { attempt, showProblem } from "./problems.ts";
import { downloadText } from "./train-step.ts";
import type { TrainingHandlers } from "./training-worker.ts";
import type { Called } from "./worker-calls.ts";

export interface ModelStep {
  /** Checks the chosen model again after the task has changed. */
  refresh(task: Pick<TaskFacts, "reads">): Promise<void>;
  follow(progress: DownloadProgress): void;
  lock(locked: boolean): void;
}

/** Sets up the step for choosing a model. @param onModel receives its description; undefined if there is none */
export function setUpModelStep(
  training: Called<TrainingHandlers>,
  onModel: (facts: ModelFacts | undefined) => void,
): ModelStep {
  const radios = [...document.querySelectorAll<HTMLInputElement>('input[name="model"]')];
  const hub = byId("hub-id", HTMLInputElement);
  const look = byId("hub-look", HTMLButtonElement);
  const [folder, file] = [byId("disk-folder", HTMLInputElement), byId("disk-file", HTMLInputElement)];
  const shown = byId("model-facts", HTMLElement);
  let choice: ModelChoice | undefined = { from: "page" };
  let asked = 0;
  let looks = false;

  const choose = async (chosen: ModelChoice | undefined): Promise<void> => {
    choice = chosen;
    const turn = ++asked;
    onModel(undefined);
    showProblem("model-problem");
    shown.textContent = "";
    if (!chosen) return;
    shown.textContent = "Looking at the model…";
    looks = true;
    const facts = await attempt("model-problem", () => training.chooseModel(chosen));
    // Another model was chosen in the meantime.
    if (turn !== asked) return;
    looks = false;
    shown.textContent = facts ? inWords(facts) : "";
    onModel(facts);
  };

  const byRadio = (): ModelChoice | undefined => {
    const from = radios.find(({ checked }) => checked)?.value;
    byId("hub-choice", HTMLElement).hidden = from !== "hub";
    byId("disk-choice", HTMLElement).hidden = from !== "disk";
    if (from === "page") return { from };
    const id = hub.value.trim();
    return from === "hub" && id ? { from, id } : undefined;
  };
  for (const radio of radios) radio.addEventListener("change", () => void choose(byRadio()));
  look.addEventListener("click", () => void choose(byRadio()));
  hub.addEventListener("keydown", (event) => {
    if (event.key === "Enter") void choose(byRadio());
  });
  for (const input of [folder, file]) {
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      if (files.length > 0) void choose(fromDisk(files)).catch((error) => showProblem("model-problem", error));
    });
  }
  const bundled = radios.find(({ value }) => value === "page")!;
  return {
    async refresh({ reads }) {
      // The bundled model and GGUF models read texts.
      const ofPictures = reads === "pictures";
      bundled.closest("label")!.hidden = file.parentElement!.hidden = ofPictures;
      byId("picture-model", HTMLElement).hidden = !ofPictures;
      if (!ofPictures || !bundled.checked) return choose(choice);
      radios.find(({ value }) => value === "disk")!.checked = true;
      return choose(byRadio());
    },
    follow(progress) {
      if (looks) shown.textContent = downloadText(progress);
    },
    lock(locked) {
      for (const control of [...radios, hub, look, folder, file]) control.disabled = locked;
    },
  };
}

function fromDisk(files: readonly File[]): ModelChoice {
  const [first] = files;
  const [name = ""] = first!.webkitRelativePath.split("/");
  if (!name) return { from: "disk", name: first!.name, files: { [first!.name]: first! } };
  const inFolder = files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file] as const);
  const read = inFolder.filter(([path]) => /\.(json|txt|model|jinja|safetensors|gguf)$/.test(path));
  // Safetensors is preferred. An ONNX file may have its weights in a second file.
  const isOnnx = ([path]: readonly [string, File]): boolean => /(^|\/)model(_quantized)?\.onnx([._]data)?$/.test(path);
  if (!read.some(([path]) => /^model.*\.safetensors$/.test(path))) read.push(...inFolder.filter(isOnnx));
  if (read.length === 0) throw new UserError(`${name} is not a model folder: it has no config.json`);
  return { from: "disk", name, files: Object.fromEntries(read) };
}

function inWords({ type, parameters, memory, download }: ModelFacts): string {
  const fetched =
    download === undefined
      ? "Its files are read when training begins."
      : download === 0
        ? "This browser already stores its files."
        : `${prefixed(download, "B")} are read once, when training begins.`;
  return `${type}, ${number(Math.round(parameters / 1e5) / 10)} million weights; training takes about ${prefixed(memory, "B")} of memory. ${fetched}`;
}
