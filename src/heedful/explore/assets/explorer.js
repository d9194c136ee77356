// Draws attention records. Tokens are untrusted text: they only ever pass through textContent.
"use strict";
(() => {
  const SVG = document.querySelector("svg").namespaceURI;
  const LIGHT = ["#f7fbff", "#cfe1f2", "#93c4de", "#4a97c9", "#1764ab", "#08306b"];
  const DARK = ["#1a2028", "#1f4a78", "#2a72b0", "#55a5dc", "#a5d6f5", "#f7fbff"];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const segmenter = window.Intl && Intl.Segmenter ? new Intl.Segmenter() : null;
  const pen = document.createElement("canvas").getContext("2d");

  // ---- small helpers -------------------------------------------------------------------------
  function make(name, attributes = {}, text = null, parent = null) {
    const node = document.createElement(name);
    return finish(node, attributes, text, parent);
  }
  function draw(name, attributes = {}, text = null, parent = null) {
    return finish(document.createElementNS(SVG, name), attributes, text, parent);
  }
  function finish(node, attributes, text, parent) {
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  const clamp = (low, value, high) => Math.max(low, Math.min(high, value));
  const letters = (text) => (segmenter ? Array.from(segmenter.segment(text), (s) => s.segment) : Array.from(text));
  // White space and control characters would be invisible, or turn the text around: show a sign for each.
  const visible = (token) =>
    token === "" ? "∅" : token.replace(/[\u0000-\u0020\u007f-\u00a0\u2028-\u202e\u2066-\u2069\u200b\ufeff\p{Surrogate}]/gu, (c) =>
      c === " " || c === "\u00a0" ? "␣" : c === "\n" || c === "\u2028" || c === "\u2029" ? "⏎" : c === "\t" ? "⇥" : "�");
  const quoted = (token) => `“${visible(token)}”`;

  // ---- colours -------------------------------------------------------------------------------
  function rgb(weight, scale) {
    const stops = dark.matches ? DARK : LIGHT;
    const part = clamp(0, scale === "root" ? Math.sqrt(Math.max(0, weight)) : weight, 1) * (stops.length - 1);
    const low = Math.min(Math.floor(part), stops.length - 2);
    const channel = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
    return [0, 1, 2].map((i) => Math.round(channel(stops[low], i) * (1 - part + low) + channel(stops[low + 1], i) * (part - low)));
  }
  const colour = (weight, scale) => `rgb(${rgb(weight, scale).join(",")})`;
  const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10151c" : "#ffffff");

  // ---- records -------------------------------------------------------------------------------
  // One drawable view of a record: weights[q][k] and may(q, k), for one head or the mean over heads.
  function view(record, head) {
    const masks = record.mask || [];
    const may = (h, q, k) => !masks.length || masks[masks.length === 1 ? 0 : h][q][k] === "1";
    const heads = head === "mean" ? record.weights.map((_, h) => h) : [head];
    const weights = record.query_tokens.map((_, q) =>
      record.key_tokens.map((_, k) => heads.reduce((sum, h) => sum + record.weights[h][q][k], 0) / heads.length));
    return { record, weights, may: (q, k) => heads.some((h) => may(h, q, k)) };
  }
  // Masked cells as runs [q, first, last]: one hatched shape a run instead of one a cell.
  function maskedRuns({ record, may }) {
    const runs = [];
    record.query_tokens.forEach((_, q) => {
      for (let k = 0; k < record.key_tokens.length; k++) {
        if (may(q, k)) continue;
        const first = k;
        while (k + 1 < record.key_tokens.length && !may(q, k + 1)) k++;
        runs.push([q, first, k]);
      }
    });
    return runs;
  }

  // ---- labels --------------------------------------------------------------------------------
  function fitted(token, room) {
    pen.font = `13px ${getComputedStyle(document.body).fontFamily}`;
    const wide = (text) => pen.measureText(text).width;
    const text = visible(token);
    if (wide(text) <= room) return { text, width: wide(text) };
    // By halving: a token of 10,000 characters is measured 14 times.
    const parts = letters(text), start = (count) => parts.slice(0, count).join("") + "…";
    let low = 1, high = parts.length;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (wide(start(middle)) <= room) low = middle;
      else high = middle - 1;
    }
    return { text: start(low), width: wide(start(low)) };
  }
  function label(parent, fit, token, attributes) {
    const node = draw("text", attributes, fit.text, parent);
    draw("title", {}, visible(token), node);
    return node;
  }
  // A label that fits its column stands upright, the others slant.
  function columnLabels(tokens, size, extent) {
    const fits = tokens.map((token) => fitted(token, 170));
    const flat = (fit) => fit.width < size - 2;
    const slanted = fits.filter((fit) => !flat(fit));
    const angle = size < 24 ? -70 : -55;
    const sine = Math.sin((-angle * Math.PI) / 180), cosine = Math.cos((angle * Math.PI) / 180);
    const height = Math.ceil(Math.max(4, ...slanted.map((fit) => fit.width * sine)) + 20);
    const over = Math.max(0, ...fits.map((fit, k) => (flat(fit) ? 0 : (k + 0.5) * size + fit.width * cosine + 12 - extent)));
    const svg = draw("svg", { class: "columns", width: extent + Math.ceil(over), height, "aria-hidden": "true" });
    const nodes = fits.map((fit, k) => {
      const x = (k + 0.5) * size + (flat(fit) ? 0 : 4), y = height - 7;
      return label(svg, fit, tokens[k], flat(fit) ? { x, y, "text-anchor": "middle" } : { x, y, transform: `rotate(${angle} ${x} ${y})` });
    });
    return { svg, nodes };
  }
  function rowLabelsWidth(fits) {
    return Math.max(84, Math.ceil(Math.max(...fits.map((fit) => fit.width))) + 14);
  }
  function rowLabels(tokens, size, fits) {
    const width = rowLabelsWidth(fits);
    const svg = draw("svg", { class: "rows", width, height: tokens.length * size, "aria-hidden": "true" });
    const nodes = fits.map((fit, q) =>
      label(svg, fit, tokens[q], { x: width - 8, y: (q + 0.5) * size, "text-anchor": "end", "dominant-baseline": "central" }));
    return { svg, nodes, width };
  }

  // ---- the large map -------------------------------------------------------------------------
  function cells(shown, size, scale) {
    const { record, weights, may } = shown;
    const [rows, columns] = [record.query_tokens.length, record.key_tokens.length];
    const svg = draw("svg", { class: "cells", width: columns * size + 1, height: rows * size + 1, "shape-rendering": "crispEdges" });
    weights.forEach((row, q) => row.forEach((weight, k) => {
      if (!may(q, k)) return;
      const paint = rgb(weight, scale);
      draw("rect", { x: k * size, y: q * size, width: size, height: size, fill: `rgb(${paint.join(",")})` }, null, svg);
      if (size >= 34 && weight >= 0.005) {
        draw("text", { class: "value", x: (k + 0.5) * size, y: (q + 0.5) * size, "text-anchor": "middle", "dominant-baseline": "central" }, weight.toFixed(2), svg).style.fill = inkOn(paint);
      }
    }));
    for (const [q, first, last] of maskedRuns(shown)) {
      draw("rect", { class: "masked", x: first * size, y: q * size, width: (last - first + 1) * size, height: size, fill: "url(#hatch)" }, null, svg);
    }
    draw("rect", { class: "frame", x: 0.5, y: 0.5, width: columns * size, height: rows * size }, null, svg);
    return svg;
  }

  function say(shown, q, k) {
    const { record, weights, may } = shown;
    const pair = `${quoted(record.query_tokens[q])} → ${quoted(record.key_tokens[k])}`;
    return may(q, k) ? `${pair}: ${Number(weights[q][k].toPrecision(4))}` : `${pair}: masked, may not attend`;
  }

  function largeMap(shown, scale, readout, tip, room) {
    const { query_tokens: queries, key_tokens: keys } = shown.record;
    const fits = queries.map((token) => fitted(token, 200));
    // The last column's slanted label hangs over the map's edge; labels, hang and padding take their room first.
    const hang = 0.6 * fitted(keys[keys.length - 1], 170).width + 12;
    const space = room - rowLabelsWidth(fits) - hang - 14;
    const size = clamp(16, Math.floor(space / keys.length), queries.length > 24 ? 22 : 44);
    const columns = columnLabels(keys, size, keys.length * size + 1);
    const rows = rowLabels(queries, size, fits);
    const body = cells(shown, size, scale);
    const cursor = draw("rect", { class: "cursor", width: size, height: size, visibility: "hidden" }, null, body);
    let at = null;
    function go(q, k) {
      if (at) { rows.nodes[at[0]].classList.remove("here"); columns.nodes[at[1]].classList.remove("here"); }
      at = [clamp(0, q, queries.length - 1), clamp(0, k, keys.length - 1)];
      rows.nodes[at[0]].classList.add("here");
      columns.nodes[at[1]].classList.add("here");
      finish(cursor, { x: at[1] * size, y: at[0] * size, visibility: "visible" }, null, null);
      readout.textContent = say(shown, ...at);
    }
    body.addEventListener("pointermove", (event) => {
      const box = body.getBoundingClientRect();
      go(Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size));
      tip.textContent = readout.textContent;
      tip.hidden = false;
      tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
    });
    body.addEventListener("pointerleave", () => { tip.hidden = true; });
    const grid = make("div", { class: "map", tabindex: "0", role: "application", "aria-label": `${shown.record.measure}: ${queries.length} rows, ${keys.length} columns. The arrow keys move from cell to cell.` });
    grid.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [q, k] = at || [-step[0], -step[1]];
      go(q + step[0], k + step[1]);
      cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
    const corner = make("div", { class: "corner" }, null, grid);
    make("span", {}, "looked at →", corner);
    make("span", {}, "from ↓", corner);
    grid.append(columns.svg, rows.svg, body);
    return grid;
  }

  // ---- colour bar, always there ---------------------------------------------------------------
  function legend(parent, measure, scale, anyMasked) {
    const box = make("div", { class: "legend", role: "img", "aria-label": `Colour bar: ${measure} from 0 to 1; hatched cells are masked.` }, null, parent);
    const bar = make("span", {}, null, box);
    make("b", {}, measure, bar);
    const svg = draw("svg", { width: 236, height: 30 }, null, bar);
    for (let i = 0; i < 220; i++) {
      const part = (i + 0.5) / 220;
      draw("rect", { x: 8 + i, y: 0, width: 1.5, height: 13, fill: colour(scale === "root" ? part * part : part, scale) }, null, svg);
    }
    for (const tick of scale === "root" ? [0, 0.05, 0.25, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
      const x = 8 + 220 * (scale === "root" ? Math.sqrt(tick) : tick);
      draw("text", { x, y: 26, "text-anchor": "middle" }, String(tick), svg);
    }
    const key = make("span", {}, null, box);
    draw("rect", { width: 26, height: 13, fill: "url(#hatch)", stroke: "var(--line)" }, null, draw("svg", { width: 26, height: 13 }, null, key));
    key.append(anyMasked ? "masked: may not attend" : "masked (none here)");
  }

  // ---- small multiples -----------------------------------------------------------------------
  function hatching(context) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const brush = tile.getContext("2d");
    brush.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--hatch");
    brush.beginPath();
    for (const shift of [-6, 0, 6]) { brush.moveTo(shift, 6); brush.lineTo(shift + 6, 0); }
    brush.stroke();
    return context.createPattern(tile, "repeat");
  }
  function thumbnail(shown, width, scale) {
    const { record, weights, may } = shown;
    const [rows, columns] = [record.query_tokens.length, record.key_tokens.length];
    const fine = window.devicePixelRatio || 1;
    const unit = width / Math.max(rows, columns);
    const canvas = make("canvas", { width: Math.ceil(columns * unit * fine), height: Math.ceil(rows * unit * fine) });
    canvas.style.width = `${columns * unit}px`;
    const context = canvas.getContext("2d");
    const edge = (i) => Math.round(i * unit * fine);
    weights.forEach((row, q) => row.forEach((weight, k) => {
      if (!may(q, k)) return;
      context.fillStyle = colour(weight, scale);
      context.fillRect(edge(k), edge(q), edge(k + 1) - edge(k), edge(q + 1) - edge(q));
    }));
    context.fillStyle = hatching(context);
    for (const [q, first, last] of maskedRuns(shown)) {
      context.fillRect(edge(first), edge(q), edge(last + 1) - edge(first), edge(q + 1) - edge(q));
    }
    return canvas;
  }
  function overview(parent, records, state, room, choose) {
    const heads = Math.max(...records.map((record) => record.weights.length));
    if (heads * records.length < 2) return;
    make("h3", {}, "All layers and heads (choose one to enlarge it)", parent);
    const grid = make("div", { class: "overview" }, null, make("div", { class: "wide" }, null, parent));
    grid.style.gridTemplateColumns = `repeat(${heads + 1}, max-content)`;
    make("span", {}, null, grid);
    for (let head = 0; head < heads; head++) make("span", {}, `head ${head + 1}`, grid);
    const width = clamp(64, Math.floor((room - 70) / heads) - 14, 150);
    records.forEach((record, layer) => {
      make("span", {}, `layer ${record.layer + 1}`, grid);
      for (let head = 0; head < heads; head++) {
        if (head >= record.weights.length) { make("span", {}, null, grid); continue; }
        const chosen = state.layer === layer && state.head === head;
        const button = make("button", { type: "button", "aria-pressed": String(chosen), "aria-label": `layer ${record.layer + 1}, head ${head + 1}` }, null, grid);
        button.append(thumbnail(view(record, head), width, state.scale));
        button.addEventListener("click", () => choose(layer, head));
      }
    });
  }

  // ---- numbers, for those who read rather than see --------------------------------------------
  function numbers(parent, shown) {
    const box = make("details", {}, null, parent);
    make("summary", {}, "The numbers as a table", box);
    box.addEventListener("toggle", () => {
      if (!box.open || box.querySelector("table")) return;
      const table = make("table", { class: "numbers" }, null, make("div", { class: "wide" }, null, box));
      const head = make("tr", {}, null, make("thead", {}, null, table));
      make("td", {}, null, head);
      for (const token of shown.record.key_tokens) make("th", { scope: "col" }, visible(token), head);
      const body = make("tbody", {}, null, table);
      shown.record.query_tokens.forEach((token, q) => {
        const row = make("tr", {}, null, body);
        make("th", { scope: "row" }, visible(token), row);
        shown.weights[q].forEach((weight, k) => make("td", {}, shown.may(q, k) ? String(Number(weight.toPrecision(4))) : "masked", row));
      });
    });
  }

  // ---- one figure ----------------------------------------------------------------------------
  function menu(parent, name, options, value, change) {
    if (options.length < 2) return;
    const select = make("select", {}, null, make("label", {}, name, parent));
    for (const [key, text] of options) make("option", { value: String(key) }, text, select);
    select.value = String(value);
    select.dataset.menu = name;
    select.addEventListener("change", () => change(options[select.selectedIndex][0]));
  }
  function mount(figure) {
    const data = JSON.parse(document.getElementById(figure.dataset.records).textContent);
    const names = data.kind_names;
    const kinds = Object.keys(names);
    const state = { kind: kinds[0], words: data.records.some((record) => record.merged), layer: 0, head: "mean", scale: "linear" };
    const tip = make("div", { class: "tip", hidden: "" }, null, document.body);
    const ofKind = () => {
      const same = data.records.filter((record) => record.kind === state.kind);
      const unit = same.filter((record) => record.merged === state.words);
      return unit.length ? unit : same;
    };
    state.layer = ofKind().length - 1;
    const set = (change) => {
      Object.assign(state, change);
      const records = ofKind();
      state.layer = clamp(0, state.layer, records.length - 1);
      if (state.head !== "mean" && state.head >= records[state.layer].weights.length) state.head = "mean";
      redraw();
    };
    function redraw() {
      const focused = document.activeElement && figure.contains(document.activeElement) ? document.activeElement : null;
      const menuName = focused && focused.dataset.menu, buttonName = focused && focused.getAttribute("aria-label");
      figure.textContent = "";
      const records = ofKind(), record = records[state.layer];
      const heads = record.weights.length === 1 ? "mean" : state.head;
      const shown = view(record, heads);
      const room = figure.clientWidth || 900;
      const controls = make("div", { class: "controls" }, null, figure);
      const ambiguous = new Set(records.map((one) => one.layer)).size < records.length;
      menu(controls, "Kind", kinds.map((kind) => [kind, names[kind]]), state.kind, (kind) => { set({ kind, layer: Infinity }); });
      const both = new Set(data.records.filter((one) => one.kind === state.kind).map((one) => one.merged)).size > 1;
      if (both) menu(controls, "Tokens", [[true, "words"], [false, "sub-words"]], state.words, (words) => set({ words }));
      menu(controls, "Layer", records.map((one, i) => [i, `layer ${one.layer + 1}${ambiguous ? ` (${one.module_path})` : ""}`]), state.layer, (layer) => set({ layer }));
      menu(controls, "Head", record.weights.length < 2 ? [] : [["mean", "mean over heads"], ...record.weights.map((_, h) => [h, `head ${h + 1}`])], state.head, (head) => set({ head }));
      menu(controls, "Colours", [["linear", "linear"], ["root", "square root (shows small weights)"]], state.scale, (scale) => set({ scale }));
      legend(figure, record.measure, state.scale, Boolean(record.mask));
      const readout = make("div", { class: "readout", "aria-live": "polite" }, "Point at a cell, or use the arrow keys, for its exact weight.");
      const map = largeMap(shown, state.scale, readout, tip, room);
      make("div", { class: "scroll" }, null, figure).append(map);
      figure.append(readout);
      const facts = [`${record.module_path || "model"}${record.backend ? `, computed by the ${record.backend} backend` : ""}`, `weights rounded to ${data.digits} significant digits`];
      if (record.merged) facts.push(data.merged_note);
      make("p", { class: "note" }, facts.join("; ") + ".", figure);
      numbers(figure, shown);
      overview(figure, records, { ...state, head: heads }, room, (layer, head) => {
        set({ layer, head });
        figure.scrollIntoView({ block: "start" });
        figure.querySelector(".map").focus({ preventScroll: true });
      });
      const again = menuName ? figure.querySelector(`[data-menu="${menuName}"]`) : null;
      if (again) again.focus();
      else if (buttonName) Array.from(figure.querySelectorAll("button")).filter((one) => one.getAttribute("aria-label") === buttonName).forEach((one) => one.focus());
    }
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(figure.clientWidth - width) < 8) return;
      width = figure.clientWidth;
      requestAnimationFrame(redraw);
    }).observe(figure);
    dark.addEventListener("change", redraw);
  }
  document.querySelectorAll("[data-records]").forEach(mount);
  // A page that comes to its records later asks for each figure by this event.
  document.addEventListener("heedful:figure", (event) => mount(event.target));
})();
