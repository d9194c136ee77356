// Attention step by step: the numbers of one query and head, from its products with the keys to the output.
import { maskCells, numbers } from "./data";
import { make, number, visible } from "./dom";
import { tableButtons } from "./table_files";

export interface StepsData {
  kind: string;
  layer: number;
  module_path: string;
  queries: number;
  keys: number;
  heads: number;
  score: string;
  scale: number | null;
  is_product: boolean;
  normalizer: string;
  allowed: string;
  query: string;
  key: string;
  scores: string;
  bias: string | null;
  weights: string;
  value: string;
  output: string;
}

type Arrays = { [name in "query" | "key" | "scores" | "bias" | "weights" | "value" | "output"]: Float32Array };

const MOST_ROWS = 40;
const MOST_NUMBERS = 6; // of a vector that are written

export class StepByStep {
  readonly box = make("details", { class: "steps" });
  private readonly inner = make("div", {});
  private shown: { data: StepsData; queries: string[]; keys: string[] } | null = null;
  private at = { head: 0, query: 0 };

  constructor() {
    make("summary", {}, "Step by step: where these weights come from", this.box);
    this.box.append(this.inner);
    this.box.addEventListener("toggle", () => void this.fill());
  }

  show(data: StepsData | undefined, tokens: string[][], head: number | "mean", query: number | null): void {
    this.box.hidden = !data;
    this.shown = data ? { data, queries: tokens[data.queries], keys: tokens[data.keys] } : null;
    this.at.head = head === "mean" ? 0 : head;
    if (query !== null) this.at.query = query;
    void this.fill();
  }

  private async fill(): Promise<void> {
    const { shown } = this;
    if (!shown || !this.box.open) return;
    const { data, queries, keys } = shown;
    this.at.query = Math.min(this.at.query, queries.length - 1);
    const arrays = await read(data);
    const allowed = await maskCells(data.allowed, data.heads * queries.length * keys.length);
    if (shown !== this.shown) return;
    this.inner.replaceChildren();
    this.menus(data, queries);
    this.write(data, arrays, allowed, keys);
  }

  private menus(data: StepsData, queries: string[]): void {
    const controls = make("div", { class: "controls" }, null, this.inner);
    const select = (name: string, options: string[], value: number, change: (to: number) => void) => {
      const menu = make("select", {}, null, make("label", {}, name, controls));
      options.forEach((text, i) => make("option", { value: i }, text, menu));
      menu.value = String(value);
      menu.addEventListener("change", () => {
        change(menu.selectedIndex);
        void this.fill();
      });
    };
    select("From", queries.map((token, i) => `${i + 1}: ${visible(token.slice(0, 40))}`), this.at.query, (to) => (this.at.query = to));
    if (data.heads > 1) select("Head", Array.from({ length: data.heads }, (_, h) => `head ${h + 1}`), this.at.head, (to) => (this.at.head = to));
    tableButtons(controls, this.inner, "steps");
  }

  private write(data: StepsData, all: Arrays, allowed: Uint8Array, keys: string[]): void {
    const { head, query } = this.at;
    const rows = this.shown!.queries.length;
    const count = keys.length;
    const row = (name: "scores" | "bias" | "weights") => all[name].subarray((head * rows + query) * count, (head * rows + query + 1) * count);
    const vector = (name: "query" | "key" | "value" | "output", length: number, i: number) => {
      const width = all[name].length / (data.heads * length);
      return all[name].subarray((head * length + i) * width, (head * length + i + 1) * width);
    };
    const may = allowed.subarray((head * rows + query) * count, (head * rows + query + 1) * count);
    const [scores, weights] = [row("scores"), row("weights")];
    const bias = data.bias ? row("bias") : null;
    const total = Float64Array.from(scores, (score, k) => (may[k] ? score + (bias ? bias[k] : 0) : -Infinity));
    const own = vector("query", rows, query);
    const products = Float64Array.from(keys, (_, k) => (data.is_product ? dot(own, vector("key", count, k)) : scores[k]));
    const softmax = data.normalizer === "softmax" ? normalized(total) : null;
    const output = vector("output", rows, query);
    const mixed = new Float64Array(output.length);
    keys.forEach((_, k) => vector("value", count, k).forEach((value, d) => (mixed[d] += weights[k] * value)));
    this.formula(data, own);
    this.table(data, keys, { products, bias, may, total, softmax, weights, value: (k) => vector("value", count, k) });
    const checks = [data.is_product ? ["scores", worst(products, scores)] : null, softmax ? ["weights", worst(softmax, weights)] : null, ["output", worst(mixed, output)]];
    make("p", {}, `Output, the sum of weight × value: ${written(mixed)}; the model has ${written(output)}.`, this.inner);
    const text = checks.filter((each) => each !== null).map((each) => `${each[0]} ${number(each[1] as number)}`);
    make("p", { class: "note" }, `Recomputed here from the numbers above, and compared with the model's; largest differences: ${text.join(", ")}.`, this.inner);
  }

