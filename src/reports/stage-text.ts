import type { ProgressEvent } from "../training/progress.ts";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** Progress of stages in words, with speed and time left, which count from a stage's first event. */
export class StageText {
  readonly #duration: (seconds: number) => string;
  #name: string | undefined;
  #since = 0;
  #from = 0;
  #done = 0;

  /** @param duration writes seconds in words */
  constructor(duration: (seconds: number) => string) {
    this.#duration = duration;
  }

  /** Milliseconds since the first event of the stage. */
  get age(): number {
    return performance.now() - this.#since;
  }

  /** Text such as `fitting the head: 20 of 50 fits, 3.1 a second, 9.7 s left`. */
  of({ stage, done, total, unit }: Omit<ProgressEvent, "kind">): string {
    // A stage with fewer parts done than before runs again, such as an evaluation after more steps.
    if (this.#name !== stage || done < this.#done) {
      [this.#name, this.#since, this.#from] = [stage, performance.now(), done];
    }
    this.#done = done;
    if (done === 0 && total === undefined) return stage;
    const units = (total ?? done) === 1 ? unit.replace(/(?<=ss)es$|s$/, "") : unit;
    const moved = done - this.#from;
    const speed = (1000 * moved) / Math.max(1, this.age);
    const left = total === undefined ? "" : `, ${this.#duration((total - done) / speed)} left`;
    const often = `${speed < 10 ? speed.toFixed(1) : whole.format(speed)} a second`;
    const pace = moved > 0 ? `, ${speed < 0.1 ? `${this.#duration(1 / speed)} each` : often}${left}` : "";
    return `${stage}: ${whole.format(done)}${total === undefined ? "" : ` of ${whole.format(total)}`} ${units}${pace}`;
  }
}
