// The weights on what the input looks like: a graph or molecule, an image, a recording.
import { css, inkOn, level, type RGB } from "./colour";
import type { Layer } from "./data";
import { draw, fitted, quoted, visible } from "./dom";
import { recording, type RecordingDrawing } from "./recording";
import type { Drawing } from "./save";
import type { Scene } from "./scene";

export interface GraphDrawing {
  type: "graph";
  title: string; // "graph" or "molecule"
  names: string[]; // of the nodes
  labels: string[] | null; // of atoms: what stands at their places, nothing for carbon
  places: [number, number][]; // from 0 to 1
  pairs: [number, number][]; // source and target
  orders: number[] | null; // of bonds
  distance: number[] | null; // of each node to the first, whose neighbourhood it is
  layers: number;
}

export interface ImageDrawing {
  type: "image";
  title: string;
  href: string;
  ratio: number; // width by height
  frames: number; // side by side
  rows: number;
  columns: number;
  prefix: number; // positions before the cells, such as a class
  boxes: [number, number, number, number][]; // left, top, width, height as shares
}

export type InputDrawing = GraphDrawing | ImageDrawing | RecordingDrawing;

type Choose = (query: number | null, key: number | null, by: "query" | "key") => void;

// The key of each node, or of each cell; null where a layer is over something else.
export function keysOf(data: InputDrawing, layer: Layer): number[] | null {
  if (data.type === "image") {
    const cells = data.frames * data.rows * data.columns;
    return layer.keys.length === cells + data.prefix ? Array.from({ length: cells }, (_, i) => i + data.prefix) : null;
  }
  if (data.type === "recording") return layer.keys.length === data.edges.length - 1 ? layer.keys.map((_, i) => i) : null;
  const { names } = data;
  if (names.length === layer.keys.length && names.every((name, i) => name === layer.keys[i])) return names.map((_, i) => i);
  // A ranking of neighbours has some of them, largest first.
  const place = new Map(layer.keys.map((key, i): [string, number] => [key, i]));
  const known = new Set(names);
  if (known.size < names.length || !layer.keys.some((key) => known.has(key))) return null;
  return names.map((name) => place.get(name) ?? -1);
}

// What the drawing shows: the weight of each position, of the selected row or the mean over rows, and of each edge.
export class Shares {
  readonly isSquare: boolean;
  readonly row: number | null;
  readonly largest: number;
  readonly nodes: number[];
  readonly edges: number[];

  constructor(
    readonly scene: Scene,
    data: InputDrawing,
    private readonly keys: number[],
  ) {
    const { queries, state } = scene;
    this.isSquare = queries.length === scene.keys.length && queries.every((token, i) => token === scene.keys[i]);
    this.row = queries.length === 1 ? 0 : state.by === "query" ? state.query : null;
    const around = data.type === "graph" && data.distance !== null && this.isSquare && this.row === null;
    // Of a neighbourhood the edges tell all: what each node gets in the mean says nothing of the one in its middle.
    this.nodes = around ? keys.map(() => 0) : keys.map((key) => this.received(key));
    this.edges = data.type === "graph" ? data.pairs.map((pair) => this.along(data, pair)) : [];
    this.largest = Math.max(0, ...this.nodes.map(Math.abs), ...this.edges.map(Math.abs));
  }

  private received(key: number): number {
    if (key < 0) return 0;
    if (this.row !== null) return this.scene.weight(this.row, key);
    const { rows } = this.scene.plane;
    let sum = 0;
    for (let q = 0; q < rows; q++) sum += this.scene.weight(q, key);
    return sum / rows;
  }

  private along(data: GraphDrawing, [source, target]: [number, number]): number {
    const [from, to] = [this.keys[source], this.keys[target]];
    const { scene, row } = this;
    if (!this.isSquare) return data.distance !== null && target === 0 && from >= 0 ? scene.weight(row ?? 0, from) : 0;
    if (data.distance === null) {
      if (row === null) return (scene.weight(from, to) + scene.weight(to, from)) / 2;
      return row === to ? scene.weight(to, from) : row === from ? scene.weight(from, to) : 0;
    }
    // In the last layer only the edges to the first node matter; in the one before also those to its neighbours.
    if (row !== null) return row === to ? scene.weight(to, from) : 0;
    return data.distance[target] <= data.layers - 1 - scene.layer.meta.layer ? scene.weight(to, from) : 0;
  }

  level(value: number): number {
    const { scale } = this.scene.state;
    const { top, signed } = this.scene.layer.meta;
    return level(value, scale, scale === "row" || scale === "maximum" ? this.largest : top, signed);
  }

  colour(value: number): RGB {
    return this.scene.palette[this.level(value)];
  }