  private formula(data: StepsData, own: Float32Array): void {
    const product = data.is_product ? "q \u00b7 k" : "e(q, k)";
    const scale = data.scale === null ? "" : ` \u00d7 ${number(data.scale)}`;
    make("p", {}, `score = ${product}${scale}${data.bias ? " + bias" : ""}, left out where masked; weight = ${data.normalizer}(score); output = \u03a3 weight \u00d7 value. The score is \u201c${data.score}\u201d; q and k are projected${data.score === "rotated" ? " and rotated by their positions" : ""}.`, this.inner);
    const unscaled = data.scale ? own.map((value) => value / (data.scale as number)) : own;
    make("p", { class: "note" }, `q = ${written(unscaled)}`, this.inner);
  }

  private table(
    data: StepsData,
    keys: string[],
    row: { products: Float64Array; bias: Float32Array | null; may: Uint8Array; total: Float64Array; softmax: Float64Array | null; weights: Float32Array; value: (k: number) => Float32Array },
  ): void {
    const wide = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "the steps as a table" }, null, this.inner);
    const table = make("table", { class: "numbers" }, null, wide);
    const scaled = data.scale !== null;
    const names = ["key", data.is_product ? (scaled ? "q \u00b7 k" : "score q \u00b7 k") : "score e(q, k)", scaled ? `\u00d7 ${number(data.scale as number)}` : "", row.bias ? "+ bias" : "", row.softmax ? "exp(score \u2212 largest)" : row.may.includes(0) ? "mask" : "", "weight", "value"];
    const used = names.map((name) => name !== "");
    const head = make("tr", {}, null, make("thead", {}, null, table));
    for (const name of names.filter(Boolean)) make("th", { scope: "col" }, name, head);
    const body = make("tbody", {}, null, table);
    const order = keys.map((_, k) => k).sort((one, other) => row.weights[other] - row.weights[one]);
    const chosen = order.slice(0, MOST_ROWS).sort((one, other) => one - other);
    const largest = Math.max(...row.total);
    for (const k of chosen) {
      const line = make("tr", {}, null, body);
      const score = row.products[k];
      const cells = [
        visible(keys[k].slice(0, 40)),
        number(scaled ? score / (data.scale as number) : score),
        number(score),
        row.bias ? number(row.total[k]) : "",
        !row.may[k] ? "masked: 0" : row.softmax ? number(Math.exp(row.total[k] - largest)) : "",
        number(row.weights[k]),
        written(row.value(k)),
      ];
      cells.forEach((cell, i) => used[i] && make(i ? "td" : "th", i ? {} : { scope: "row" }, cell, line));
    }
    if (order.length > chosen.length) {
      const rest = order.slice(MOST_ROWS).reduce((sum, k) => sum + row.weights[k], 0);
      make("p", { class: "note" }, `${order.length - chosen.length} more keys, together with a weight of ${number(rest)}.`, this.inner);
    }
  }
}

async function read(data: StepsData): Promise<Arrays> {
  const names = ["query", "key", "scores", "bias", "weights", "value", "output"] as const;
  const found = await Promise.all(names.map((name) => (data[name] ? numbers(data[name] as string) : new Float32Array())));
  return Object.fromEntries(names.map((name, i) => [name, found[i]])) as unknown as Arrays;
}

function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

function normalized(scores: Float64Array): Float64Array {
  const largest = Math.max(...scores);
  const exponentials = scores.map((score) => (largest === -Infinity ? 0 : Math.exp(score - largest)));
  const sum = exponentials.reduce((total, each) => total + each, 0);
  return exponentials.map((each) => (sum ? each / sum : 0));
}

const worst = (one: ArrayLike<number>, other: ArrayLike<number>): number =>
  Array.from(one).reduce((most, value, i) => Math.max(most, Math.abs(value - other[i])), 0);

const written = (vector: ArrayLike<number>): string => {
  const shown = Array.from(vector).slice(0, MOST_NUMBERS).map((value) => String(Number(value.toPrecision(3))));
  return `(${shown.join(", ")}${vector.length > MOST_NUMBERS ? `, \u2026 ${vector.length} numbers` : ""})`;
};
