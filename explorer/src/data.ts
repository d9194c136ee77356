// Records as the page embeds them: the weights of a layer are a packed script that never runs, unpacked on demand.

import type { GatesData } from "./gates";
import type { InputDrawing } from "./drawing";
import { ask, isLive } from "./remote";
import type { StepsData } from "./steps";

export type Head = number | "mean";

export interface RecordData {
  module_path: string;
  kind: string;
  layer: number;
  heads: number;
  queries: number; // index into tokens
  keys: number;
  mask: string | null; // the script that holds it
  mask_heads: number;
  backend: string;
  merged: boolean;
  measure: string;
  exact: boolean; // float32 if so, else codes
  top: number; // the weight of the largest code
  signed: boolean;
  weights: string;
  rows: string;
  note: string;
}

export interface Gold {
  sure: [number, number][];
  possible: [number, number][];
  skipped: number[]; // queries that are no words, such as the end
}

export interface FigureData {
  schema: string;
  kind_names: { [kind: string]: string };
  merged_note: string;
  tokens: string[][];
  first: number;
  records: RecordData[];
  gold: Gold | null;
  drawing?: InputDrawing | null; // what the input looks like, if it is no text; pages written before have none
  steps: StepsData[];
  gates: GatesData[];
  parts?: { [name: string]: string }; // of a figure that comes to the page later
}

const later = new Map<string, string>();

// Keeps the parts of a figure whose data came without scripts of their own.
export function keepParts(parts: { [name: string]: string }): void {
  for (const [name, text] of Object.entries(parts)) later.set(name, text);
}

// One matrix: values[q * columns + k], and what may be attended to.
export interface Plane {
  rows: number;
  columns: number;
  values: Float32Array;
  allowed: Uint8Array | null;
  largest: number;
  rowLargest: Float32Array;
  sink: Sink | null; // the key that most of the mass lies on, if one has so much
}

export interface Sink {
  key: number;
  share: number;
}

