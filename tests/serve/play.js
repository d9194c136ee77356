// What a person does on the page, and what is to be seen after each step. A headless browser may draw no frame before it
// writes a page out: sizes and frames come by timers instead.
"use strict";
window.requestAnimationFrame = (draw) => setTimeout(draw, 0);
window.ResizeObserver = class { constructor(tell) { this.tell = tell; } observe() { setTimeout(this.tell, 0); } };
window.alerts = 0; window.alert = () => { window.alerts += 1; };
window.failures = []; window.addEventListener("error", (event) => { window.failures.push(event.message); });
document.addEventListener("securitypolicyviolation", (event) => { window.failures.push(`policy: ${event.violatedDirective}`); });
(async () => {
  const seen = {};
  const at = (id) => document.getElementById(id);
  const until = async (met) => {
    for (let n = 0; n < 400; n++) {
      if (met()) return;
      await new Promise((done) => setTimeout(done, 25));
    }
    throw new Error(`not seen: ${met}`);
  };
  const choose = (name) => { at("model").value = name; at("model").dispatchEvent(new Event("change")); };
  const check = (name) => { document.querySelector(`[data-option="${name}"]`).checked = true; };
  const send = async () => {
    at("answers").textContent = "";
    at("ask").requestSubmit();
    await until(() => at("answers").childElementCount || at("status").classList.contains("error"));
    await until(() => !at("send").disabled);
  };
  const answers = () => Array.from(document.querySelectorAll(".answer > .main"), (one) => one.textContent);
  const play = async () => {
    await until(() => at("model") && at("model").options.length);
    seen.models = Array.from(at("model").options, (one) => one.textContent);
    seen.token = getComputedStyle(at("token-field")).display;
    choose("words");
    at("text").value = '<img src=x onerror="alert(1)"> saw\n\nI saw';
    check("figure");
    await send();
    seen.words = answers();
    await until(() => document.querySelectorAll('.answer [data-state="all"]').length === 2);
    seen.rows = Array.from(document.querySelectorAll("svg.rows")[1].querySelectorAll("text"), (one) => one.firstChild.textContent);
    seen.cells = document.querySelectorAll(".answer .map canvas").length;
    choose("mood");
    at("text").value = "a good film";
    document.querySelector('[data-option="threshold"]').value = "7";
    await send();
    seen.error = at("status").textContent;
    choose("images");
    seen.fields = [at("text-field").hidden, at("file-field").hidden];
    const pixels = document.createElement("canvas");
    pixels.width = pixels.height = 8;
    pixels.getContext("2d").fillRect(0, 0, 3, 8);
    const blob = await new Promise((done) => pixels.toBlob(done));
    const transfer = new DataTransfer();
    transfer.items.add(new File([blob], "drawn.png", { type: "image/png" }));
    at("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
    seen.file = at("file-name").textContent;
    await send();
    seen.images = answers();
  };
  try { await play(); } catch (error) { window.failures.push(String(error)); }
  seen.alerts = window.alerts; seen.images_loaded = document.images.length; seen.failures = window.failures;
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.append(note);
})();
