// Files of what stands in tables, such as gates: CSV of their cells; SVG and PNG as they look.
import { draw, fitted, make } from "./dom";
import { cell, offer, rasterize, resolved } from "./save";

const PAD = 12;

// Buttons that save the tables which `host` has when they are pressed.
export function tableButtons(parent: HTMLElement, host: HTMLElement, what: string): void {
  const group = make("div", { class: "buttons", role: "group", "aria-label": `files of the ${what}` }, null, parent);
  const name = what.replace(/[^a-z0-9]+/gi, "-");
  const button = (text: string, act: () => void) =>
    make("button", { type: "button", "aria-label": `save the ${what} as ${text}` }, text, group).addEventListener("click", act);
  button("PNG", () => {
    const { text, width, height } = picture(host);
    rasterize(text, width, height, name);
  });
  button("SVG", () => offer(new Blob([picture(host).text], { type: "image/svg+xml" }), `${name}.svg`));
  button("CSV", () => offer(new Blob(["\ufeff", csv(host)], { type: "text/csv" }), `${name}.csv`));
}

const tables = (host: HTMLElement): HTMLTableElement[] => Array.from(host.querySelectorAll("table"));

// A table after the other, each below its caption; what a cell shows shortened is written whole where it has it.
function csv(host: HTMLElement): string {
  const lines = tables(host).flatMap((table) => {
    const caption = table.caption ? [cell(table.caption.textContent ?? "")] : [];
    const rows = Array.from(table.rows, (row) => Array.from(row.cells, (each) => cell(each.dataset.value ?? each.textContent ?? "")).join(","));
    return [...caption, ...rows, ""];
  });
  return `${lines.join("\r\n")}`;
}

function picture(host: HTMLElement): { text: string; width: number; height: number } {
  const body = getComputedStyle(document.body);
  const all = tables(host);
  // A caption stands on one line there.
  const captions = all.map((table) => fitted(table.caption?.textContent ?? "", Infinity).width);
  const width = Math.ceil(Math.max(...all.map((table) => table.scrollWidth), ...captions)) + 2 * PAD;
  const height = Math.ceil(all.reduce((sum, table) => sum + table.offsetHeight + PAD, PAD));
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": body.fontFamily });
  draw("rect", { width, height, fill: "var(--paper)" }, null, svg);
  let top = PAD;
  for (const table of all) {
    const origin = table.getBoundingClientRect();
    for (const each of table.querySelectorAll<HTMLElement>("caption, th, td")) {
      const box = each.getBoundingClientRect();
      const [x, y] = [box.left - origin.left + PAD, box.top - origin.top + top];
      const style = getComputedStyle(each);
      draw("rect", { x, y, width: box.width, height: box.height, fill: style.backgroundColor }, null, svg);
      const isCentred = style.textAlign === "center";
      const at = isCentred ? x + box.width / 2 : x + parseFloat(style.paddingLeft);
      const attributes = { x: at, y: y + box.height / 2, fill: style.color, "font-size": style.fontSize, "font-weight": style.fontWeight, "dominant-baseline": "central" };
      draw("text", { ...attributes, "text-anchor": isCentred ? "middle" : "start" }, each.textContent, svg);
    }
    top += table.offsetHeight + PAD;
  }
  return { text: resolved(svg), width, height };
}
