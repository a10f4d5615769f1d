/**
 * The ground of the plaza, painted once per size and scene: a star of growing stones in an oval,
 * as on the Campidoglio in Rome, with steps around it.
 */
import type { Scene } from "./palette.js";

/** Paints the ground onto a canvas of its own. Sizes are in device pixels. */
export function paintGround(width: number, height: number, scene: Scene): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  paintSlabs(context, width, height, scene);
  const oval: Oval = { x: width / 2, y: height / 2, a: width * 0.455, b: height * 0.445 };
  paintSteps(context, oval, scene);
  paintStar(context, oval, scene);
  paintMiddle(context, oval, scene);
  paintEdges(context, width, height, scene);
  return canvas;
}

interface Oval {
  readonly x: number;
  readonly y: number;
  readonly a: number;
  readonly b: number;
}

/** Large slabs outside the oval, in courses. */
function paintSlabs(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  scene: Scene,
) {
  context.fillStyle = scene.outside;
  context.fillRect(0, 0, width, height);
  const size = Math.max(width, height) / 18;
  context.fillStyle = scene.slab;
  for (let row = 0; row * size * 0.6 < height; row += 1) {
    for (let column = -1; column * size < width; column += 1) {
      if (grain(row, column) < 0.5) continue;
      const x = (column + (row % 2) / 2) * size;
      context.fillRect(x + 1, row * size * 0.6 + 1, size - 2, size * 0.6 - 2);
    }
  }
}

function paintSteps(context: CanvasRenderingContext2D, { x, y, a, b }: Oval, scene: Scene) {
  const rise = Math.min(a, b) * 0.028;
  for (let step = scene.steps.length; step > 0; step -= 1) {
    context.fillStyle = scene.steps[step - 1] ?? "";
    ellipse(context, x, y, a + rise * step, b + rise * step);
    context.fill();
  }
  context.fillStyle = scene.joint;
  ellipse(context, x, y, a, b);
  context.fill();
}

/** Rhombs between two families of spirals, growing outwards; the joints show between them. */
function paintStar(context: CanvasRenderingContext2D, oval: Oval, scene: Scene) {
  for (let ring = 1; ring <= RINGS + 1; ring += 1) {
    for (let spoke = 0; spoke < 2 * SPOKES; spoke += 1) {
      if ((ring + spoke) % 2 === 0) continue;
      context.fillStyle = scene.stone(grain(ring, spoke));
      rhomb(context, oval, ring, spoke, 0.93);
      context.fill();
      if (ring > RINGS) continue;
      // A second, paler stone in it.
      context.fillStyle = scene.inlay(grain(spoke, ring));
      rhomb(context, oval, ring, spoke, 0.5);
      context.fill();
    }
  }
}

function rhomb(
  context: CanvasRenderingContext2D,
  oval: Oval,
  ring: number,
  spoke: number,
  size: number,
) {
  const corners = [
    [ring - size, spoke],
    [ring, spoke + size],
    [ring + size, spoke],
    [ring, spoke - size],
  ];
  context.beginPath();
  for (let corner = 0; corner < 4; corner += 1) {
    const [fromRing = 0, fromSpoke = 0] = corners[corner] ?? [];
    const [toRing = 0, toSpoke = 0] = corners[(corner + 1) % 4] ?? [];
    for (let step = 0; step < 5; step += 1) {
      const part = step / 5;
      const radius = radiusOf(Math.min(RINGS + 0.4, fromRing + (toRing - fromRing) * part));
      const angle = ((fromSpoke + (toSpoke - fromSpoke) * part) * Math.PI) / SPOKES;
      context.lineTo(
        oval.x + oval.a * radius * Math.cos(angle),
        oval.y + oval.b * radius * Math.sin(angle),
      );
    }
  }
  context.closePath();
}

/** The base of the statue that every such plaza has: a disc with a star of twelve points. */
function paintMiddle(context: CanvasRenderingContext2D, { x, y, a, b }: Oval, scene: Scene) {
  const radius = radiusOf(0.6);
  context.fillStyle = scene.joint;
  ellipse(context, x, y, a * radius, b * radius);
  context.fill();
  context.fillStyle = scene.stone(0.1);
  ellipse(context, x, y, a * radius * 0.9, b * radius * 0.9);
  context.fill();
  context.fillStyle = scene.joint;
  context.beginPath();
  for (let point = 0; point < 24; point += 1) {
    const reach = radius * (point % 2 ? 0.42 : 0.86);
    const angle = (point * Math.PI) / 12;
    context.lineTo(x + a * reach * Math.cos(angle), y + b * reach * Math.sin(angle));
  }
  context.fill();
}

/** Darkness at the edges by night, a slant of sun by day. */
function paintEdges(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  scene: Scene,
) {
  if (scene.night) {
    const reach = Math.hypot(width, height) / 2;
    const dark = context.createRadialGradient(
      width / 2,
      height / 2,
      reach * 0.3,
      width / 2,
      height / 2,
      reach,
    );
    dark.addColorStop(0, "hsl(232 40% 4% / 0)");
    dark.addColorStop(1, "hsl(232 40% 4% / 0.7)");
    context.fillStyle = dark;
  } else {
    const sun = context.createLinearGradient(0, 0, width, height);
    sun.addColorStop(0, "hsl(46 100% 92% / 0.45)");
    sun.addColorStop(0.6, "hsl(46 100% 92% / 0)");
    sun.addColorStop(1, "hsl(24 60% 40% / 0.14)");
    context.fillStyle = sun;
  }
  context.fillRect(0, 0, width, height);
}

function ellipse(context: CanvasRenderingContext2D, x: number, y: number, a: number, b: number) {
  context.beginPath();
  context.ellipse(x, y, a, b, 0, 0, 2 * Math.PI);
}

/** Radius of a ring as a part of the oval's: each as much larger as the one before. */
function radiusOf(ring: number): number {
  return Math.exp((ring - RINGS - 0.4) * GROWTH);
}

/** A number in [0, 1) that is always the same for the same place. */
function grain(a: number, b: number): number {
  const mixed = Math.sin(a * 127.1 + b * 311.7) * 43_758.5453;
  return mixed - Math.floor(mixed);
}

const SPOKES = 16;
const RINGS = 12;
const GROWTH = 0.235;
