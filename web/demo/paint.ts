/**
 * Paints the plaza, frame by frame: by night people carry lanterns that light the stones around
 * them, by day they are parasols that cast shadows. A ring shows the server that each is on.
 */
import { paintGround } from "./ground.js";
import { DAY, NIGHT, type Scene, serverHue } from "./palette.js";
import type { Shown } from "./people.js";

/** A participant to paint; `self` is the one at this page. */
export interface Figure extends Shown {
  readonly self?: boolean;
}

/** The canvas. */
export class Painter {
  private scene: Scene = NIGHT;
  private ground: HTMLCanvasElement | undefined;
  private readonly sprites = new Map<string, HTMLCanvasElement>();
  /** The light of all lanterns together, small. */
  private readonly light = document.createElement("canvas");
  private ratio = 1;
  private readonly context: CanvasRenderingContext2D | null;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d", { alpha: false });
  }

  /** Day or night. */
  setNight(night: boolean): void {
    this.scene = night ? NIGHT : DAY;
    this.forget();
  }

  /** The element's size changed. */
  resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = Math.max(1, Math.round(clientWidth * this.ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * this.ratio));
    this.forget();
  }

  /** Paints everybody, the one at this page last. */
  paint(figures: readonly Figure[]): void {
    const { context, canvas } = this;
    if (!context) return;
    this.ground ??= paintGround(canvas.width, canvas.height, this.scene);
    context.globalAlpha = 1;
    context.globalCompositeOperation = "source-over";
    context.drawImage(this.ground, 0, 0);
    const order = [...figures].sort(
      (a, b) => Number(a.self ?? 0) - Number(b.self ?? 0) || a.y - b.y,
    );
    if (this.scene.night) this.paintLight(context, order);
    else this.paintShadows(context, order);
    context.globalCompositeOperation = "source-over";
    for (const figure of order) this.paintFigure(context, figure);
    for (const figure of order) this.paintWords(context, figure);
    context.globalAlpha = 1;
  }

  /**
   * The light of all lanterns. It is gathered on a small canvas, because it is soft anyway and a
   * large one would have to be blended once for each lantern.
   */
  private paintLight(context: CanvasRenderingContext2D, figures: readonly Figure[]): void {
    const { width, height } = this.canvas;
    const light = this.light.getContext("2d", { alpha: false });
    if (!light) return;
    this.light.width = Math.ceil(width / this.coarseness);
    this.light.height = Math.ceil(height / this.coarseness);
    light.fillStyle = this.scene.ambience;
    light.fillRect(0, 0, width, height);
    light.globalCompositeOperation = "lighter";
    // The more there are, the less each lights.
    const strength = Math.min(1, Math.sqrt(24 / Math.max(1, figures.length)));
    for (const figure of figures) {
      const sprite = this.lantern(figure.hue);
      const [x, y] = this.place(figure);
      light.globalAlpha = figure.presence * strength;
      const [left, top] = [x / this.coarseness, y / this.coarseness];
      light.drawImage(sprite, left - sprite.width / 2, top - sprite.height / 2);
    }
    // As light does: the stones keep their pattern.
    context.globalCompositeOperation = "multiply";
    context.drawImage(this.light, 0, 0, width, height);
  }

  private paintShadows(context: CanvasRenderingContext2D, figures: readonly Figure[]): void {
    const sprite = this.shadow();
    context.globalCompositeOperation = "multiply";
    for (const figure of figures) {
      const [x, y] = this.place(figure);
      const shift = 9 * this.ratio;
      context.globalAlpha = figure.presence;
      context.drawImage(sprite, x - sprite.width / 2 + shift, y - sprite.height / 2 + shift * 1.3);
    }
  }

  private paintFigure(context: CanvasRenderingContext2D, figure: Figure): void {
    const [x, y] = this.place(figure);
    const sprite = this.body(figure);
    const size = sprite.width * (0.6 + 0.4 * figure.presence);
    context.globalAlpha = figure.presence;
    context.drawImage(sprite, x - size / 2, y - size / 2, size, size);
  }

  private paintWords(context: CanvasRenderingContext2D, figure: Figure): void {
    const [x, y] = this.place(figure);
    const reach = this.radius(figure) + 8 * this.ratio;
    context.globalAlpha = figure.presence;
    const label = this.label(figure.self ? `${figure.name} (you)` : figure.name);
    context.drawImage(label, x - label.width / 2, y + reach);
    if (!figure.speech) return;
    const bubble = this.bubble(figure.speech);
    const left = Math.min(Math.max(4, x - bubble.width / 2), this.canvas.width - bubble.width - 4);
    const top = y - reach - bubble.height;
    context.drawImage(bubble, left, Math.max(4, top));
  }

  private place({ x, y }: Figure): [number, number] {
    return [x * this.canvas.width, y * this.canvas.height];
  }

  private radius({ self }: Figure): number {
    return (self ? 13 : 10.5) * this.ratio * (this.narrow ? 0.8 : 1);
  }

  private get narrow(): boolean {
    return this.canvas.clientWidth < 560;
  }

  /** Device pixels to one of the small canvas. */
  private get coarseness(): number {
    return 4 * this.ratio;
  }

  /** How far a lantern lights, across. */
  private get reach(): number {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(250, Math.max(110, Math.min(clientWidth, clientHeight) * 0.36));
  }

  // --- sprites: painted once, used for everybody ---

  /** The light around a lantern, on the small canvas. */
  private lantern(hue: number): HTMLCanvasElement {
    const across = this.reach / this.coarseness;
    return this.sprite(`lantern ${shade(hue)}`, across, across, (context, size) => {
      const middle = size / 2;
      const light = context.createRadialGradient(middle, middle, 0, middle, middle, middle);
      const colour = (alpha: number) => `hsl(${shade(hue)} 70% 66% / ${alpha})`;
      light.addColorStop(0, colour(1));
      light.addColorStop(0.25, colour(0.62));
      light.addColorStop(0.6, colour(0.22));
      light.addColorStop(1, colour(0));
      context.fillStyle = light;
      context.fillRect(0, 0, size, size);
    });
  }

  private shadow(): HTMLCanvasElement {
    return this.sprite("shadow", 38, 38, (context, size) => {
      const dark = context.createRadialGradient(
        size / 2,
        size / 2,
        size * 0.2,
        size / 2,
        size / 2,
        size / 2,
      );
      dark.addColorStop(0, "hsl(25 35% 22% / 0.5)");
      dark.addColorStop(0.7, "hsl(25 35% 22% / 0.3)");
      dark.addColorStop(1, "hsl(25 35% 22% / 0)");
      context.fillStyle = dark;
      context.fillRect(0, 0, size, size);
    });
  }

  /** Lantern or parasol, with the ring of its server. */
  private body(figure: Figure): HTMLCanvasElement {
    const { server, self } = figure;
    const hue = shade(figure.hue);
    const radius = this.radius(figure) / this.ratio;
    const across = 2 * radius + 18;
    const key = `body ${hue} ${server ? serverHue(server) : "none"} ${self ?? false}`;
    return this.sprite(key, across, across, (context, size) => {
      const { night, label } = this.scene;
      const middle = size / 2;
      if (night) paintLantern(context, middle, radius * this.ratio, hue);
      else paintParasol(context, middle, radius * this.ratio, hue);
      context.lineWidth = 2.5 * this.ratio;
      context.strokeStyle = server
        ? `hsl(${serverHue(server)} 75% ${night ? 62 : 42}%)`
        : "hsl(0 0% 60%)";
      circle(context, middle, (radius + 3) * this.ratio);
      if (!self) return;
      context.lineWidth = 1.5 * this.ratio;
      context.strokeStyle = label;
      circle(context, middle, (radius + 6.5) * this.ratio);
    });
  }

  private label(text: string): HTMLCanvasElement {
    const font = `600 ${(this.narrow ? 11 : 12) * this.ratio}px ${FONT}`;
    const width = this.measure(font, text) / this.ratio + 8;
    return this.sprite(`label ${text}`, width, 18, (context, w, h) => {
      context.font = font;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineJoin = "round";
      context.lineWidth = 3.5 * this.ratio;
      context.strokeStyle = this.scene.labelEdge;
      context.strokeText(text, w / 2, h / 2);
      context.fillStyle = this.scene.label;
      context.fillText(text, w / 2, h / 2);
    });
  }

  private bubble(text: string): HTMLCanvasElement {
    const font = `${13 * this.ratio}px ${FONT}`;
    const lines = wrap(text, (line) => this.measure(font, line) <= BUBBLE_WIDTH * this.ratio);
    const widest = Math.max(...lines.map((line) => this.measure(font, line))) / this.ratio;
    const height = lines.length * 18 + 12;
    return this.sprite(`bubble ${text}`, widest + 22, height + 8, (context, w, h) => {
      const tail = 8 * this.ratio;
      context.fillStyle = this.scene.bubble;
      context.beginPath();
      context.roundRect(0, 0, w, h - tail, 10 * this.ratio);
      context.moveTo(w / 2 - tail, h - tail);
      context.lineTo(w / 2, h - 1);
      context.lineTo(w / 2 + tail, h - tail);
      context.fill();
      context.font = font;
      context.fillStyle = this.scene.bubbleText;
      context.textBaseline = "middle";
      for (const [row, line] of lines.entries()) {
        context.fillText(line, 11 * this.ratio, (15 + row * 18) * this.ratio);
      }
    });
  }

  private measure(font: string, text: string): number {
    if (!this.context) return 0;
    this.context.font = font;
    return this.context.measureText(text).width;
  }

  private sprite(
    key: string,
    width: number,
    height: number,
    paint: (context: CanvasRenderingContext2D, width: number, height: number) => void,
  ): HTMLCanvasElement {
    let sprite = this.sprites.get(key);
    if (sprite) return sprite;
    if (this.sprites.size >= SPRITES_MAX) this.sprites.clear();
    sprite = document.createElement("canvas");
    sprite.width = Math.ceil(width * this.ratio);
    sprite.height = Math.ceil(height * this.ratio);
    const context = sprite.getContext("2d");
    if (context) paint(context, sprite.width, sprite.height);
    this.sprites.set(key, sprite);
    return sprite;
  }

  private forget(): void {
    this.ground = undefined;
    this.sprites.clear();
  }
}

