// The matrix: Canvas cells and SVG labels of what is in sight, whatever the length of the input.
import { css, inkOn } from "./colour";
import { drawCells } from "./cells";
import { clamp, draw, fitted, make, visible } from "./dom";
import type { Scene } from "./scene";

const LEAST_LABELLED = 11; // pixels of a row with a label
const MOST = 44;

interface Labels {
  rows: number; // pixels
  columns: number;
  angle: number; // of the column labels, in degrees
}

export class HeatMap {
  readonly box = make("div", { class: "map" });
  private readonly corner = make("div", { class: "corner" }, null, this.box);
  private readonly columns = draw("svg", { class: "columns", "aria-hidden": "true" }, null, this.box);
  private readonly rows = draw("svg", { class: "rows", "aria-hidden": "true" }, null, this.box);
  private readonly canvas = make("canvas", { "aria-hidden": "true" }, null, this.box);
  private readonly cursor = make("div", { class: "cursor", hidden: "" }, null, this.box);
  private readonly pan = make("div", { class: "cells", tabindex: 0 }, null, this.box);
  private readonly space = make("div", {}, null, this.pan);
  private scene: Scene | null = null;
  size = 16;
  fit = 16;
  private labels: Labels = { rows: 0, columns: 0, angle: 0 };

  constructor(
    private readonly choose: (query: number, key: number) => void,
    private readonly hover: (at: [number, number] | null, event: PointerEvent | null) => void,
  ) {
    make("span", {}, "looked at \u2192", this.corner);
    make("span", {}, "from \u2193", this.corner);
    this.pan.addEventListener("scroll", () => this.paint());
    this.pan.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") this.hover(this.at(event), event);
    });
    this.pan.addEventListener("pointerleave", () => this.hover(null, null));
    this.pan.addEventListener("click", (event) => {
      const at = this.at(event);
      if (at) this.choose(...at);
    });
    this.pan.addEventListener("keydown", (event) => this.key(event));
  }

  private at(event: MouseEvent): [number, number] | null {
    if (!this.scene) return null;
    const box = this.pan.getBoundingClientRect();
    const query = Math.floor((event.clientY - box.top + this.pan.scrollTop) / this.size);
    const key = Math.floor((event.clientX - box.left + this.pan.scrollLeft) / this.size);
    const { rows, columns } = this.scene.plane;
    return query >= 0 && key >= 0 && query < rows && key < columns ? [query, key] : null;
  }

  private key(event: KeyboardEvent): void {
    const steps: { [name: string]: [number, number] } = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: [0, -Infinity],
      End: [0, Infinity],
    };
    const step = steps[event.key];
    if (!this.scene || !step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { query, key } = this.scene.state;
    const { rows, columns } = this.scene.plane;
    const none = query === null || key === null;
    const to: [number, number] = none
      ? [0, 0]
      : [clamp(0, query + step[0], rows - 1), clamp(0, key + step[1], columns - 1)];
    this.choose(...to);
    this.reveal(...to);
  }

  // Scrolls a cell into sight.
  reveal(query: number, key: number): void {
    const shift = (at: number, start: number, extent: number) =>
      at < start ? at : at + this.size > start + extent ? at + this.size - extent : start;
    this.pan.scrollTo(
      shift(key * this.size, this.pan.scrollLeft, this.pan.clientWidth),
      shift(query * this.size, this.pan.scrollTop, this.pan.clientHeight),
    );
  }

  show(scene: Scene, room: number, tall: number): void {
    this.scene = scene;
    const { rows, columns } = scene.plane;
    this.measure(scene, room, tall);
    const { size, labels } = this;
    const bar = 14; // of a scroll bar
    const width = Math.min(columns * size, room - labels.rows);
    const height = Math.min(rows * size, tall);
    const [across, down] = [columns * size > width + 1, rows * size > height + 1];
    this.pan.setAttribute(
      "aria-label",
      `${scene.layer.meta.measure}: ${rows} rows, ${columns} columns. The arrow keys move from cell to cell; the ` +
        "numbers are in the table below.",
    );
    this.pan.setAttribute("role", "application");
    const place = (node: HTMLElement | SVGElement, left: number, top: number, wide: number, high: number) => {
      node.style.cssText = `left:${left}px;top:${top}px;width:${wide}px;height:${high}px`;
    };
    const over = this.overhang(scene, width);
    place(this.box, 0, 0, labels.rows + width + Math.max(over, down ? bar : 0), labels.columns + height + (across ? bar : 0));
    place(this.pan, labels.rows, labels.columns, width + (down ? bar : 0), height + (across ? bar : 0));
    place(this.canvas, labels.rows, labels.columns, width, height);
    place(this.columns, labels.rows, 0, width + over, labels.columns);
    place(this.rows, 0, labels.columns, labels.rows, height);
    place(this.corner, 0, 0, labels.rows, labels.columns);
    this.corner.hidden = labels.rows < 60;
    this.space.style.cssText = `width:${columns * size}px;height:${rows * size}px`;
    this.paint();
  }

  // Chooses the size of a cell and the room of the labels.
  private measure(scene: Scene, room: number, tall: number): void {
    const { rows, columns } = scene.plane;
    const widest = (tokens: string[], most: number) =>
      tokens.length > 300 ? most : Math.max(...tokens.map((token) => fitted(token, most).width));
    const most = room < 500 ? 88 : 180;
    const left = Math.max(64, Math.ceil(widest(scene.queries, most)) + 12);
    const across = Math.ceil(widest(scene.keys, most));
    const roomy = (room - left - 0.6 * across - 8) / columns;
    // A map whose cells are too small for labels takes the room of the labels too.
    this.fit = roomy >= LEAST_LABELLED ? Math.floor(roomy) : Math.min((room - 4) / columns, Math.max(tall / rows, 1.5));
    this.size = scene.state.size || clamp(0.05, this.fit, rows > 24 ? 22 : MOST);
    const named = this.size >= LEAST_LABELLED;
    const upright = across < this.size - 2;
    const angle = upright ? 0 : this.size < 24 ? -70 : -55;
    this.labels = named
      ? { rows: left, columns: Math.ceil(Math.max(4, across * Math.sin((-angle * Math.PI) / 180)) + 20), angle }
      : { rows: 0, columns: 0, angle: 0 };
  }

  private overhang(scene: Scene, width: number): number {
    const { angle } = this.labels;
    if (!angle || scene.keys.length > 300) return 0;
    const cosine = Math.cos((angle * Math.PI) / 180);
    const ends = scene.keys.map((token, key) => (key + 0.5) * this.size + fitted(token, 170).width * cosine + 10);
    return Math.min(120, Math.max(0, Math.max(...ends) - width));
  }

  private paint(): void {
    const { scene, size } = this;
    if (!scene) return;
    const fine = window.devicePixelRatio || 1;
    const [width, height] = [parseFloat(this.canvas.style.width), parseFloat(this.canvas.style.height)];
    const view = { left: this.pan.scrollLeft, top: this.pan.scrollTop, width, height };
    const [across, down] = [Math.ceil(width * fine), Math.ceil(height * fine)];
    // A canvas that keeps its size is cleared faster than a new one is made.
    if (this.canvas.width !== across || this.canvas.height !== down) [this.canvas.width, this.canvas.height] = [across, down];
    const context = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    drawCells(context, scene, size, view, fine);
    if (size >= 34) this.numbers(context, scene, view);
    if (scene.gold && size >= 3) this.goldMarks(context, scene, view);
    this.text(scene, view);
    this.mark(scene.state.query, scene.state.key);
  }

  private numbers(context: CanvasRenderingContext2D, scene: Scene, view: { left: number; top: number; width: number; height: number }): void {
    const { size } = this;
    context.font = `10.5px ${getComputedStyle(document.body).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let q = Math.floor(view.top / size); q < Math.min(scene.plane.rows, (view.top + view.height) / size); q++) {
      for (let k = Math.floor(view.left / size); k < Math.min(scene.plane.columns, (view.left + view.width) / size); k++) {
        const weight = scene.weight(q, k);
        if (!scene.may(q, k) || Math.abs(weight) < 0.005) continue;
        context.fillStyle = inkOn(scene.colour(q, k));
        context.fillText(weight.toFixed(2), (k + 0.5) * size - view.left, (q + 0.5) * size - view.top);
      }
    }
  }

  // Sure links are framed, possible ones dashed.
  private goldMarks(context: CanvasRenderingContext2D, scene: Scene, view: { left: number; top: number }): void {
    const { size } = this;
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--cursor");
    context.lineWidth = Math.max(1, Math.min(2, size / 10));
    for (const [links, dash] of [
      [scene.gold!.possible, [3, 2]],
      [scene.gold!.sure, []],
    ] as const) {
      context.setLineDash([...dash]);
      for (const [query, key] of links) {
        context.strokeRect(key * size - view.left + 2, query * size - view.top + 2, size - 4, size - 4);
      }
    }
    context.setLineDash([]);
  }

  private text(scene: Scene, view: { left: number; top: number; width: number; height: number }): void {
    this.rows.replaceChildren();
    this.columns.replaceChildren();
    const { size, labels } = this;
    if (!labels.rows) return;
    const font = Math.min(13, Math.max(9, size - 2));
    const { query, key } = scene.state;
    for (let q = Math.floor(view.top / size); q < Math.min(scene.plane.rows, (view.top + view.height) / size); q++) {
      const fit = fitted(scene.queries[q], labels.rows - 10, font);
      this.label(this.rows, fit.text, scene.queries[q], q === query, font, {
        x: labels.rows - 8,
        y: (q + 0.5) * size - view.top,
        "text-anchor": "end",
        "dominant-baseline": "central",
      });
    }
    const most = labels.angle ? (labels.columns - 18) / Math.sin((-labels.angle * Math.PI) / 180) : size - 2;
    for (let k = Math.floor(view.left / size); k < Math.min(scene.plane.columns, (view.left + view.width) / size); k++) {
      const x = (k + 0.5) * size - view.left + (labels.angle ? 4 : 0);
      const y = labels.columns - 7;
      const fit = fitted(scene.keys[k], Math.max(most, size), font);
      this.label(this.columns, fit.text, scene.keys[k], k === key, font, {
        x,
        y,
        ...(labels.angle ? { transform: `rotate(${labels.angle} ${x} ${y})` } : { "text-anchor": "middle" }),
      });
    }
  }

  private label(parent: SVGElement, text: string, token: string, here: boolean, font: number, attributes: { [name: string]: string | number }): void {
    const node = draw("text", { ...attributes, style: `font-size:${font}px` }, text, parent);
    if (here) node.classList.add("here");
    draw("title", {}, visible(token.slice(0, 400)), node);
  }

  // Frames the selected cell; very small cells get a frame that can still be seen.
  private mark(query: number | null, key: number | null): void {
    this.cursor.hidden = query === null || key === null;
    if (query === null || key === null) return;
    const side = Math.max(this.size, 7);
    const shift = (side - this.size) / 2;
    const left = key * this.size - this.pan.scrollLeft - shift;
    const top = query * this.size - this.pan.scrollTop - shift;
    const inside = left > -side && top > -side && left < this.pan.clientWidth && top < this.pan.clientHeight;
    this.cursor.hidden = !inside;
    this.cursor.style.cssText =
      `left:${this.labels.rows + left}px;top:${this.labels.columns + top}px;width:${side}px;height:${side}px`;
  }

  // What the map shows now as SVG: cells as an image, labels as text.
  svg(scene: Scene): { content: SVGElement; width: number; height: number } {
    const { labels } = this;
    const group = draw("g");
    const [width, height] = [parseFloat(this.canvas.style.width), parseFloat(this.canvas.style.height)];
    const ink = getComputedStyle(document.body).color;
    const columns = draw("g", { transform: `translate(${labels.rows} 0)`, style: `fill:${ink}` }, null, group);
    const rows = draw("g", { transform: `translate(0 ${labels.columns})`, style: `fill:${ink}` }, null, group);
    columns.append(...Array.from(this.columns.children, (node) => node.cloneNode(true)));
    rows.append(...Array.from(this.rows.children, (node) => node.cloneNode(true)));
    const image = draw("image", { x: labels.rows, y: labels.columns, width, height, href: this.canvas.toDataURL() }, null, group);
    image.style.imageRendering = "pixelated";
    const frame = css(scene.palette[128]);
    draw("rect", { x: labels.rows, y: labels.columns, width, height, fill: "none", stroke: frame }, null, group);
    return { content: group, width: parseFloat(this.box.style.width), height: parseFloat(this.box.style.height) };
  }
}
