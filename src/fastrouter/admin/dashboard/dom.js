// Elements, made without HTML text: what comes from the router is only ever text.

const SVG = "http://www.w3.org/2000/svg";

// Make an element: attributes by name, `on…` functions as listeners, children that are nodes or text; null is nothing.
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// The same of SVG.
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Replace what is in `place`. Whoever is at a row of it, or at the button of a row, goes on there; a button that is being
// pressed is not taken away.
export function renew(place, ...children) {
  if (place.querySelector("button:active")) return;
  const at = document.activeElement;
  const row = place.contains(at) ? at.closest("tr[data-key]") : null;
  place.replaceChildren(...children);
  if (row === null) return;
  const again = [...place.querySelectorAll("tr[data-key]")].find((one) => one.dataset.key === row.dataset.key);
  (at === row ? again : again?.querySelector("button"))?.focus({ preventScroll: true });
}

// A table. Columns are {title, cell(row), number, name}; `choose(row)` is called for the row that is clicked or entered;
// `key(row)` is what `renew` knows a row by.
export function table(caption, columns, rows, { choose = null, isChosen = () => false, key = () => null, empty = "Nothing yet." } = {}) {
  const kind = (column) => (column.number ? "number" : column.name ? "name" : null);
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: kind(column) }, column.title)));
  const body = rows.map((row) => {
    const cells = columns.map((column) => h("td", { class: kind(column) }, column.cell(row)));
    if (choose === null) return h("tr", { "data-key": key(row) }, cells);
    return h(
      "tr",
      {
        class: "choice",
        "data-key": key(row),
        tabindex: "0",
        "aria-selected": String(isChosen(row)),
        onclick: () => choose(row),
        onkeydown: (event) => {
          if (event.key === "Enter") choose(row);
        },
      },
      cells,
    );
  });
  const none = h("tr", {}, h("td", { colspan: columns.length, class: "quiet" }, empty));
  return h(
    "div",
    { class: "scroll" },
    h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, body.length ? body : none)),
  );
}

// A labelled control of a form.
export function field(label, control) {
  return h("label", {}, label, control);
}

// A choice between values, given as [value, text].
export function choice(options, value, change) {
  const items = options.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
  return h("select", { onchange: (event) => change(event.target.value) }, items);
}
