// One figure: its menus, and the parts that show the chosen layer and head of one example.
import { PALETTES, SCALES, isDark, onTheme, type Palette, type Scale } from "./colour";
import { Layer, type FigureData, type Head, type Sink } from "./data";
import { clamp, make, number, percent, quoted } from "./dom";
import { drawInput, keysOf } from "./drawing";
import { errorRate } from "./gold";
import { Grid } from "./grid";
import { HeatMap } from "./heatmap";
import { legend } from "./legend";
import { alignmentView, headView, linesNote } from "./lines";
import { saveCsv, savePng, saveSvg, type Drawing } from "./save";
import { Scene } from "./scene";
import { recalled, remember, type State, type View } from "./state";
import { StepByStep } from "./steps";
import { Numbers } from "./table";
import { Words } from "./words";

const VIEWS: [View, string][] = [
  ["map", "matrix"],
  ["lines", "lines (head view)"],
  ["alignment", "lines between two texts"],
  ["text", "coloured text"],
];

export class Figure {
  private readonly layers: Layer[];
  private readonly state: State;
  private readonly initial: State;
  private readonly controls = make("div", { class: "controls" });
  private readonly lead = make("div", {});
  private readonly stage = make("div", { class: "stage" });
  private readonly readout = make("div", { class: "readout", "aria-live": "polite" });
  private readonly facts = make("div", { class: "facts" });
  private readonly side = make("div", { class: "side" });
  private readonly tip = make("div", { class: "tip", hidden: "" });
  private readonly map: HeatMap;
  private readonly words: Words;
  private readonly grid: Grid;
  private readonly numbers = new Numbers();
  private readonly steps = new StepByStep();
  private drawing: () => Drawing = () => this.words.svg();
  private scene: Scene | null = null;
  private room = 0;
  private sideWidth = 0;
  private bar: { name: string; box: HTMLElement } | null = null;
  private zooms: HTMLButtonElement[] = [];

  constructor(
    private readonly host: HTMLElement,
    private readonly data: FigureData,
    private readonly name: string,
  ) {
    this.layers = data.records.map((meta) => new Layer(meta, data.tokens[meta.queries], data.tokens[meta.keys]));
    this.initial = this.start();
    this.state = recalled(name, this.initial);
    this.map = new HeatMap(
      (query, key) => this.set({ query, key, by: "query" }),
      (at, event) => this.hover(at, event),
    );
    const choose = (query: number | null, key: number | null, by: "query" | "key") => this.set({ query, key, by });
    this.words = new Words(choose);
    this.grid = new Grid((layer, head) => this.set({ layer, head }));
    this.build();
  }

  // Where a figure begins: what the page says is first, one answer as coloured text, more rows as a matrix.
  private start(): State {
    const first = this.layers[this.data.first];
    const state: State = {
      kind: first.meta.kind,
      measure: first.meta.measure,
      words: first.meta.merged,
      layer: 0,
      head: "mean",
      view: this.isDrawn(first) ? "drawing" : first.queries.length === 1 ? "text" : "map",
      scale: "root",
      palette: "blue",
      query: null,
      key: null,
      by: "query",
      sink: false,
      size: 0,
    };
    state.layer = this.same(state).indexOf(first);
    return state;
  }

  // The layers of the chosen kind and measure, of words or of sub-words.
  private same(state: State = this.state): Layer[] {
    const kind = this.layers.filter((layer) => layer.meta.kind === state.kind);
    const known = kind.length ? kind : this.layers;
    const unit = known.filter((layer) => layer.meta.merged === state.words);
    const some = unit.length ? unit : known;
    const measured = some.filter((layer) => layer.meta.measure === state.measure);
    return measured.length ? measured : some.filter((layer) => layer.meta.measure === some[0].meta.measure);
  }

  private get layer(): Layer {
    const same = this.same();
    return same[clamp(0, this.state.layer, same.length - 1)];
  }

  private get head(): Head {
    const { heads } = this.layer.meta;
    const { head } = this.state;
    return heads === 1 || head === "mean" || !Number.isInteger(head) || head >= heads ? (heads === 1 ? 0 : "mean") : head;
  }

  private isDrawn(layer: Layer): boolean {
    return Boolean(this.data.drawing && keysOf(this.data.drawing, layer));
  }

  // What the chosen view is of this layer, which may be over something else than the picture.
  private get view(): View {
    const { view } = this.state;
    if (view !== "drawing" || this.isDrawn(this.layer)) return view;
    return this.layer.queries.length === 1 ? "text" : "map";
  }