/** A paper lantern from above: bright in the middle. */
function paintLantern(
  context: CanvasRenderingContext2D,
  middle: number,
  radius: number,
  hue: number,
): void {
  const glow = context.createRadialGradient(middle, middle, 0, middle, middle, radius);
  glow.addColorStop(0, "hsl(44 100% 97%)");
  glow.addColorStop(0.35, `hsl(${hue} 100% 84%)`);
  glow.addColorStop(1, `hsl(${hue} 80% 56%)`);
  disc(context, middle, radius, glow);
}

/** A parasol from above: eight panels, every other one pale. */
function paintParasol(
  context: CanvasRenderingContext2D,
  middle: number,
  radius: number,
  hue: number,
): void {
  for (let panel = 0; panel < 8; panel += 1) {
    const from = ((panel - 0.5) * Math.PI) / 4;
    context.fillStyle = panel % 2 ? `hsl(${hue} 90% 92%)` : `hsl(${hue} 70% 50%)`;
    context.beginPath();
    context.moveTo(middle, middle);
    context.arc(middle, middle, radius, from, from + Math.PI / 4 + 0.02);
    context.fill();
  }
  const [near, far] = [middle - radius, middle + radius];
  const light = context.createLinearGradient(near, near, far, far);
  light.addColorStop(0, "hsl(0 0% 100% / 0.4)");
  light.addColorStop(0.5, "hsl(0 0% 100% / 0)");
  light.addColorStop(1, "hsl(20 60% 10% / 0.25)");
  disc(context, middle, radius, light);
  disc(context, middle, radius * 0.16, "hsl(40 40% 97%)");
}