  strength(value: number): number {
    const found = this.level(value);
    return this.scene.layer.meta.signed ? Math.abs(found - 127.5) / 127.5 : found / 255;
  }

  say(name: string, value: number): string {
    return `${quoted(name)}: ${Number(value.toPrecision(3))}`;
  }
}

export function drawInput(data: InputDrawing, scene: Scene, room: number, choose: Choose): Drawing & { content: SVGSVGElement; note: string } {
  const shares = new Shares(scene, data, keysOf(data, scene.layer) as number[]);
  const drawn = data.type === "graph" ? graph(data, shares, room) : data.type === "image" ? image(data, shares, room) : recording(data, shares, room);
  const { content } = drawn;
  content.setAttribute("role", "img");
  content.setAttribute("aria-label", `the weights on the ${data.title}; the numbers are in the table below`);
  content.addEventListener("click", (event) => {
    const node = (event.target as Element).closest<SVGElement>("[data-key]");
    if (!node) return;
    const key = Number(node.dataset.key);
    if (!shares.isSquare) choose(shares.row, key, "query");
    else choose(scene.state.query === key ? null : key, scene.state.key, "query");
  });
  return { ...drawn, note: note(data, shares) };
}

const WHAT: { [title: string]: string } = { image: "A cell", video: "A cell", molecule: "An atom", graph: "A node" };

function note(data: InputDrawing, { row, scene, isSquare, largest }: Shares): string {
  const what = WHAT[data.title] ?? "A position";
  if (row !== null && scene.queries.length > 1) return `What ${quoted(scene.queries[row])} looked at; choose it again for all.`;
  if (data.type === "graph" && data.distance !== null && isSquare) return "The wider an edge, the more its end looks at its start, in the layer where that reaches the node in the middle.";
  const edges = data.type === "graph" && isSquare ? "; an edge the mean of both its directions" : "";
  const scale = data.type === "graph" ? "" : `The strongest has ${Number(largest.toPrecision(2))}. `;
  if (scene.queries.length === 1) return scale;
  return `${scale}${what} has the mean of what all look at it${edges}.${isSquare ? " Choose one to see its own row." : ""}`;
}

function image(data: ImageDrawing, shares: Shares, room: number): Drawing & { content: SVGSVGElement } {
  const height = Math.round(Math.min(420, room / data.ratio));
  const width = Math.round(height * data.ratio);
  const svg = draw("svg", { class: "drawing", width, height, viewBox: `0 0 ${width} ${height}`, "shape-rendering": "crispEdges" });
  draw("image", { href: data.href, width, height, preserveAspectRatio: "none", style: "image-rendering:pixelated" }, null, svg);
  const [wide, high] = [width / (data.columns * data.frames), height / data.rows];
  const area = data.rows * data.columns;
  shares.nodes.forEach((value, i) => {
    const [frame, at] = [Math.floor(i / area), i % area];
    const x = (frame * data.columns + (at % data.columns)) * wide;
    const y = Math.floor(at / data.columns) * high;
    // One colour over any picture, the more opaque the greater the share of the largest.
    const opacity = shares.largest ? (0.85 * Math.abs(value)) / shares.largest : 0;
    const fill = value < 0 ? "#2060ff" : "#ff6000";
    const cell = draw("rect", { x, y, width: wide, height: high, fill, "fill-opacity": opacity.toFixed(3), "data-key": i + data.prefix }, null, svg);
    if (shares.isSquare && shares.row === i + data.prefix) for (const [name, line] of [["stroke", "#ffffff"], ["stroke-width", "2"]]) cell.setAttribute(name, line);
    draw("title", {}, shares.say(shares.scene.keys[i + data.prefix], value), cell);
  });
  data.boxes.forEach(([left, top, w, h], i) => {
    if (shares.row !== null && data.boxes.length === shares.scene.queries.length && shares.row !== i) return;
    const stroke = `var(--curve-${(i % 8) + 1})`;
    draw("rect", { x: left * width, y: top * height, width: w * width, height: h * height, fill: "none", stroke, "stroke-width": 2, "pointer-events": "none" }, null, svg);
  });
  return { content: svg, width, height };
}

