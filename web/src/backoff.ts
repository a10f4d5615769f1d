/** How long to wait before trying again: doubling, capped, jittered. */
export class Backoff {
  private failures = 0;

  constructor(private readonly random: () => number) {}

  /** Milliseconds to wait after one more failure: between half and all of the doubled step. */
  next(): number {
    const step = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 16);
    return step * (0.5 + 0.5 * this.random());
  }

  /** Success: the next failure starts small again. */
  reset(): void {
    this.failures = 0;
  }

  /** What is lost now had worked since then: a success, if that was long enough. */
  forgive(now: number, since: number): void {
    if (now - since >= SETTLED_MS) this.reset();
  }
}

export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 15_000;
/** Who takes us in and lets us go before that has not worked. */
const SETTLED_MS = 5_000;