function decoded(text: string): Uint8Array {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array }).fromBase64;
  if (native) return native(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

async function unpacked(name: string): Promise<ArrayBuffer> {
  const text = later.get(name) ?? document.getElementById(name)?.textContent;
  if (!text && !isLive) throw new Error(`the page lacks the part ${name}`);
  const packed = new Blob([text ? (decoded(text.trim()) as BlobPart) : await ask(`part/${name}`)]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

// Numbers whose first bytes come first, then all second ones: so they are packed smaller.
function floats(buffer: ArrayBuffer): Float32Array {
  const planes = new Uint8Array(buffer);
  const bytes = new Uint8Array(planes.length);
  for (let byte = 0, at = 0; byte < 4; byte++) for (let i = byte; i < bytes.length; i += 4, at++) bytes[i] = planes[at];
  return new Float32Array(bytes.buffer);
}

const known = new Map<string, Promise<Float32Array>>();

// An array of float32 numbers that the page embeds.
export function numbers(name: string): Promise<Float32Array> {
  const found = known.get(name) ?? unpacked(name).then(floats);
  known.set(name, found);
  return found;
}

const masks = new Map<string, Promise<Uint8Array>>();

// Cells as 0 and 1 from packed bits.
export function maskCells(name: string, cells: number): Promise<Uint8Array> {
  let found = masks.get(name);
  if (!found) {
    found = unpacked(name).then((buffer) => {
      const bits = new Uint8Array(buffer);
      const each = new Uint8Array(cells);
      for (let i = 0; i < cells; i++) each[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
      return each;
    });
    masks.set(name, found);
  }
  return found;
}

const MAX_BYTES = 96 * 2 ** 20; // of unpacked layers that are kept

export class Layer {
  private static kept: Layer[] = [];
  private content: Uint8Array | Float32Array | null = null;
  private mask: Uint8Array | null = null;
  private stats: Float32Array | null = null;
  private loading: Promise<void> | null = null;
  private planes = new Map<string, Plane>();
  private weightOf: Float32Array | null = null;

  constructor(
    readonly meta: RecordData,
    readonly queries: string[],
    readonly keys: string[],
  ) {}

  get cells(): number {
    return this.queries.length * this.keys.length;
  }

  get isLoaded(): boolean {
    return this.content !== null;
  }

  load(): Promise<void> {
    this.loading ??= this.read().catch((error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  private async read(): Promise<void> {
    const [weights, rows, mask] = await Promise.all([
      unpacked(this.meta.weights),
      this.stats ?? unpacked(this.meta.rows).then(floats),
      this.meta.mask ? maskCells(this.meta.mask, this.meta.mask_heads * this.cells) : null,
    ]);
    this.content = this.meta.exact ? floats(weights) : new Uint8Array(weights);
    this.stats = rows;
    this.mask = mask;
    this.keep();
  }

  // The layers of a very long input are dropped again, least recently used first.
  private keep(): void {
    if (this.cells > 2 ** 20) for (const other of Layer.kept) if (other !== this) other.planes.clear();
    Layer.kept = [...Layer.kept.filter((each) => each !== this), this];
    const size = () => Layer.kept.reduce((sum, each) => sum + (each.content?.byteLength ?? 0), 0);
    while (Layer.kept.length > 1 && size() > MAX_BYTES) {
      const dropped = Layer.kept.shift() as Layer;
      dropped.content = dropped.loading = null;
      dropped.planes.clear();
    }
  }

  private table(): Float32Array {
    this.weightOf ??= Float32Array.from({ length: 256 }, (_, code) => {
      const { signed, top } = this.meta;
      const part = signed ? (code - 128) / 127 : code / 255;
      return Math.sign(part) * part * part * top;
    });
    return this.weightOf;
  }

  // How far the shown number may be off: the step to the next code, half of it where codes are always the nearest.
  error(weight: number): number {
    if (this.meta.exact) return 0;
    const levels = this.meta.signed ? 127 : 255;
    const code = Math.ceil(levels * Math.sqrt(Math.abs(weight) / this.meta.top));
    // Of small weights without a sign every second code is used.
    const step = !this.meta.signed && code > 1 && code < 64 ? 2 : 1;
    return (this.meta.top * step * (2 * code + step)) / (levels * levels) / (code > levels / 2 ? 2 : 1);
  }

  // Sum, largest and effective number of positions of a row, exact.
  row(head: Head, q: number): { sum: number; largest: number; spread: number } {
    const at = head === "mean" ? (this.meta.heads > 1 ? this.meta.heads : 0) : head;
    const start = 3 * (at * this.queries.length + q);
    const [sum, largest, spread] = (this.stats as Float32Array).subarray(start, start + 3);
    return { sum, largest, spread };
  }

  private headMask(head: Head): Uint8Array | null {
    const { mask, cells } = this;
    if (!mask) return null;
    if (this.meta.mask_heads === 1) return mask;
    if (head !== "mean") return mask.subarray(head * cells, (head + 1) * cells);
    const any = new Uint8Array(cells);
    for (let i = 0; i < mask.length; i++) any[i % cells] |= mask[i];
    return any;
  }

  private raw(head: Head): Float32Array {
    const { cells } = this;
    const content = this.content as Uint8Array | Float32Array;
    const table = this.table();
    const found = new Float32Array(cells);
    const heads = head === "mean" ? this.meta.heads : 1;
    const first = head === "mean" ? 0 : head;
    if (content instanceof Float32Array) {
      if (heads === 1) return content.slice(first * cells, (first + 1) * cells);
      for (let h = 0; h < heads; h++) for (let i = 0, at = h * cells; i < cells; i++, at++) found[i] += content[at];
    } else {
      const share = table.map((weight) => weight / heads);
      for (let h = first; h < first + heads; h++) for (let i = 0, at = h * cells; i < cells; i++, at++) found[i] += share[content[at]];
      return found;
    }
    for (let i = 0; i < cells; i++) found[i] /= heads;
    return found;
  }

  // One matrix, without the weight of a key (rows divided by what is left) if `without` names one.
  plane(head: Head, without: number | null = null): Plane {
    const name = `${head} ${without}`;
    const known = this.planes.get(name);
    if (known) return known;
    const rows = this.queries.length;
    const columns = this.keys.length;
    const values = this.raw(head);
    if (without !== null) leaveOut(values, columns, without);
    const plane = { rows, columns, values, allowed: this.headMask(head), ...summed(values, rows, columns) };
    if (this.planes.size > (this.cells > 2 ** 20 ? 0 : 3)) {
      // The mean is over all heads, and so the one that takes long.
      for (const key of this.planes.keys()) if (key !== "mean null" || this.cells > 2 ** 20) this.planes.delete(key);
    }
    this.planes.set(name, plane);
    return plane;
  }

  // The largest level in each of rows × columns blocks of one head, and whether any of it may be attended to.
  thumbnail(head: Head, rows: number, columns: number): { values: Float32Array; allowed: Uint8Array } {
    const source = head === "mean" || this.content instanceof Float32Array ? this.raw(head) : null;
    const codes = source ? null : (this.content as Uint8Array);
    const table = this.table();
    const mask = this.headMask(head);
    const start = source ? 0 : (head as number) * this.cells;
    const values = new Float32Array(rows * columns);
    const allowed = new Uint8Array(rows * columns);
    const width = this.keys.length;
    const column = Int32Array.from({ length: width }, (_, k) => Math.floor((k * columns) / width));
    for (let q = 0; q < this.queries.length; q++) {
      const base = Math.floor((q * rows) / this.queries.length) * columns;
      for (let k = 0, i = q * width; k < width; k++, i++) {
        if (mask && !mask[i]) continue;
        const at = base + column[k];
        const value = source ? source[i] : table[(codes as Uint8Array)[start + i]];
        allowed[at] = 1;
        if (Math.abs(value) > Math.abs(values[at])) values[at] = value;
      }
    }
    return { values, allowed };
  }
}

function leaveOut(values: Float32Array, columns: number, key: number): void {
  for (let start = 0; start < values.length; start += columns) {
    let rest = 0;
    values[start + key] = 0;
    for (let i = start; i < start + columns; i++) rest += values[i];
    if (rest > 0) for (let i = start; i < start + columns; i++) values[i] /= rest;
  }
}

const LEAST_SINK = 0.4; // share of the mass

function summed(values: Float32Array, rows: number, columns: number): Pick<Plane, "largest" | "rowLargest" | "sink"> {
  const rowLargest = new Float32Array(rows);
  const mass = new Float64Array(columns);
  let [largest, total, signed] = [0, 0, false];
  for (let q = 0, i = 0; q < rows; q++) {
    let top = 0;
    for (let k = 0; k < columns; k++, i++) {
      const value = values[i];
      mass[k] += value;
      if (value > top) top = value;
      else if (value < 0) {
        signed = true;
        if (-value > top) top = -value;
      }
    }
    rowLargest[q] = top;
    if (top > largest) largest = top;
  }
  let key = 0;
  for (let k = 0; k < columns; k++) {
    total += mass[k];
    if (mass[k] > mass[key]) key = k;
  }
  const found = !signed && rows >= 4 && columns >= 4 && total > 0 && mass[key] / total >= LEAST_SINK;
  return { largest, rowLargest, sink: found ? { key, share: mass[key] / total } : null };
}
