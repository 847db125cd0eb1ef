import { Camera } from "./camera.ts";
import { byId, element, thumbnail } from "./dom.ts";
import type { GivenExamples } from "./given-examples.ts";
import { attempt } from "./problems.ts";

const SHOWN = { classes: 12, photos: 8 };
/** Milliseconds between two photos while a button is held. */
const PAUSE = 150;

export class PhotoClasses {
  readonly #onChange: (given: GivenExamples | undefined) => void;
  readonly #place = byId("photos", HTMLFieldSetElement);
  readonly #list = byId("photo-classes", HTMLElement);
  readonly #shutter = byId("close-camera", HTMLButtonElement);
  #name = "photos";
  #classes: PhotoClass[] = [];
  #camera: Camera | undefined;

  /** @param onChange called after photos or names have changed; with undefined while fewer than two classes have photos */
  constructor(onChange: (given: GivenExamples | undefined) => void) {
    this.#onChange = onChange;
    this.#shutter.addEventListener("click", () => this.closeCamera());
    byId("add-class", HTMLButtonElement).addEventListener("click", () => this.#add(this.#freeName()).name.select());
  }

  /** Shows a folder's photos instead of those before, or none for a file of rows. */
  show({ name, pictures = {} }: GivenExamples): void {
    this.closeCamera();
    this.#place.hidden = true;
    this.#classes = [];
    this.#list.replaceChildren();
    this.#name = name;
    for (const path of Object.keys(pictures).sort()) {
      const end = path.indexOf("/");
      if (end < 0) continue;
      const of = path.slice(0, end);
      const found = this.#classes.find(({ name: each }) => each.value === of) ?? this.#add(of);
      found.put(path.slice(end + 1), pictures[path]!);
    }
  }

  async openCamera(): Promise<void> {
    this.#camera ??= await Camera.open(byId("camera", HTMLVideoElement));
    this.#place.hidden = this.#shutter.hidden = false;
    if (this.#classes.length === 0) this.#name = "photos";
    while (this.#classes.length < 2) this.#add(this.#freeName());
    this.#list.classList.add("taking");
  }

  closeCamera(): void {
    this.#camera?.close();
    this.#camera = undefined;
    this.#shutter.hidden = true;
    this.#list.classList.remove("taking");
  }

  lock(locked: boolean): void {
    this.#place.disabled = locked;
    if (locked) this.closeCamera();
  }

  #freeName(): string {
    const isTaken = (name: string): boolean => this.#classes.some((each) => each.name.value === name);
    let number = 1;
    while (isTaken(`class ${number}`)) number++;
    return `class ${number}`;
  }

  #add(name: string): PhotoClass {
    const added = new PhotoClass(name);
    this.#place.hidden = false;
    this.#classes.push(added);
    if (this.#classes.length <= SHOWN.classes) this.#list.append(added.element);
    added.name.addEventListener("change", () => this.#renamed());
    added.remove.addEventListener("click", () => {
      this.#classes = this.#classes.filter((each) => each !== added);
      added.element.remove();
      this.#renamed();
    });
    whileHeld(
      added.take,
      () => this.#take(added),
      () => this.#changed(),
    );
    return added;
  }

  async #take(into: PhotoClass): Promise<void> {
    await attempt("data-problem", async () => {
      const photo = await this.#camera?.photo();
      if (photo) into.put(`${into.freeNumber()}.jpg`, photo);
    });
  }

  /** Names are names of folders, so they must differ. */
  #renamed(): void {
    for (const { name } of this.#classes) {
      const isTwice = this.#classes.some((other) => other.name !== name && other.name.value === name.value);
      name.setCustomValidity(isTwice ? "Another class has this name." : "");
    }
    if (this.#classes.every(({ name }) => name.reportValidity())) this.#changed();
  }

  #changed(): void {
    const taken = this.#classes.filter(({ photos }) => photos.size > 0);
    const pictures = taken.flatMap(({ name, photos }) =>
      [...photos].map(([file, photo]) => [`${name.value}/${file}`, photo] as const),
    );
    this.#onChange(taken.length < 2 ? undefined : { name: this.#name, pictures: Object.fromEntries(pictures) });
  }
}

class PhotoClass {
  readonly photos = new Map<string, Blob>();
  readonly name: HTMLInputElement;
  readonly take = element("button", "Hold to take", { type: "button", class: "take" });
  readonly remove = element("button", "Remove", { type: "button", class: "link" });
  readonly element: HTMLElement;
  readonly #count = element("small");
  readonly #shown = element("div", [], { class: "thumbnails" });

  constructor(name: string) {
    this.name = element("input", [], {
      ...{ type: "text", required: "", pattern: "[^\\/.][^\\/]*", "aria-label": "Name of the class" },
      ...{ title: "Letters and digits, without slashes", autocomplete: "off", value: name },
    });
    const head = element("div", [this.name, this.#count, this.take, this.remove], { class: "photo-class" });
    this.element = element("li", [head, this.#shown]);
    this.#say();
  }

  put(file: string, photo: Blob): void {
    this.photos.set(file, photo);
    this.#say();
    const isTaken = this.element.parentElement?.classList.contains("taking");
    if (!isTaken && this.photos.size > SHOWN.photos) return;
    void thumbnail(`${this.name.value}/${file}`, photo).then((small) => {
      if (!small) return;
      this.#shown.prepend(small);
      this.#shown.children[SHOWN.photos]?.remove();
    });
  }

  freeNumber(): number {
    let number = this.photos.size + 1;
    while (this.photos.has(`${number}.jpg`)) number++;
    return number;
  }

  #say(): void {
    const { size } = this.photos;
    this.#count.textContent = size === 1 ? "1 photo" : `${size.toLocaleString("en-US")} photos`;
  }
}

function whileHeld(button: HTMLButtonElement, action: () => Promise<void>, atEnd: () => void): void {
  let held = false;
  const begin = async (): Promise<void> => {
    if (held) return;
    held = true;
    while (held) {
      await action();
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    atEnd();
  };
  const end = (): void => {
    held = false;
  };
  button.addEventListener("pointerdown", (event) => {
    // Receives the release even if the pointer has left the button.
    button.setPointerCapture(event.pointerId);
    void begin();
  });
  button.addEventListener("keydown", ({ key }) => {
    if (key === " " || key === "Enter") void begin();
  });
  for (const event of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(event, end);
  // A long touch would open a menu.
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}
