// The configuration as it is in effect, without secrets.

import { get } from "./api.js";
import { field, h } from "./dom.js";

export function show(main, context) {
  let lines = [];
  const text = h("pre");
  const filter = h("input", { type: "search", placeholder: "part of a key or value", oninput: draw });

  function draw() {
    const wanted = filter.value.toLowerCase();
    text.textContent = lines.filter((line) => line.toLowerCase().includes(wanted)).join("\n") || "No line has this.";
  }

  main.append(h("form", { class: "bar", onsubmit: (event) => event.preventDefault() }, field("Filter", filter)), text);
  get("/v1/config")
    .then((config) => {
      lines = flat("", config);
      draw();
    })
    .catch(context.failed);
  return () => {};
}

// One line for each value, with the whole path to it.
function flat(path, value) {
  if (value === null || typeof value !== "object") return [`${path}: ${JSON.stringify(value)}`];
  const entries = Object.entries(value);
  if (!entries.length) return [`${path}: ${Array.isArray(value) ? "[]" : "{}"}`];
  return entries.flatMap(([key, item]) => flat(Array.isArray(value) ? `${path}[${key}]` : path ? `${path}.${key}` : key, item));
}
