// Layers × heads: a small map of each, to choose from.
import { css, colours, level } from "./colour";
import type { Head, Layer } from "./data";
import { clamp, make } from "./dom";
import { hatching } from "./hatch";
import type { State } from "./state";

const MOST = 48; // cells of a small map each way

export class Grid {
  readonly box = make("div", { class: "wide" });
  private buttons = new Map<string, HTMLButtonElement>();
  private side = 64;

  constructor(private readonly choose: (layer: number, head: Head) => void) {
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  // Lays out the buttons; the maps come as the layers are unpacked.
  lay(layers: Layer[], room: number): void {
    const heads = Math.max(...layers.map((layer) => layer.meta.heads));
    const columns = heads > 1 ? heads + 1 : 1;
    this.side = clamp(18, Math.floor((room - 52) / columns) - 11, 96);
    this.buttons.clear();
    this.box.replaceChildren();
    this.box.hidden = layers.length * heads < 2;
    if (this.box.hidden) return;
    const grid = make("div", { class: "overview", role: "group", "aria-label": "layers and heads; the arrow keys move" }, null, this.box);
    grid.style.gridTemplateColumns = `repeat(${columns + 1}, max-content)`;
    make("span", {}, "", grid);
    const names: Head[] = heads > 1 ? ["mean", ...Array.from({ length: heads }, (_, head) => head)] : [0];
    for (const head of names) make("span", {}, head === "mean" ? "mean" : `${this.side < 40 ? "" : "head "}${head + 1}`, grid);
    layers.forEach((layer, index) => {
      make("span", {}, `${this.side < 40 ? "" : "layer "}${layer.meta.layer + 1}`, grid);
      for (const head of names) {
        if (typeof head === "number" && head >= layer.meta.heads) {
          make("span", {}, null, grid);
          continue;
        }
        const name = `layer ${layer.meta.layer + 1}, ${head === "mean" ? "mean over heads" : `head ${head + 1}`}`;
        const button = make("button", { type: "button", "aria-label": name, title: name, tabindex: -1 }, null, grid);
        const shape = this.shape(layer);
        make("canvas", { width: shape.columns, height: shape.rows }, null, button).style.cssText = `width:${shape.width}px;height:${shape.height}px`;
        button.addEventListener("click", () => this.choose(index, head));
        this.buttons.set(`${index} ${head}`, button);
      }
    });
  }

  private shape(layer: Layer): { rows: number; columns: number; width: number; height: number } {
    const [rows, columns] = [layer.queries.length, layer.keys.length];
    const unit = this.side / Math.max(rows, columns);
    return {
      rows: Math.min(rows, MOST),
      columns: Math.min(columns, MOST),
      width: Math.max(6, columns * unit),
      height: Math.max(6, rows * unit),
    };
  }

  paint(index: number, layer: Layer, state: State): void {
    const { rows, columns } = this.shape(layer);
    const palette = colours(state.palette, layer.meta.signed);
    for (const head of ["mean", ...Array.from({ length: layer.meta.heads }, (_, h) => h)] as Head[]) {
      const button = this.buttons.get(`${index} ${head}`);
      if (!button) continue;
      const { values, allowed } = layer.thumbnail(head, rows, columns);
      const canvas = button.firstElementChild as HTMLCanvasElement;
      const context = canvas.getContext("2d") as CanvasRenderingContext2D;
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const image = new ImageData(columns, rows);
      for (let i = 0; i < values.length; i++) {
        const row = Math.floor(i / columns) * columns;
        const most = state.scale === "row" ? values.subarray(row, row + columns).reduce((m, v) => Math.max(m, Math.abs(v)), 0) : largest;
        const reference = state.scale === "root" || state.scale === "linear" ? layer.meta.top : most;
        const colour = palette[level(values[i], state.scale, reference, layer.meta.signed)];
        image.data.set([...colour, allowed[i] ? 255 : 0], 4 * i);
      }
      const small = document.createElement("canvas");
      [small.width, small.height] = [columns, rows];
      (small.getContext("2d") as CanvasRenderingContext2D).putImageData(image, 0, 0);
      context.fillStyle = hatching(context);
      context.fillRect(0, 0, columns, rows);
      context.drawImage(small, 0, 0);
      canvas.style.outlineColor = css(palette[128]);
    }
  }

  mark(layer: number, head: Head): void {
    for (const [name, button] of this.buttons) {
      const chosen = name === `${layer} ${head}` || (name === `${layer} 0` && !this.buttons.has(`${layer} ${head}`));
      button.setAttribute("aria-pressed", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }

  private key(event: KeyboardEvent): void {
    const steps: { [name: string]: [number, number] } = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    const from = Array.from(this.buttons).find(([, button]) => button === document.activeElement);
    if (!step || !from) return;
    event.preventDefault();
    const [layer, head] = from[0].split(" ");
    const column = head === "mean" ? -1 : Number(head);
    const to = column + step[1];
    const next = this.buttons.get(`${Number(layer) + step[0]} ${to < 0 ? "mean" : to}`);
    if (next) {
      next.focus();
      next.click();
    }
  }
}
