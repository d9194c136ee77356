// Files of what is shown: SVG and PNG of the view with its title and colour bar, CSV of its numbers.
import { draw, fitted } from "./dom";
import { legend } from "./legend";
import type { Scene } from "./scene";

export interface Drawing {
  content: SVGElement;
  width: number;
  height: number;
}

const PAD = 12;

export function offer(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// One picture that can stand alone: variables of the page are resolved.
export function picture(scene: Scene, drawing: Drawing, title: string): { text: string; width: number; height: number } {
  const style = getComputedStyle(document.documentElement);
  const body = getComputedStyle(document.body);
  const bar = legend(scene).svg;
  const top = PAD + 22;
  const width = Math.max(drawing.width, 330) + 2 * PAD;
  const height = drawing.height + top + 56 + PAD;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": body.fontFamily, "font-size": 13 });
  draw("title", {}, title, svg);
  draw("rect", { width, height, fill: style.getPropertyValue("--paper") }, null, svg);
  draw("text", { x: PAD, y: PAD + 10, fill: body.color }, fitted(title, width - 2 * PAD).text.replaceAll("\u2423", " "), svg);
  const main = draw("g", { transform: `translate(${PAD} ${top})`, fill: body.color, class: "lines" }, null, svg);
  main.append(drawing.content);
  const below = draw("g", { transform: `translate(${PAD} ${top + drawing.height + 8})`, fill: body.color, "font-size": 11 }, null, svg);
  below.append(...Array.from(bar.children));
  for (const path of svg.querySelectorAll("path")) path.style.fill = "none";
  for (const path of svg.querySelectorAll<SVGPathElement>("path.gold")) path.style.stroke = style.getPropertyValue("--cursor");
  return { text: resolved(svg), width, height };
}

// The text of a picture, without variables of the page.
export function resolved(svg: SVGElement): string {
  const style = getComputedStyle(document.documentElement);
  return new XMLSerializer()
    .serializeToString(svg)
    .replace(/var\((--[a-z0-9-]+)\)/g, (_, name: string) => style.getPropertyValue(name).trim());
}

export function saveSvg(scene: Scene, drawing: Drawing, title: string, name: string): void {
  offer(new Blob([picture(scene, drawing, title).text], { type: "image/svg+xml" }), `${name}.svg`);
}

export function savePng(scene: Scene, drawing: Drawing, title: string, name: string): void {
  const { text, width, height } = picture(scene, drawing, title);
  rasterize(text, width, height, name);
}

export function rasterize(text: string, width: number, height: number, name: string): void {
  const image = new Image();
  image.addEventListener("load", () => {
    const canvas = document.createElement("canvas");
    // Twice as fine, as far as browsers can draw it.
    const fine = Math.min(2, 12_000 / Math.max(width, height));
    [canvas.width, canvas.height] = [width * fine, height * fine];
    (canvas.getContext("2d") as CanvasRenderingContext2D).drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && offer(blob, `${name}.png`));
  });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

export const cell = (text: string): string => `"${text.replace(/"/g, '""')}"`;

// A row for each query; masked cells are empty.
export function csv(scene: Scene): string {
  const lines = [["", ...scene.keys.map(cell)].join(",")];
  scene.queries.forEach((token, query) => {
    const row = scene.keys.map((_, key) => (scene.may(query, key) ? String(Number(scene.weight(query, key).toPrecision(6))) : ""));
    lines.push([cell(token), ...row].join(","));
  });
  return `${lines.join("\r\n")}\r\n`;
}

export function saveCsv(scene: Scene, name: string): void {
  offer(new Blob(["\ufeff", csv(scene)], { type: "text/csv" }), `${name}.csv`);
}
