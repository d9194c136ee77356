// The colour bar: what is measured, on which scale, and the sign of masked cells.
import { SCALE_NOTES, css } from "./colour";
import { draw, make, number } from "./dom";
import type { Scene } from "./scene";

const WIDTH = 220;

export function legend(scene: Scene): { box: HTMLElement; svg: SVGSVGElement } {
  const { scale } = scene.state;
  const { measure, signed, top } = scene.layer.meta;
  const largest = scale === "row" ? null : scale === "maximum" ? scene.plane.largest : top;
  const end = largest === null ? "the row's largest" : number(largest);
  const note = SCALE_NOTES[scale];
  const from = signed ? `\u2212${end}` : "0";
  const label = `Colour bar: ${measure} from ${from} to ${end}, ${note}; hatched cells are masked.`;
  const box = make("div", { class: "legend", role: "img", "aria-label": label });
  const svg = draw("svg", { width: WIDTH + 90, height: 46 }, null, box);
  draw("text", { x: 8, y: 11, class: "measure" }, `${measure}, ${note}`, svg);
  for (let i = 0; i < WIDTH; i++) {
    draw("rect", { x: 8 + i, y: 16, width: 1.5, height: 13, fill: css(scene.palette[Math.round((255 * i) / (WIDTH - 1))]) }, null, svg);
  }
  const ticks = signed ? [0, 0.25, 1] : scale === "root" ? [0, 0.05, 0.25, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  for (const tick of ticks) {
    const part = scale === "root" ? Math.sqrt(tick) : tick;
    const value = largest === null ? (tick === 1 ? "row's largest" : tick ? "" : "0") : number(tick * largest);
    const place = (x: number, text: string) => draw("text", { x, y: 42, "text-anchor": "middle" }, text, svg);
    place(8 + (signed ? WIDTH / 2 + (WIDTH / 2) * part : WIDTH * part), value);
    if (signed && (tick === 0.25 || tick === 1) && largest !== null) place(8 + WIDTH / 2 - (WIDTH / 2) * part, `\u2212${value}`);
  }
  if (scene.plane.allowed) {
    const key = make("span", {}, null, box);
    draw("rect", { width: 26, height: 13, fill: "url(#hatch)", stroke: "var(--line)" }, null, draw("svg", { width: 26, height: 13 }, null, key));
    key.append("masked: may not attend");
  }
  return { box, svg };
}