  private build(): void {
    const main = make("div", { class: "main" });
    main.append(this.stage, this.readout, this.words.box);
    const panes = make("div", { class: "panes" });
    panes.append(main, this.side);
    this.side.append(this.grid.box);
    this.host.append(this.controls, this.lead, panes, this.facts, this.steps.box, this.numbers.box);
    document.body.append(this.tip);
    new ResizeObserver(() => {
      if (Math.abs(this.host.clientWidth - this.room) < 8) return;
      this.room = this.host.clientWidth;
      requestAnimationFrame(() => this.relayout());
    }).observe(this.host);
    onTheme(() => this.relayout());
    window.addEventListener("hashchange", () => {
      Object.assign(this.state, recalled(this.name, this.initial));
      this.relayout();
    });
  }

  private async set(change: Partial<State>): Promise<void> {
    const before = { ...this.state };
    Object.assign(this.state, change);
    this.state.layer = clamp(0, this.state.layer, this.same().length - 1);
    remember(this.name, this.state, this.initial);
    const kept = before.kind === this.state.kind && before.measure === this.state.measure && before.words === this.state.words;
    if (!kept || before.view !== this.state.view) this.state.size = 0;
    if (before.kind !== this.state.kind || before.words !== this.state.words) Object.assign(this.state, { query: null, key: null });
    if (!kept || before.palette !== this.state.palette || before.scale !== this.state.scale) await this.relayout();
    else await this.redraw();
  }

  // Everything anew: of another kind, size or colours.
  async relayout(): Promise<void> {
    this.room = this.host.clientWidth || 900;
    const { room } = this;
    const same = this.same();
    this.grid.lay(same, room >= 900 ? Math.min(440, room * 0.36) : room);
    this.side.hidden = this.grid.box.hidden;
    this.host.classList.toggle("narrow", room < 600);
    this.host.classList.toggle("wide-screen", room >= 900 && !this.side.hidden);
    this.sideWidth = this.side.offsetWidth;
    await this.redraw();
    performance.mark(`${this.name} first`);
    this.host.dataset.state = "first";
    for (const [index, layer] of same.entries()) {
      await layer.load();
      if (this.same()[index] !== layer) return;
      this.grid.paint(index, layer, this.state);
    }
    performance.mark(`${this.name} all`);
    this.host.dataset.state = "all";
  }

  private async redraw(): Promise<void> {
    const { layer, state } = this;
    if (!layer.isLoaded) await layer.load();
    if (layer !== this.layer) return;
    const whole = layer.plane(this.head);
    const found = whole.sink;
    const without = this.state.sink && found ? found.key : null;
    const plane = without === null ? whole : layer.plane(this.head, without);
    this.clampSelection(plane.rows, plane.columns);
    const gold = layer.meta.kind === "cross" ? this.data.gold : null;
    const scene = new Scene(layer, this.head, plane, { ...this.state, sink: without !== null }, gold);
    this.scene = scene;
    this.menu();
    const bar = JSON.stringify([layer.meta.measure, layer.meta.top, layer.meta.signed, layer.meta.mask, state.scale, state.palette, isDark(), state.scale === "maximum" && plane.largest]);
    if (this.bar?.name !== bar) this.bar = { name: bar, box: legend(scene).box };
    const note = this.sinkNote(found, layer);
    if (note.length || this.lead.children.length !== 1 || this.lead.firstChild !== this.bar.box) this.lead.replaceChildren(this.bar.box, ...note);
    this.show(scene);
    this.words.show(scene, this.view === "text");
    this.grid.mark(this.same().indexOf(layer), this.head);
    this.numbers.show(scene);
    this.stepByStep(scene);
    this.say();
    this.describe(scene);
  }

  // The steps are those of sub-words; only of whole words is the selected query the same.
  private stepByStep(scene: Scene): void {
    const { meta } = scene.layer;
    const data = this.data.steps.find((one) => one.module_path === meta.module_path && one.kind === meta.kind && one.layer === meta.layer);
    const same = data !== undefined && this.data.tokens[data.queries].length === scene.queries.length;
    this.steps.show(data, this.data.tokens, this.head, same ? this.state.query : null);
  }

  private clampSelection(rows: number, columns: number): void {
    const { state } = this;
    if (state.query !== null) state.query = clamp(0, state.query, rows - 1);
    if (state.key !== null) state.key = clamp(0, state.key, columns - 1);
  }

