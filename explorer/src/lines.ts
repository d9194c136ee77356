// Lines from each query to what it looked at: two columns (head view) or two lines of text (alignment).
import { css } from "./colour";
import { draw, fitted, make, visible } from "./dom";
import type { Scene } from "./scene";

const MOST_LINES = 1500;
const LEAST = 0.08; // strength of the weakest line that is drawn

interface Link {
  query: number;
  key: number;
  strength: number;
}

// The strongest pairs: of the selected token if one is, else of all.
function links(scene: Scene): Link[] {
  const { query, key, by } = scene.state;
  const found: Link[] = [];
  const add = (q: number, k: number) => {
    if (!scene.may(q, k)) return;
    const strength = scene.strength(q, k);
    if (strength >= LEAST) found.push({ query: q, key: k, strength });
  };
  const { rows, columns } = scene.plane;
  if (query !== null && by === "query") for (let k = 0; k < columns; k++) add(query, k);
  else if (key !== null && by === "key") for (let q = 0; q < rows; q++) add(q, key);
  else for (let q = 0; q < rows; q++) for (let k = 0; k < columns; k++) add(q, k);
  found.sort((one, other) => other.strength - one.strength);
  return found.slice(0, MOST_LINES).reverse();
}

type Choose = (query: number | null, key: number | null, by: "query" | "key") => void;

function token(parent: SVGElement, text: string, full: string, here: boolean, attributes: { [name: string]: string | number }, chosen: () => void): SVGTextElement {
  const node = draw("text", { ...attributes, class: here ? "here" : "", tabindex: -1 }, text, parent);
  draw("title", {}, visible(full.slice(0, 400)), node);
  node.addEventListener("click", chosen);
  return node;
}

export function headView(scene: Scene, room: number, choose: Choose): SVGSVGElement {
  const step = 20;
  const { queries, keys, state } = scene;
  const side = Math.min(room < 500 ? 120 : 240, (room - 80) / 2.6);
  const fits = (tokens: string[]) => tokens.map((each) => fitted(each, side));
  const [from, to] = [fits(queries), fits(keys)];
  const left = Math.max(40, ...from.map((fit) => fit.width)) + 12;
  const right = Math.max(40, ...to.map((fit) => fit.width)) + 12;
  const gap = Math.max(90, Math.min(room - left - right - 4, 340));
  const height = 24 + step * Math.max(queries.length, keys.length);
  const svg = draw("svg", { class: "lines", width: left + gap + right, height, role: "img" });
  svg.setAttribute("aria-label", "lines from each position to those it looked at; the numbers are in the table below");
  draw("text", { class: "side", x: left - 6, y: 12, "text-anchor": "end" }, "from", svg);
  draw("text", { class: "side", x: left + gap + 6, y: 12 }, "looked at", svg);
  const y = (i: number) => 24 + (i + 0.5) * step;
  for (const { query, key, strength } of links(scene)) {
    const curve = `M${left} ${y(query)}C${left + gap / 2} ${y(query)} ${left + gap / 2} ${y(key)} ${left + gap} ${y(key)}`;
    line(svg, curve, scene, query, key, strength);
  }
  gold(svg, scene, (query, key) => `M${left} ${y(query)}L${left + gap} ${y(key)}`);
  from.forEach((fit, q) => {
    const attributes = { x: left - 6, y: y(q), "text-anchor": "end", "dominant-baseline": "central" };
    const here = state.by === "query" && state.query === q;
    token(svg, fit.text, queries[q], here, attributes, () => choose(here ? null : q, state.key, "query"));
  });
  to.forEach((fit, k) => {
    const attributes = { x: left + gap + 6, y: y(k), "dominant-baseline": "central" };
    const here = state.by === "key" && state.key === k;
    token(svg, fit.text, keys[k], here, attributes, () => choose(state.query, here ? null : k, "key"));
  });
  return svg;
}

// Words as they follow each other: what is looked at above, queries below.
export function alignmentView(scene: Scene, choose: Choose): SVGSVGElement {
  const { queries, keys, state } = scene;
  const gap = 14;
  const place = (tokens: string[]) => {
    let x = 4;
    return tokens.map((each) => {
      const fit = fitted(each, 180, 15);
      const at = { x, width: fit.width, text: fit.text, middle: x + fit.width / 2 };
      x += fit.width + gap;
      return at;
    });
  };
  const [below, above] = [place(queries), place(keys)];
  const end = (row: { x: number; width: number }[]) => row[row.length - 1].x + row[row.length - 1].width + 4;
  const width = Math.max(end(below), end(above));
  const svg = draw("svg", { class: "lines alignment", width, height: 170, role: "img" });
  svg.setAttribute("aria-label", "two lines of text with lines from each word to those it looked at");
  const top = 30;
  const bottom = 140;
  for (const { query, key, strength } of links(scene)) {
    const [x, to] = [below[query].middle, above[key].middle];
    line(svg, `M${x} ${bottom - 14}C${x} ${(top + bottom) / 2} ${to} ${(top + bottom) / 2} ${to} ${top + 8}`, scene, query, key, strength);
  }
  gold(svg, scene, (query, key) => `M${below[query].middle} ${bottom - 14}L${above[key].middle} ${top + 8}`);
  above.forEach((at, k) => {
    const here = state.by === "key" && state.key === k;
    token(svg, at.text, keys[k], here, { x: at.x, y: top, style: "font-size:15px" }, () => choose(state.query, here ? null : k, "key"));
  });
  below.forEach((at, q) => {
    const here = state.by === "query" && state.query === q;
    token(svg, at.text, queries[q], here, { x: at.x, y: bottom, style: "font-size:15px" }, () => choose(here ? null : q, state.key, "query"));
  });
  return svg;
}

function line(svg: SVGElement, path: string, scene: Scene, query: number, key: number, strength: number): void {
  const signed = scene.layer.meta.signed;
  const colour = signed ? css(scene.palette[scene.weight(query, key) < 0 ? 40 : 215]) : "var(--accent)";
  const style = `stroke:${colour};stroke-opacity:${(0.1 + 0.9 * strength).toFixed(2)};stroke-width:${(0.5 + 2.5 * strength).toFixed(1)}`;
  const node = draw("path", { d: path, style }, null, svg);
  draw("title", {}, scene.say(query, key), node);
}

function gold(svg: SVGElement, scene: Scene, path: (query: number, key: number) => string): void {
  const dashed = (links: [number, number][], dash: string) => {
    for (const [query, key] of links) {
      draw("path", { d: path(query, key), class: "gold", style: `stroke-dasharray:${dash}` }, null, svg);
    }
  };
  if (scene.gold) {
    dashed(scene.gold.possible, "2 4");
    dashed(scene.gold.sure, "none");
  }
}

// A note on lines that were left out.
export function linesNote(scene: Scene, parent: HTMLElement): void {
  if (scene.plane.rows * scene.plane.columns > MOST_LINES) {
    make("p", { class: "note" }, `The ${MOST_LINES.toLocaleString("en")} strongest lines at most; choose a token to see all of its own.`, parent);
  }
}
