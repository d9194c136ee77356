// The numbers as a table, for those who read or hear rather than see: all of a small matrix, a row's of a large one.
import { make, visible } from "./dom";
import type { Scene } from "./scene";

const MOST_CELLS = 1600;
const MOST_RANKED = 50;

export class Numbers {
  readonly box = make("details", {});
  private readonly inner: HTMLElement;
  private scene: Scene | null = null;

  constructor() {
    make("summary", {}, "The numbers as a table", this.box);
    this.inner = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "the numbers as a table" }, null, this.box);
    this.box.addEventListener("toggle", () => this.fill());
  }

  show(scene: Scene): void {
    this.scene = scene;
    if (this.box.open) this.fill();
  }

  private fill(): void {
    this.inner.replaceChildren();
    const { scene } = this;
    if (!this.box.open || !scene) return;
    if (scene.plane.rows * scene.plane.columns <= MOST_CELLS) this.whole(scene);
    else this.ranking(scene);
  }

  private whole(scene: Scene): void {
    const table = make("table", { class: "numbers" }, null, this.inner);
    make("caption", {}, `${scene.layer.meta.measure}: a row for each position, a column for each that it may look at`, table);
    const head = make("tr", {}, null, make("thead", {}, null, table));
    make("td", {}, null, head);
    for (const token of scene.keys) make("th", { scope: "col" }, visible(token), head);
    const body = make("tbody", {}, null, table);
    scene.queries.forEach((token, query) => {
      const row = make("tr", {}, null, body);
      make("th", { scope: "row" }, visible(token), row);
      scene.keys.forEach((_, key) => make("td", {}, scene.may(query, key) ? scene.shown(query, key) : "masked", row));
    });
  }

  private ranking(scene: Scene): void {
    const query = scene.state.query ?? scene.firstQuery;
    const table = make("table", { class: "numbers" }, null, this.inner);
    const name = visible(scene.queries[query].slice(0, 80));
    make("caption", {}, `What position ${query + 1}, ${name}, looked at most; choose another in the map or the text`, table);
    const head = make("tr", {}, null, make("thead", {}, null, table));
    for (const title of ["rank", "position", "token", "weight"]) make("th", { scope: "col" }, title, head);
    const body = make("tbody", {}, null, table);
    scene.ranked("query", query, MOST_RANKED).forEach(({ index }, rank) => {
      const row = make("tr", {}, null, body);
      const cells = [String(rank + 1), String(index + 1), visible(scene.keys[index].slice(0, 80)), scene.shown(query, index)];
      for (const cell of cells) make("td", {}, cell, row);
    });
  }
}
