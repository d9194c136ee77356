// The text itself, each word in the colour of its weight: what one position looked at, or who looked at it.
import { css, inkOn } from "./colour";
import { draw, fitted, make, number, percent, quoted, visible } from "./dom";
import type { Scene } from "./scene";

type Choose = (query: number | null, key: number | null, by: "query" | "key") => void;

export class Words {
  readonly box = make("section", { class: "words", "aria-label": "the text, coloured by the weights" });
  private readonly heading = make("p", { class: "lead" }, null, this.box);
  private readonly top = make("p", { class: "note" }, null, this.box);
  private readonly paragraphs: { [by in "query" | "key"]: HTMLParagraphElement };
  private spans: { [by in "query" | "key"]: HTMLElement[] } = { query: [], key: [] };
  private signs: { [by in "query" | "key"]: Int32Array } = { query: new Int32Array(), key: new Int32Array() };
  private told: (by: "query" | "key", index: number) => string = () => "";
  private shown: [string[], string[]] | null = null;
  private scene: Scene | null = null;
  private waiting: (() => void) | null = null;
  private isSeen = false;

  constructor(private readonly choose: Choose) {
    // The colours of a long text take as long as the map: they wait until the text is in sight.
    new IntersectionObserver((entries) => {
      this.isSeen = entries[entries.length - 1].isIntersecting;
      if (this.isSeen) this.flush();
    }).observe(this.box);
    window.addEventListener("beforeprint", () => this.flush());
    this.paragraphs = {
      query: make("p", { class: "text queries" }, null, this.box),
      key: make("p", { class: "text keys" }, null, this.box),
    };
    for (const by of ["query", "key"] as const) {
      this.paragraphs[by].addEventListener("click", (event) => {
        const index = this.spans[by].indexOf(event.target as HTMLElement);
        if (index >= 0) this.pick(by, index);
      });
      // The number of a word is told when it is pointed at.
      this.paragraphs[by].addEventListener("pointerover", (event) => {
        const index = this.spans[by].indexOf(event.target as HTMLElement);
        if (index >= 0) this.spans[by][index].title = this.told(by, index);
      });
    }
  }

  private flush(): void {
    this.waiting?.();
    this.waiting = null;
  }

  private pick(by: "query" | "key", index: number): void {
    const state = this.scene!.state;
    // Of self-attention there is one text, whose words are queries first.
    if (by === "query" || this.isOneText()) this.choose(index, state.key, "query");
    else if (this.scene!.queries.length > 1) this.choose(state.query, index, "key");
  }

  private isOneText(): boolean {
    const { queries, keys } = this.scene as Scene;
    return queries === keys || (queries.length === keys.length && queries.every((token, i) => token === keys[i]));
  }

  show(scene: Scene, large: boolean): void {
    this.scene = scene;
    this.box.classList.toggle("large", large);
    const one = scene.queries.length === 1;
    if (!this.shown || this.shown[0] !== scene.queries || this.shown[1] !== scene.keys) this.write(scene);
    this.paragraphs.query.hidden = one || this.isOneText();
    const { by } = scene.state;
    const at = by === "key" && scene.state.key !== null ? scene.state.key : (scene.state.query ?? scene.firstQuery);
    const axis = by === "key" && scene.state.key !== null && !one ? "key" : "query";
    this.say(scene, axis, at);
    this.waiting = () => this.paint(scene, axis, at);
    if (this.isSeen) this.flush();
  }

  private write(scene: Scene): void {
    this.shown = [scene.queries, scene.keys];
    for (const [by, tokens] of [
      ["query", scene.queries],
      ["key", scene.keys],
    ] as const) {
      const parent = this.paragraphs[by];
      parent.replaceChildren();
      this.signs[by] = new Int32Array(tokens.length).fill(-9);
      this.spans[by] = tokens.map((token) => {
        const span = make("span", {}, visible(token), parent);
        parent.append(" ");
        return span;
      });
    }
  }

  private say(scene: Scene, axis: "query" | "key", at: number): void {
    const ranked = scene.ranked(axis, at, 3).filter(({ weight }) => weight !== 0);
    const tokens = axis === "query" ? scene.keys : scene.queries;
    // Only of what sums to 1 are the weights shares.
    const share = axis === "query" && (scene.state.sink || Math.abs(scene.layer.row(scene.head, at).sum - 1) < 0.02);
    const best = ranked.map(({ index, weight }) => `${quoted(tokens[index].slice(0, 40))} ${share ? percent(weight) : number(weight)}`);
    const name = quoted((axis === "query" ? scene.queries : scene.keys)[at].slice(0, 80));
    this.heading.textContent = axis === "query" ? `${name} looked at` : `${name} was looked at by`;
    this.top.textContent = best.length ? `most: ${best.join(", ")}` : "nothing: every weight is 0";
  }

  private paint(scene: Scene, axis: "query" | "key", at: number): void {
    const coloured = this.isOneText() || axis === "query" ? "key" : "query";
    for (const by of ["query", "key"] as const) {
      const signs = this.signs[by];
      const chosen = by === axis || this.isOneText() ? at : -1;
      this.spans[by].forEach((span, i) => {
        const [query, key] = axis === "query" ? [at, i] : [i, at];
        const may = by === coloured && scene.may(query, key);
        // What is the same as before is left alone: of a long text that is most.
        const level = by !== coloured ? -1 : may ? scene.level(query, key) : -2;
        const sign = 2 * level + Number(i === chosen) + 1000 * scene.look;
        if (signs[i] === sign) return;
        signs[i] = sign;
        const colour = may ? scene.palette[level] : null;
        span.style.background = colour ? css(colour) : "";
        span.style.color = colour ? inkOn(colour) : "";
        span.className = `${i === chosen ? "chosen" : ""} ${level === -2 ? "masked" : ""}`;
      });
    }
    this.told = (by, i) => (by !== coloured ? "" : axis === "query" ? scene.shown(at, i) : scene.shown(i, at));
  }

  // The coloured text as SVG, for export.
  svg(): { content: SVGElement; width: number; height: number } {
    this.flush();
    const group = draw("g");
    const size = 15;
    const width = 720;
    let [x, y] = [8, 20];
    draw("text", { x, y, style: `font-size:${size}px;fill:${getComputedStyle(document.body).color}` }, this.heading.textContent, group);
    y += 26;
    const line = (spans: HTMLElement[]) => {
      for (const span of spans) {
        const fit = fitted(span.textContent as string, width - 20, size);
        if (x + fit.width > width - 8) [x, y] = [8, y + 26];
        const style = getComputedStyle(span);
        draw("rect", { x: x - 2, y: y - 16, width: fit.width + 4, height: 22, rx: 3, style: `fill:${style.backgroundColor}` }, null, group);
        draw("text", { x, y, style: `font-size:${size}px;fill:${style.color}` }, fit.text, group);
        x += fit.width + 7;
      }
      [x, y] = [8, y + 34];
    };
    if (!this.paragraphs.query.hidden) line(this.spans.query);
    line(this.spans.key);
    return { content: group, width, height: y };
  }
}
