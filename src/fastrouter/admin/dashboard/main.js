// The page: the strip on top, the tabs, and the keys. Each view is a module of its own with `show(main, context)`, which
// returns a function that ends it.

import { Problem, get, isTokenNeeded, onTokenNeeded, repeat, takeToken, useToken } from "./api.js";
import { field, h } from "./dom.js";
import * as drawer from "./drawer.js";
import { amount, grade, percent, span } from "./format.js";
import { sparkline } from "./sparkline.js";
import * as certificates from "./certificates.js";
import * as configuration from "./configuration.js";
import * as events from "./events.js";
import * as requests from "./requests.js";
import * as routes from "./routes.js";
import * as tail from "./tail.js";

const VIEWS = [
  ["routes", "Routes", routes],
  ["tail", "Live tail", tail],
  ["requests", "In flight", requests],
  ["events", "Events", events],
  ["certificates", "Certificates", certificates],
  ["configuration", "Configuration", configuration],
];

const KEYS = [
  ["1 … 6", "go to a view"],
  ["/", "filter"],
  ["j, k", "next and previous row"],
  ["Enter", "open the row"],
  ["p", "pause or go on"],
  ["d", "go into the details"],
  ["Esc", "leave a field, or close the details"],
  ["?", "these keys"],
];

const LOST = "The admin API does not respond; what is shown is old.";

const main = document.getElementById("content");
const notice = document.getElementById("notice");
let endView = () => {};

// Say something above everything; an empty text takes it away.
function tell(text) {
  notice.textContent = text;
  notice.hidden = text === "";
}

const context = {
  tell,
  failed: (error) => {
    if (error === null) tell("");
    else tell(error instanceof Problem ? error.message : LOST);
  },
  openRoute: (route) => {
    const query = new URLSearchParams({ route });
    location.hash = `${currentView()}?${query}`;
  },
  route: () => new URLSearchParams(location.hash.split("?")[1] || "").get("route"),
};

function currentView() {
  const name = location.hash.slice(1).split("?")[0];
  return VIEWS.some(([key]) => key === name) ? name : "routes";
}

let shown = null;

function navigate() {
  takeToken();
  const name = currentView();
  if (name !== shown) {
    endView();
    tell("");
    shown = name;
    const [, title, view] = VIEWS.find(([key]) => key === name);
    document.title = `${title} – fastrouter`;
    main.replaceChildren();
    endView = view.show(main, context);
  }
  document.getElementById("tabs").replaceChildren(
    ...VIEWS.map(([key, title]) =>
      h("a", { href: `#${key}`, "aria-current": key === name ? "page" : null }, title),
    ),
  );
  drawer.open(context.route(), context);
}

function entry(title, value, grading = null, extra = null) {
  return h("div", {}, h("dt", {}, title), h("dd", { class: grading }, value), extra);
}

async function refreshStrip() {
  const [overview, history] = await Promise.all([get("/v1/overview"), get("/v1/overview/history")]);
  const { rates } = overview;
  const rateLine = history.points.map((point) => point.requests_per_second);
  const errorLine = history.points.map((point) => point.requests_per_second * point.errors);
  const nats = overview.nats_connected;
  const certificate = overview.next_certificate;
  document.getElementById("version").textContent = overview.version;
  const entries = [
    entry("Requests/s", amount(rates.requests_per_second), null, sparkline("requests and errors a second, last hour", rateLine, errorLine)),
    entry("5xx", percent(rates.errors), grade(rates.errors)),
    entry("p50", span(rates.latency_p50 === null ? null : rates.latency_p50 / 1000)),
    entry("p99", span(rates.latency_p99 === null ? null : rates.latency_p99 / 1000)),
    entry("In flight", amount(rates.in_flight)),
    entry("Routes", amount(overview.routes)),
    entry("NATS", nats === null ? "none" : nats ? "connected" : "lost", nats === false ? "bad" : null),
    certificate && entry("Next expiry", span(certificate.days_left * 86400), certificate.days_left < 14 ? "bad" : null),
    entry("State", overview.state, overview.state === "serving" && overview.healthy ? "good" : "warn"),
    entry("Workers", `${overview.serving_workers}/${overview.workers}`, overview.serving_workers < overview.workers ? "warn" : null),
  ];
  document.getElementById("strip").replaceChildren(...entries.filter((one) => one !== null));
}

// Move the focus by so many rows.
function moveRow(by) {
  const rows = [...main.querySelectorAll("tr.choice")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + by))].focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Escape") {
    if (context.route() === null) return;
    location.hash = currentView();
    main.querySelector('tr[aria-selected="true"]')?.focus();
    return;
  }
  const view = VIEWS[Number(event.key) - 1];
  if (view !== undefined) location.hash = view[0];
  else if (event.key === "/") main.querySelector("input")?.focus();
  else if (event.key === "j") moveRow(1);
  else if (event.key === "k") moveRow(-1);
  else if (event.key === "p") main.querySelector("[data-pause]")?.click();
  else if (event.key === "d") document.querySelector("#drawer button")?.focus();
  else if (event.key === "?") document.getElementById("keys").showModal();
  else return;
  event.preventDefault();
}

function prepareDialogs() {
  const keys = document.getElementById("keys");
  const rows = KEYS.map(([key, text]) => h("tr", {}, h("td", {}, h("kbd", {}, key)), h("td", {}, text)));
  keys.append(h("h2", {}, "Keys"), h("table", {}, h("tbody", {}, rows)), h("form", { method: "dialog", class: "buttons" }, h("button", {}, "Close")));

  const dialog = document.getElementById("sign-in");
  const reason = h("p", { class: "quiet" });
  const input = h("input", { type: "password", autocomplete: "off", required: true });
  dialog.append(
    h("h2", {}, "Sign in"),
    reason,
    h(
      "form",
      { method: "dialog", onsubmit: () => {
        useToken(input.value);
        input.value = "";
      } },
      field("Token of the admin API", input),
      h("div", { class: "buttons" }, h("button", {}, "Sign in")),
    ),
  );
  // There is nothing to see without.
  dialog.addEventListener("close", () => {
    if (isTokenNeeded() && !dialog.open) dialog.showModal();
  });
  onTokenNeeded((text) => {
    reason.textContent = text;
    if (!dialog.open) dialog.showModal();
  });
}

prepareDialogs();
addEventListener("hashchange", navigate);
addEventListener("keydown", onKey);
navigate();
repeat(2, refreshStrip, context.failed);
