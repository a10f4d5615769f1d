/** The one at this page: follows the pointer, a finger or the arrow keys, at a walker's pace. */

const KEYS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** A place in the plaza, from 0 to 1 both ways. */
export class Walker {
  x: number;
  y: number;
  private target: { x: number; y: number };
  private readonly held = new Set<string>();
  private last = 0;

  constructor(random: () => number) {
    this.x = 0.2 + 0.6 * random();
    this.y = 0.2 + 0.6 * random();
    this.target = { x: this.x, y: this.y };
  }

  /** Listens to the stage. */
  follow(stage: HTMLElement): void {
    const aim = ({ offsetX, offsetY, target }: PointerEvent) => {
      if (target !== stage) return;
      this.aim(offsetX / stage.clientWidth, offsetY / stage.clientHeight);
    };
    stage.addEventListener("pointerdown", (event) => {
      // A finger that slides off the stage still leads.
      stage.setPointerCapture(event.pointerId);
      aim(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.buttons > 0) aim(event);
    });
    stage.addEventListener("keydown", (event) => {
      if (!KEYS[event.key]) return;
      this.held.add(event.key);
      event.preventDefault();
    });
    stage.addEventListener("keyup", ({ key }) => this.held.delete(key));
    stage.addEventListener("blur", () => this.held.clear());
  }

  /** Goes there from now on. */
  aim(x: number, y: number): void {
    const inside = (value: number) => Math.min(0.985, Math.max(0.015, value));
    this.target = { x: inside(x), y: inside(y) };
  }

  /** Moves on to the time `now`, in milliseconds. */
  walk(now: number): void {
    const passed = Math.min(100, now - this.last);
    this.last = now;
    for (const key of this.held) {
      const [right = 0, down = 0] = KEYS[key] ?? [];
      const reach = passed * 0.0005;
      this.aim(this.target.x + right * reach, this.target.y + down * reach);
    }
    const part = 1 - Math.exp(-passed / EASE_MS);
    this.x += (this.target.x - this.x) * part;
    this.y += (this.target.y - this.y) * part;
  }
}

const EASE_MS = 70;
