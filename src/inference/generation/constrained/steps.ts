const STEPS_AT_ONCE = 2000;

export class Steps {
  count = 0;
  #pause = STEPS_AT_ONCE;

  isDue(): boolean {
    if (this.count < this.#pause) return false;
    this.#pause = this.count + STEPS_AT_ONCE;
    return true;
  }
}
