// The weights over a recording: its wave form, the spectrogram shaded where they are small, and they themselves.
import { draw, fitted } from "./dom";
import type { Shares } from "./drawing";
import type { Drawing } from "./save";

export interface RecordingDrawing {
  type: "recording";
  title: string;
  seconds: number;
  edges: number[]; // seconds between the positions of the model
  frames: [number, number]; // where the picture begins and ends
  href: string;
  low: number; // Hz
  high: number;
  wave: [number, number][]; // lowest and highest sample of each column, of 100
}

const [WAVE, BANDS, WEIGHTS] = [
  [4, 56],
  [68, 168],
  [246, 60],
]; // top and height
const BASE = 324;
const SHADE = 0.8; // over a position of weight 0; the largest weight has none

export function recording(data: RecordingDrawing, shares: Shares, room: number): Drawing & { content: SVGSVGElement } {
  const width = Math.round(Math.min(room, 760));
  const height = BASE + 10;
  const svg = draw("svg", { class: "drawing", width, height, viewBox: `0 0 ${width} ${height}` });
  const [left, right] = [8, 8];
  const x = (second: number) => Number((left + ((width - left - right) * second) / data.seconds).toFixed(2));
  data.wave.forEach(([low, high], i) => {
    const at = x((data.seconds * (i + 0.5)) / data.wave.length);
    const [top, size] = WAVE;
    const y = (end: number) => top + (size / 2) * (1 - end / 100);
    draw("line", { x1: at, x2: at, y1: y(high) - 0.5, y2: y(low) + 0.5, stroke: "var(--soft)", "stroke-width": Math.max(1, width / data.wave.length - 0.5) }, null, svg);
  });
  const [begin, end] = data.frames;
  const [top, size] = BANDS;
  draw("image", { x: x(begin), y: top, width: x(end) - x(begin), height: size, preserveAspectRatio: "none", href: data.href }, null, svg);
  const share = (i: number) => (shares.largest ? Math.abs(shares.nodes[i]) / shares.largest : 0);
  const shade = (from: number, to: number, part: number, i: number | null) => {
    if (x(to) <= x(from)) return;
    const attributes = { x: x(from), y: top, width: x(to) - x(from), height: size, fill: "var(--paper)", "fill-opacity": (SHADE * (1 - part)).toFixed(2), class: "shade" };
    const rect = draw("rect", i === null ? attributes : { ...attributes, "data-key": i }, null, svg);
    if (i !== null) draw("title", {}, shares.say(shares.scene.keys[i], shares.nodes[i]), rect);
  };
  // What trimming cut off has no position: nothing can look there.
  shade(begin, data.edges[0], 0, null);
  shares.nodes.forEach((_, i) => shade(data.edges[i], data.edges[i + 1], share(i), i));
  shade(data.edges[data.edges.length - 1], end, 0, null);
  const [base, high] = [WEIGHTS[0] + WEIGHTS[1], WEIGHTS[1]];
  const outline = [`${x(data.edges[0])},${base}`];
  shares.nodes.forEach((_, i) => {
    const y = (base - high * share(i)).toFixed(1);
    outline.push(`${x(data.edges[i])},${y}`, `${x(data.edges[i + 1])},${y}`);
  });
  outline.push(`${x(data.edges[data.edges.length - 1])},${base}`);
  draw("polygon", { points: outline.join(" "), fill: "var(--curve-1)" }, null, svg);
  labels(svg, data, width, x);
  return { content: svg, width, height };
}

// Frequencies stand on the picture, seconds below it, the outermost within the drawing.
function labels(svg: SVGElement, data: RecordingDrawing, width: number, x: (second: number) => number): void {
  const ink = getComputedStyle(document.body).color;
  const halo = "stroke:var(--paper);stroke-width:3px;paint-order:stroke";
  const text = (at: number, y: number, words: string, anchor: string) => draw("text", { x: at, y, "font-size": 12, fill: ink, "text-anchor": anchor, style: halo }, words, svg);
  text(12, BANDS[0] + 14, `${Math.round(data.high).toLocaleString("en")} Hz`, "start");
  text(12, BANDS[0] + BANDS[1] - 5, `${Math.round(data.low).toLocaleString("en")} Hz`, "start");
  const rough = data.seconds / Math.max(2, width / 75);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) as number) * power;
  for (let tick = 0; tick <= data.seconds * (1 + 1e-9); tick += step) {
    const words = `${Number(tick.toPrecision(6))} s`;
    const half = fitted(words, 90, 12).width / 2;
    text(Math.max(half + 1, Math.min(x(tick), width - half - 1)), BASE + 2, words, "middle");
  }
}