function disc(
  context: CanvasRenderingContext2D,
  middle: number,
  radius: number,
  fill: string | CanvasGradient,
): void {
  context.fillStyle = fill;
  context.beginPath();
  context.arc(middle, middle, radius, 0, 2 * Math.PI);
  context.fill();
}

function circle(context: CanvasRenderingContext2D, middle: number, radius: number): void {
  context.beginPath();
  context.arc(middle, middle, radius, 0, 2 * Math.PI);
  context.stroke();
}

/** Breaks text into a few lines that fit; what is longer ends in an ellipsis. */
function wrap(text: string, fits: (line: string) => boolean): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ").flatMap((part) => part.match(/.{1,22}/gu) ?? [])) {
    const line = lines.at(-1) ?? "";
    const longer = line ? `${line} ${word}` : word;
    if (fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  if (lines.length <= BUBBLE_LINES) return lines;
  return [...lines.slice(0, BUBBLE_LINES - 1), `${lines[BUBBLE_LINES - 1]}…`];
}

/** Hues in steps, so that there are only so many sprites. */
const shade = (hue: number) => (Math.round(hue / 10) * 10) % 360;

const FONT = "ui-rounded, 'SF Pro Rounded', 'Nunito', system-ui, sans-serif";
const BUBBLE_WIDTH = 190;
const BUBBLE_LINES = 4;
const SPRITES_MAX = 900;
