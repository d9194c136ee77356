// Inside recurrence: the gates of a layer at each token, of one unit or their mean, and what its cells still keep.
import { colours, css, inkOn, level, onTheme } from "./colour";
import { numbers } from "./data";
import { make, number, quoted, visible } from "./dom";
import { tableButtons } from "./table_files";

export interface GatesData {
  label: string; // part, layer and direction
  names: string[]; // of the gates
  keeping: number; // which of them keeps
  reverse: boolean; // reads from the last token to the first
  tokens: number;
  units: string[]; // the first is the mean
  unit: number; // shown at first
  values: string; // (gates, tokens, units)
  kept: string | null; // (at, given at), the mean over units; null where the input is too long
  half_lives: string; // of each unit
  note: string;
}

const LONGEST = 24; // letters of a token

export class Gates {
  readonly box = make("section", { class: "gates" });
  private readonly controls = make("div", { class: "controls" });
  private readonly inner = make("div", {});
  private layer = 0;
  private unit = 0;
  private units: HTMLSelectElement | null = null;

  constructor(
    private readonly data: GatesData[],
    private readonly tokens: string[][],
  ) {
    this.box.append(make("h2", {}, "Gates of recurrent layers"), this.controls, this.inner);
    this.select("Layer", data.map((one) => one.label), (to) => {
      this.layer = to;
      this.fillUnits();
    });
    this.units = this.select("Unit", [], (to) => (this.unit = to));
    this.fillUnits();
    tableButtons(this.controls, this.inner, "gates");
    onTheme(() => void this.draw());
    void this.draw();
  }

  private select(name: string, options: string[], change: (to: number) => void): HTMLSelectElement {
    const menu = make("select", {}, null, make("label", {}, name, this.controls));
    options.forEach((text, i) => make("option", { value: i }, text, menu));
    menu.addEventListener("change", () => {
      change(menu.selectedIndex);
      void this.draw();
    });
    return menu;
  }

  private fillUnits(): void {
    const { units, unit } = this.data[this.layer];
    this.unit = 0;
    this.units!.replaceChildren();
    units.forEach((name, i) => make("option", { value: i }, i === unit ? `${name} (changes most, or asked for)` : name, this.units!));
  }

  private async draw(): Promise<void> {
    const [data, unit] = [this.data[this.layer], this.unit];
    const [values, lives, mean] = await Promise.all([numbers(data.values), numbers(data.half_lives), data.kept ? numbers(data.kept) : null]);
    if (data !== this.data[this.layer] || unit !== this.unit) return;
    const tokens = this.tokens[data.tokens];
    const gate = (g: number) => Array.from(tokens, (_, t) => values[(g * tokens.length + t) * data.units.length + unit]);
    this.inner.replaceChildren();
    this.matrix(`Openness of each gate, ${data.units[unit]}: 0 closed, 1 open`, data.names, tokens, data.names.map((_, g) => gate(g)));
    if (mean || unit) {
      const kept = unit ? products(gate(data.keeping), data.reverse) : tokens.map((_, t) => Array.from(mean!.subarray(t * tokens.length, (t + 1) * tokens.length)));
      const shown = kept.map((row, at) => row.map((value, given) => ((data.reverse ? given < at : given > at) ? null : value)));
      this.matrix("What is still kept at the token of the row, of what was given at that of the column", tokens, tokens, shown);
    }
    const life = unit ? `Half of what ${data.units[unit]} holds is left after ${number(lives[unit - 1])} steps, if its gate always stood at its geometric mean here. ` : "";
    make("p", { class: "note" }, `${life}${data.note}.`, this.inner);
  }

  private matrix(caption: string, rows: string[], columns: string[], cells: (number | null)[][]): void {
    const wide = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption }, null, this.inner);
    const table = make("table", { class: "numbers" }, null, wide);
    make("caption", {}, caption, table);
    const head = make("tr", {}, null, make("thead", {}, null, table));
    make("td", {}, "", head);
    for (const name of columns) make("th", { scope: "col" }, visible(name.slice(0, LONGEST)), head);
    const body = make("tbody", {}, null, table);
    const palette = colours("blue", false);
    rows.forEach((name, r) => {
      const line = make("tr", {}, null, body);
      make("th", { scope: "row" }, visible(name.slice(0, LONGEST)), line);
      cells[r].forEach((value, c) => {
        if (value === null) return make("td", {}, "", line);
        const colour = palette[level(value, "linear", 1, false)];
        const style = `background:${css(colour)};color:${inkOn(colour)};text-align:center;padding:.15rem .4rem`;
        return make("td", { style, "data-value": Number(value.toPrecision(6)), title: `${quoted(name)}, ${quoted(columns[c])}: ${number(value)}` }, value.toFixed(2), line);
      });
    });
  }
}

// kept(t, s): the product of the keeping gates after s, up to t, in the order of reading.
function products(gates: number[], reverse: boolean): number[][] {
  const step = reverse ? -1 : 1;
  const kept = gates.map(() => gates.map(() => 0));
  for (let given = 0; given < gates.length; given++) {
    let left = 1;
    for (let at = given; at >= 0 && at < gates.length; at += step) {
      if (at !== given) left *= gates[at];
      kept[at][given] = left;
    }
  }
  return kept;
}