function graph(data: GraphDrawing, shares: Shares, room: number): Drawing & { content: SVGSVGElement } {
  const pad = data.labels ? 26 : Math.min(90, room * 0.18);
  const ys = data.places.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const width = Math.round(Math.min(room, data.labels ? Math.max(240, 80 * Math.sqrt(data.names.length) + 100) : 640));
  const unit = width - 2 * pad;
  const height = Math.round((high - low) * unit + 2 * pad);
  const at = data.places.map(([x, y]): [number, number] => [pad + x * unit, height - pad - (y - low) * unit]);
  const svg = draw("svg", { class: "drawing", width, height, viewBox: `0 0 ${width} ${height}` });
  (data.labels ? bonds : edges)(svg, data, shares, at);
  const ink = getComputedStyle(document.body).color;
  at.forEach(([cx, cy], i) => {
    const group = draw("g", { "data-key": i, style: "cursor:pointer" }, null, svg);
    draw("title", {}, shares.say(data.names[i], shares.nodes[i]), group);
    const fill = shares.colour(shares.nodes[i]);
    const here = shares.isSquare && shares.row === i;
    const ring = here || (data.distance !== null && i === 0) ? "var(--cursor)" : data.labels ? "none" : "var(--soft)";
    const r = data.labels ? (data.labels[i] ? 12 : 9) : 8;
    draw("circle", { cx, cy, r, fill: css(fill), stroke: ring, "stroke-width": here ? 2.5 : 1.2 }, null, group);
    if (data.labels) draw("text", { x: cx, y: cy, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 13, fill: inkOn(fill) }, data.labels[i], group);
    else name(group, data, i, [cx, cy], ink, pad);
  });
  if (data.labels) skeleton(svg, data, at, ink);
  return { content: svg, width, height };
}

function edges(svg: SVGElement, data: GraphDrawing, shares: Shares, at: [number, number][]): void {
  const order = data.pairs.map((_, i) => i).sort((one, other) => shares.strength(shares.edges[one]) - shares.strength(shares.edges[other]));
  for (const i of order) {
    const [source, target] = data.pairs[i];
    const [[x1, y1], [x2, y2]] = [at[source], at[target]];
    const strength = shares.strength(shares.edges[i]);
    const stroke = strength > 0.02 ? css(shares.scene.palette[Math.max(shares.level(shares.edges[i]), shares.scene.layer.meta.signed ? 0 : 60)]) : "var(--line)";
    const line = draw("line", { x1, y1, x2, y2, stroke, "stroke-width": (1 + 6 * strength).toFixed(2) }, null, svg);
    draw("title", {}, `${visible(data.names[target])} \u2013 ${shares.say(data.names[source], shares.edges[i])}`, line);
  }
}

// The weights along the bonds, wide under the lines of the formula.
function bonds(svg: SVGElement, data: GraphDrawing, shares: Shares, at: [number, number][]): void {
  data.pairs.forEach(([one, other], i) => {
    if (!shares.edges[i]) return;
    const [[x1, y1], [x2, y2]] = [at[one], at[other]];
    draw("line", { x1, y1, x2, y2, stroke: css(shares.colour(shares.edges[i])), "stroke-width": 12, "stroke-linecap": "round" }, null, svg);
  });
}

function skeleton(svg: SVGElement, data: GraphDrawing, at: [number, number][], ink: string): void {
  data.pairs.forEach(([one, other], i) => {
    let [[x1, y1], [x2, y2]] = [at[one], at[other]];
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
    const gap = (node: number) => ((data.labels as string[])[node] ? 13 : 0);
    [x1, y1, x2, y2] = [x1 + dx * gap(one), y1 + dy * gap(one), x2 - dx * gap(other), y2 - dy * gap(other)];
    const order = data.orders?.[i] ?? 1;
    for (let n = 0; n < order; n++) {
      const off = (n - (order - 1) / 2) * 4;
      draw("line", { x1: x1 - dy * off, y1: y1 + dx * off, x2: x2 - dy * off, y2: y2 + dx * off, stroke: ink, "stroke-width": 1.5, "pointer-events": "none" }, null, svg);
    }
  });
}

// The name of a node on its outer side, on the outermost ring turned outwards.
function name(group: SVGElement, data: GraphDrawing, i: number, [cx, cy]: [number, number], fill: string, pad: number): void {
  const [x, y] = data.places[i];
  const angle = Math.atan2(0.5 - y, x - 0.5);
  const isLeft = Math.abs(angle) > Math.PI / 2;
  const isOuter = data.distance !== null && data.distance[i] > 0 && data.distance[i] === Math.max(...data.distance);
  const [tx, ty] = isOuter ? [cx + 12 * Math.cos(angle), cy + 12 * Math.sin(angle)] : [cx + (isLeft ? -12 : 12), cy];
  const turn = isOuter ? ((isLeft ? angle + Math.PI : angle) * 180) / Math.PI : 0;
  const attributes = { x: tx, y: ty, fill, "font-size": 11, "text-anchor": isLeft ? "end" : "start", "dominant-baseline": "central", transform: `rotate(${turn.toFixed(1)} ${tx.toFixed(1)} ${ty.toFixed(1)})` };
  draw("text", attributes, fitted(data.names[i], Math.max(40, pad - 14), 11).text, group);
}
