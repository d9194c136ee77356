// One matrix with its tokens and colours: what every view draws.
import { colours, isDark, level, type RGB, type Scale } from "./colour";
import type { Gold, Head, Layer, Plane } from "./data";
import { number, quoted } from "./dom";
import type { State } from "./state";

export class Scene {
  readonly palette: RGB[];
  readonly look: number; // a number for the colours: other palettes give others
  readonly queries: string[];
  readonly keys: string[];

  constructor(
    readonly layer: Layer,
    readonly head: Head,
    readonly plane: Plane,
    readonly state: State,
    readonly gold: Gold | null,
  ) {
    this.palette = colours(state.palette, layer.meta.signed);
    const shade = state.palette === "blue" ? 1 : state.palette === "grey" ? 2 : 3;
    this.look = shade + (isDark() ? 3 : 0) + (layer.meta.signed ? 6 : 0);
    this.queries = layer.queries;
    this.keys = layer.keys;
  }

  // The query whose row is told before one is chosen: of a causal mask the last, which sees the whole text.
  get firstQuery(): number {
    return this.may(0, this.keys.length - 1) ? 0 : this.queries.length - 1;
  }

  may(query: number, key: number): boolean {
    const { allowed, columns } = this.plane;
    return !allowed || allowed[query * columns + key] === 1;
  }

  weight(query: number, key: number): number {
    return this.plane.values[query * this.plane.columns + key];
  }

  // What weights of a row are measured by under the scale.
  reference(query: number): number {
    const scale: Scale = this.state.scale;
    if (scale === "row") return this.plane.rowLargest[query];
    if (scale === "maximum") return this.plane.largest;
    return this.layer.meta.top;
  }

  level(query: number, key: number): number {
    return level(this.weight(query, key), this.state.scale, this.reference(query), this.layer.meta.signed);
  }

  // How strong a cell is drawn as a line or a shade, from 0 to 1.
  strength(query: number, key: number): number {
    const found = this.level(query, key);
    return this.layer.meta.signed ? Math.abs(found - 127.5) / 127.5 : found / 255;
  }

  colour(query: number, key: number): RGB {
    return this.palette[this.level(query, key)];
  }

  // The number as exactly as the page has it.
  shown(query: number, key: number): string {
    if (!this.may(query, key)) return "masked, may not attend";
    const weight = this.weight(query, key);
    const error = this.layer.error(weight);
    return error ? `${Number(weight.toPrecision(3))} \u00b1 ${Number(error.toPrecision(1))}` : number(weight);
  }

  say(query: number, key: number): string {
    return `${quoted(this.queries[query])} \u2192 ${quoted(this.keys[key])}: ${this.shown(query, key)}`;
  }

  sayRow(query: number): string {
    if (this.state.sink) return "";
    const { sum, largest, spread } = this.layer.row(this.head, query);
    return `row: sum ${number(sum)}, largest ${number(largest)}, as if spread evenly over ${Number(spread.toPrecision(3))} positions`;
  }

  // The keys of a row, or the queries of a column, largest weight first.
  ranked(by: "query" | "key", at: number, most: number): { index: number; weight: number }[] {
    const count = by === "query" ? this.keys.length : this.queries.length;
    const pair = (i: number): [number, number] => (by === "query" ? [at, i] : [i, at]);
    return Array.from({ length: count }, (_, index) => ({ index, weight: this.weight(...pair(index)) }))
      .filter(({ index }) => this.may(...pair(index)))
      .sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight))
      .slice(0, most);
  }
}