  private show(scene: Scene): void {
    const room = this.stageRoom();
    const { view } = this;
    const { drawing } = this.data;
    if (view === "drawing" && drawing) {
      const choose = (query: number | null, key: number | null, by: "query" | "key") => this.set({ query, key, by });
      const drawn = drawInput(drawing, scene, room, choose);
      this.stage.replaceChildren(drawn.content);
      if (drawn.note) make("p", { class: "note" }, drawn.note, this.stage);
      this.drawing = () => ({ ...drawn, content: drawn.content.cloneNode(true) as SVGElement });
    } else if (view === "map") {
      if (this.map.box.parentNode !== this.stage) this.stage.replaceChildren(this.map.box);
      this.map.show(scene, room, Math.max(240, Math.min(window.innerHeight * 0.8, 900)));
      this.drawing = () => this.map.svg(scene);
    } else if (view === "text") {
      this.stage.replaceChildren();
      this.drawing = () => this.words.svg();
    } else {
      const choose = (query: number | null, key: number | null, by: "query" | "key") => this.set({ query, key, by });
      const svg = view === "lines" ? headView(scene, room, choose) : alignmentView(scene, choose);
      const before = this.stage.querySelector(".scroll");
      const [left, top] = before ? [before.scrollLeft, before.scrollTop] : [0, 0];
      const scroll = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "lines" });
      scroll.append(svg);
      this.stage.replaceChildren(scroll);
      scroll.scrollTo(left, top);
      linesNote(scene, this.stage);
      this.drawing = () => ({
        content: svg.cloneNode(true) as SVGElement,
        width: svg.width.baseVal.value,
        height: svg.height.baseVal.value,
      });
    }
  }

  private stageRoom(): number {
    const room = this.room || 900;
    if (this.side.hidden || room < 900) return room;
    return room - this.sideWidth - 24;
  }

  private hover(at: [number, number] | null, event: PointerEvent | null): void {
    this.tip.hidden = !at;
    if (!at || !event || !this.scene) {
      this.say();
      return;
    }
    this.readout.textContent = this.scene.say(...at);
    this.tip.textContent = this.readout.textContent;
    this.tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - this.tip.offsetWidth - 8))}px`;
    this.tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - this.tip.offsetHeight - 8)}px`;
  }

  // What is selected, in words.
  private say(): void {
    const { scene } = this;
    if (!scene) return;
    const { query, key } = this.state;
    const pair = query !== null && key !== null ? scene.say(query, key) : "";
    const row = query !== null ? scene.sayRow(query) : "";
    const hint = "Rows are the positions that look, columns those looked at. Choose a cell or a word, or move with the arrow keys.";
    this.readout.textContent = [pair, row].filter(Boolean).join("; ") || (this.view === "text" || this.view === "drawing" ? "" : hint);
  }

  private sinkNote(found: Sink | null, layer: Layer): HTMLElement[] {
    if (!found) return [];
    const place = found.key === 0 ? "the first position" : found.key === layer.keys.length - 1 ? "the last position" : `position ${found.key + 1}`;
    const note = make("p", { class: "note" }, `${percent(found.share)} of the mass is on ${place}, ${quoted(layer.keys[found.key].slice(0, 40))}. `);
    const label = make("label", { class: "toggle" }, null, note);
    const box = make("input", { type: "checkbox" }, null, label);
    box.checked = this.state.sink;
    box.addEventListener("change", async () => {
      await this.set({ sink: box.checked });
      this.lead.querySelector("input")?.focus();
    });
    label.append(" leave it out, and divide each row by what is left");
    return [note];
  }

  private describe(scene: Scene): void {
    const { meta } = scene.layer;
    const facts = [`${meta.module_path || "model"}${meta.backend ? `, computed by the ${meta.backend} backend` : ""}`];
    facts.push(meta.exact ? "weights exact (float32)" : "weights in 256 steps, \u00b1 0.004 at most; sums, largest and spread of rows exact");
    if (meta.merged) facts.push(this.data.merged_note);
    if (this.state.sink && scene.state.sink) facts.push("without the position named above, rows divided by what is left");
    const rate = errorRate(scene);
    if (rate !== null) facts.push(`alignment error rate against the gold links: ${number(rate)} (framed: sure, dashed: possible)`);
    const notes = meta.note ? [make("p", { class: "note" }, meta.note)] : [];
    this.facts.replaceChildren(make("p", { class: "note" }, `${facts.join("; ")}.`), ...notes);
  }

  // ---- menus ---------------------------------------------------------------------------------

  private menu(): void {
    const same = this.same();
    const { layer } = this;
    const many = new Set(same.map((one) => one.meta.layer)).size < same.length;
    const kinds = Object.keys(this.data.kind_names);
    const units = new Set(this.layers.filter((one) => one.meta.kind === this.state.kind).map((one) => one.meta.merged));
    const ofKind = this.layers.filter((one) => one.meta.kind === layer.meta.kind);
    const measures = Array.from(new Set(ofKind.map((one) => one.meta.measure)));
    const options: [string, [string, string][], string, (value: string) => Partial<State>][] = [
      ["Kind", kinds.map((kind) => [kind, this.data.kind_names[kind]]), layer.meta.kind, (kind) => ({ kind, layer: Infinity, head: "mean", view: this.viewOf(kind) })],
      ["Measure", measures.map((measure) => [measure, measure]), layer.meta.measure, (measure) => ({ measure, layer: this.state.layer })],
      ["Tokens", units.size > 1 ? [["true", "words"], ["false", "sub-words"]] : [], String(this.state.words), (value) => ({ words: value === "true" })],
      ["Layer", same.map((one, i) => [String(i), `layer ${one.meta.layer + 1}${many ? ` (${one.meta.module_path})` : ""}`]), String(same.indexOf(layer)), (value) => ({ layer: Number(value) })],
      ["Head", layer.meta.heads < 2 ? [] : [["mean", "mean over heads"], ...Array.from({ length: layer.meta.heads }, (_, h): [string, string] => [String(h), `head ${h + 1}`])], String(this.head), (value) => ({ head: value === "mean" ? "mean" : Number(value) })],
      ["View", this.isDrawn(layer) ? [["drawing", `on the ${this.data.drawing?.title}`], ...VIEWS] : VIEWS, this.view, (view) => ({ view: view as View })],
      ["Scale", SCALES, this.state.scale, (scale) => ({ scale: scale as Scale })],
      ["Colours", layer.meta.signed ? [] : PALETTES, this.state.palette, (palette) => ({ palette: palette as Palette })],
    ];
    const signature = JSON.stringify(options.map(([name, choices]) => [name, choices]));
    if (this.controls.dataset.made !== signature) {
      this.controls.dataset.made = signature;
      const focused = (document.activeElement as HTMLElement | null)?.dataset.menu;
      this.controls.replaceChildren();
      const more = make("details", { class: "more" });
      more.open = this.room >= 600;
      make("summary", {}, "View, colours, files", more);
      const inner = make("div", { class: "controls" }, null, more);
      for (const [name, choices, , change] of options) {
        this.select(["View", "Scale", "Colours"].includes(name) ? inner : this.controls, name, choices, change);
      }
      this.controls.append(more);
      this.buttons(inner);
      if (focused) this.controls.querySelector<HTMLElement>(`[data-menu="${focused}"]`)?.focus();
    }
    for (const [name, , value] of options) {
      const select = this.controls.querySelector<HTMLSelectElement>(`select[data-menu="${name}"]`);
      if (select) select.value = value;
    }
    for (const button of this.zooms) button.hidden = this.view !== "map";
  }

  private viewOf(kind: string): View {
    if (this.state.view === "drawing") return "drawing";
    const one = this.layers.find((layer) => layer.meta.kind === kind)?.queries.length === 1;
    return one ? "text" : this.state.view === "text" ? "map" : this.state.view;
  }

  private select(parent: HTMLElement, name: string, choices: [string, string][], change: (value: string) => Partial<State>): void {
    if (choices.length < 2) return;
    const select = make("select", { "data-menu": name }, null, make("label", {}, name, parent));
    for (const [value, text] of choices) make("option", { value }, text, select);
    select.addEventListener("change", () => this.set(change(select.value)));
  }

  private buttons(parent: HTMLElement): void {
    const zoom = make("div", { class: "buttons", role: "group", "aria-label": "size and files" }, null, parent);
    const button = (text: string, label: string, act: () => void) => {
      const made = make("button", { type: "button", title: label, "aria-label": label, "data-menu": text }, text, zoom);
      made.addEventListener("click", act);
      return made;
    };
    const scale = (factor: number) => {
      const size = factor ? clamp(1, Math.round(this.map.size * factor), 60) : 0;
      void this.set({ size }).then(() => {
        const { query, key } = this.state;
        if (query !== null && key !== null) this.map.reveal(query, key);
      });
    };
    const zooms = [
      button("\u2212", "smaller cells", () => scale(0.67)),
      button("fit", "fit: cells as large as fits", () => scale(0)),
      button("+", "larger cells", () => scale(1.5)),
    ];
    const files = this.fileName();
    button("PNG", "save the view as PNG", () => this.scene && savePng(this.scene, this.drawing(), this.title(), files));
    button("SVG", "save the view as SVG", () => this.scene && saveSvg(this.scene, this.drawing(), this.title(), files));
    button("CSV", "save the numbers as CSV", () => this.scene && saveCsv(this.scene, files));
    this.zooms = zooms;
  }

  private title(): string {
    const { layer } = this;
    const head = layer.meta.heads === 1 ? "" : this.head === "mean" ? ", mean over heads" : `, head ${Number(this.head) + 1}`;
    return `${document.title} \u2014 ${this.data.kind_names[layer.meta.kind]}, layer ${layer.meta.layer + 1}${head}`;
  }

  private fileName(): string {
    return `attention-${this.name.replace(/[^a-z0-9-]/gi, "-")}`;
  }
}
