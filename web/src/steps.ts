import { byId } from "./dom.ts";

const STEPS = ["data", "model", "train", "look", "try", "take"] as const;
export type Step = (typeof STEPS)[number];

const linkTo = (step: Step): HTMLAnchorElement =>
  document.querySelector<HTMLAnchorElement>(`#steps a[href="#${step}"]`)!;

export function showSteps(shown: readonly Step[]): void {
  for (const step of STEPS) {
    const isShown = shown.includes(step);
    byId(step, HTMLElement).hidden = !isShown;
    const link = linkTo(step);
    link.toggleAttribute("aria-disabled", !isShown);
    if (isShown) link.removeAttribute("tabindex");
    else link.tabIndex = -1;
  }
}

export function addSteps(...steps: readonly Step[]): void {
  showSteps(STEPS.filter((step) => steps.includes(step) || !byId(step, HTMLElement).hidden));
}

export function followSteps(): void {
  const mark = (): void => {
    const half = innerHeight / 2;
    const current = STEPS.findLast((step) => {
      const section = byId(step, HTMLElement);
      return !section.hidden && section.getBoundingClientRect().top < half;
    });
    for (const step of STEPS) {
      if (step === current) linkTo(step).setAttribute("aria-current", "step");
      else linkTo(step).removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(document.body);
}
