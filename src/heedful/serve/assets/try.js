// Asks the server and shows its answers. Whatever comes from it or from a person passes only through textContent.
"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  let models = [];
  let dropped = null;
  let figures = 0;

  function make(name, attributes, text, parent) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  function say(text, isError) {
    at("status").textContent = text;
    at("status").classList.toggle("error", Boolean(isError));
  }
  async function ask(path, options) {
    const headers = { ...(options.headers || {}) };
    const token = at("token").value;
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers });
    const values = await response.json();
    if (response.status === 401) at("token-field").hidden = false;
    if (!response.ok) throw new Error(values.error || `status ${response.status}`);
    return values;
  }
  const chosen = () => models.find((model) => model.name === at("model").value);

  // ---- the form ------------------------------------------------------------------------------
  async function load() {
    try {
      models = (await ask("/models", {})).models;
    } catch (error) {
      say(error.message, true);
      return;
    }
    say("", false);
    at("model").textContent = "";
    for (const model of models) make("option", { value: model.name }, `${model.name} (${model.task})`, at("model"));
    show();
  }
  function show() {
    const model = chosen();
    const files = model.takes === "files";
    at("text-field").hidden = files;
    at("file-field").hidden = !files;
    at("about").textContent = model.labels.length ? `Labels: ${model.labels.slice(0, 20).join(", ")}${model.labels.length > 20 ? ", …" : ""}` : "";
    at("options").textContent = "";
    for (const [name, option] of Object.entries(model.options)) {
      if (name === "attention") continue; // the page draws the figure
      const check = option.type === "boolean";
      const label = make("label", check ? { class: "check", title: option.description } : { title: option.description }, null, at("options"));
      const kind = check ? { type: "checkbox" } : { type: "number", step: option.type === "integer" ? "1" : "any" };
      const shown = name === "figure" ? "attention" : name.replaceAll("_", " ");
      if (!check) label.append(shown);
      const input = make("input", { ...kind, "data-option": name }, null, label);
      input.checked = name === "figure";
      if (check) label.append(shown);
    }
  }
  function options() {
    const found = {};
    for (const input of at("options").querySelectorAll("input")) {
      if (input.type === "checkbox" && input.checked) found[input.dataset.option] = true;
      if (input.type === "number" && input.value !== "") found[input.dataset.option] = Number(input.value);
    }
    return found;
  }

  // ---- the answers ---------------------------------------------------------------------------
  // The line to show first: whatever of these a prediction has.
  function headline(values) {
    if (values.translations) return values.translations.map((one) => one.text).join("\n");
    if (values.transcripts) return values.transcripts.map((one) => one.text).join("\n");
    if (values.tokens && values.labels) return values.tokens.map((token, i) => `${token}/${values.labels[i]}`).join(" ");
    if (values.labels) {
      const shares = values.probabilities || [];
      return values.labels.map((label, i) => (shares[i] === undefined ? label : `${label} (${Number(shares[i].toPrecision(3))})`)).join(", ");
    }
    return JSON.stringify(values.answer ?? values.forecast ?? values.objects ?? values);
  }
  function draw(values, given) {
    const box = make("div", { class: "answer" }, null, at("answers"));
    make("p", { class: "given" }, given, box);
    const { figure: drawn, ...rest } = values;
    make("p", { class: "main" }, headline(rest), box);
    const details = make("details", {}, null, box);
    make("summary", {}, "As JSON", details);
    make("pre", { tabindex: 0, role: "region", "aria-label": "the answer as JSON" }, JSON.stringify(rest, null, 1), details);
    if (!drawn) return;
    figures += 1;
    const name = `records-${figures}`;
    make("script", { type: "application/json", id: name }, JSON.stringify(drawn), box);
    const figure = make("div", { "data-records": name }, null, box);
    figure.dispatchEvent(new Event("heedful:figure", { bubbles: true }));
  }
  function request(model) {
    const wanted = options();
    if (model.takes !== "files") {
      const lines = at("text").value.split("\n").filter((line) => line.trim());
      return { lines, headers: { "content-type": "application/json" }, body: JSON.stringify({ inputs: lines, ...wanted }) };
    }
    const form = new FormData();
    const file = dropped || at("file").files[0];
    if (!file) throw new Error("choose a file first");
    form.append("file", file);
    for (const [name, value] of Object.entries(wanted)) form.append(name, JSON.stringify(value));
    return { lines: [file.name], body: form };
  }
  async function send(event) {
    event.preventDefault();
    const model = chosen();
    if (!model) { await load(); return; }
    at("send").disabled = true;
    at("answers").textContent = "";
    say("…", false);
    try {
      const began = performance.now();
      const path = `/models/${encodeURIComponent(model.name)}/predict`;
      const { lines, ...sent } = request(model);
      const { predictions } = await ask(path, { method: "POST", ...sent });
      say(`${Math.round(performance.now() - began)} ms`, false);
      predictions.forEach((values, i) => draw(values, lines[i]));
    } catch (error) {
      say(error.message, true);
    }
    at("send").disabled = false;
  }

  // ---- files ---------------------------------------------------------------------------------
  function take(file) {
    dropped = file || null;
    at("file-name").textContent = file ? file.name : "";
  }
  for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    at("drop").addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", isOver);
      if (name === "drop") take(event.dataTransfer.files[0]);
    });
  }
  at("file").addEventListener("change", () => take(at("file").files[0]));
  at("model").addEventListener("change", show);
  at("token").addEventListener("change", load);
  at("ask").addEventListener("submit", send);
  load();
})();
