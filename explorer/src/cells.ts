// A matrix as pixels: one a cell, or the strongest of those that fall on one pixel of the screen.
import { hatching } from "./hatch";
import type { Scene } from "./scene";

const small = document.createElement("canvas");
const smallContext = small.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;

export interface Window {
  left: number; // first pixel of the whole map that is drawn
  top: number;
  width: number;
  height: number;
}

// Colours as 32-bit pixels; masked cells stay transparent, over the hatching.
function pixels(scene: Scene): Uint32Array {
  return Uint32Array.from(scene.palette, ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red);
}

// The levels of a block of cells, one pixel each; -1 where nothing may be attended to.
function levels(scene: Scene, rows: [number, number], columns: [number, number]): Int16Array {
  const { plane, state, layer } = scene;
  const width = columns[1] - columns[0];
  const found = new Int16Array((rows[1] - rows[0]) * width);
  const { values, allowed } = plane;
  const signed = layer.meta.signed;
  const root = state.scale === "root";
  for (let q = rows[0], at = 0; q < rows[1]; q++) {
    const reference = scene.reference(q);
    const factor = reference > 0 ? 1 / reference : 0;
    for (let i = q * plane.columns + columns[0]; i < q * plane.columns + columns[1]; i++, at++) {
      if (allowed && !allowed[i]) {
        found[at] = -1;
        continue;
      }
      const size = Math.min(1, Math.abs(values[i]) * factor);
      const part = root ? Math.sqrt(size) : size;
      if (signed) found[at] = values[i] < 0 ? 127.5 - 127.5 * part : 127.5 + 127.5 * part;
      else found[at] = values[i] < 0 ? 0 : 255 * part + 0.5;
    }
  }
  return found;
}

// Levels of rows × columns pixels, each the strongest of its cells.
function reduced(from: Int16Array, width: number, height: number, columns: number, rows: number, signed: boolean): Int16Array {
  const found = new Int16Array(rows * columns).fill(-1);
  const column = Int32Array.from({ length: width }, (_, x) => Math.min(columns - 1, Math.floor((x * columns) / width)));
  const strength = (one: number) => (one < 0 ? -1 : signed ? Math.abs(one - 127.5) : one);
  for (let y = 0, i = 0; y < height; y++) {
    const base = Math.min(rows - 1, Math.floor((y * rows) / height)) * columns;
    for (let x = 0; x < width; x++, i++) {
      const at = base + column[x];
      if (signed ? strength(from[i]) > strength(found[at]) : from[i] > found[at]) found[at] = from[i];
    }
  }
  return found;
}

// Draws the part of the map that a window shows, with cells of `size` CSS pixels, on a context of `fine` pixels each.
export function drawCells(context: CanvasRenderingContext2D, scene: Scene, size: number, view: Window, fine: number): void {
  const { plane } = scene;
  const first = { q: Math.floor(view.top / size), k: Math.floor(view.left / size) };
  const last = {
    q: Math.min(plane.rows, Math.ceil((view.top + view.height) / size)),
    k: Math.min(plane.columns, Math.ceil((view.left + view.width) / size)),
  };
  let [height, width] = [last.q - first.q, last.k - first.k];
  if (height <= 0 || width <= 0) return;
  let found = levels(scene, [first.q, last.q], [first.k, last.k]);
  const extent = { width: width * size, height: height * size };
  if (size * fine < 1) {
    const columns = Math.max(1, Math.ceil(extent.width * fine));
    const rows = Math.max(1, Math.ceil(extent.height * fine));
    found = reduced(found, width, height, columns, rows, scene.layer.meta.signed);
    [height, width] = [rows, columns];
  }
  const colour = pixels(scene);
  const image = new ImageData(width, height);
  const into = new Uint32Array(image.data.buffer);
  for (let i = 0; i < found.length; i++) into[i] = found[i] < 0 ? 0 : colour[found[i]];
  if (small.width !== width || small.height !== height) [small.width, small.height] = [width, height];
  smallContext.putImageData(image, 0, 0);
  context.setTransform(fine, 0, 0, fine, 0, 0);
  context.imageSmoothingEnabled = false;
  const at: [number, number, number, number] = [
    first.k * size - view.left,
    first.q * size - view.top,
    extent.width,
    extent.height,
  ];
  if (plane.allowed) {
    context.fillStyle = hatching(context);
    context.fillRect(...at);
  }
  context.drawImage(small, ...at);
}
