// Routes: the worst of a window first, with an hour of their past; or all of them in pages.

import { get, repeat } from "./api.js";
import { choice, field, h, renew, table } from "./dom.js";
import { amount, grade, percent, span } from "./format.js";
import { sparkline } from "./sparkline.js";

const ORDERS = [
  ["errors", "errors"],
  ["p99", "latency (p99)"],
  ["rps", "requests"],
  ["inflight", "in flight"],
  ["all", "name (all routes)"],
];
const WINDOWS = [
  ["10", "10 s"],
  ["60", "1 min"],
  ["600", "10 min"],
  ["3600", "1 h"],
];
const PAGE = 100;
const WORST = 50;

export function show(main, context) {
  const wanted = { order: "errors", window: "60", filter: "" };
  const place = h("div");
  let cursor = null;
  let listed = [];
  let running = null;
  // What was asked for before the last change is not shown any more.
  let turn = 0;

  function mark() {
    for (const row of place.querySelectorAll("tr.choice")) row.setAttribute("aria-selected", String(row.dataset.key === context.route()));
  }

  function drawWorst(found) {
    const columns = [
      { title: "Route", name: true, cell: (row) => row.route },
      { title: "Requests/s", number: true, cell: (row) => amount(row.requests_per_second) },
      { title: "5xx", number: true, cell: (row) => h("span", { class: grade(row.errors) }, percent(row.errors)) },
      { title: "p50", number: true, cell: (row) => span(row.p50) },
      { title: "p99", number: true, cell: (row) => span(row.p99) },
      { title: "In flight", number: true, cell: (row) => amount(row.in_flight) },
      { title: "Retries/s", number: true, cell: (row) => amount(row.retries_per_second) },
      { title: "Last hour", cell: (row) => sparkline(`requests and errors of ${row.route}, last hour`, row.series, row.error_series) },
    ];
    draw(columns, found, `The ${amount(found.length)} that stand out most in this window`, null);
  }

  function drawAll(total) {
    const columns = [
      { title: "Route", name: true, cell: (row) => row.route },
      { title: "Apps", name: true, cell: (row) => row.app_ids.join(", ") },
      { title: "Endpoints", number: true, cell: (row) => h("span", { class: row.endpoints ? null : "warn" }, amount(row.endpoints)) },
      { title: "Failed", number: true, cell: (row) => h("span", { class: row.failed ? "bad" : null }, amount(row.failed)) },
      { title: "Draining", number: true, cell: (row) => amount(row.draining) },
      { title: "In flight", number: true, cell: (row) => amount(row.in_flight) },
      { title: "Balanced by", cell: (row) => row.algorithm || "default" },
    ];
    const more = cursor === null ? null : h("button", { onclick: () => nextPage().catch(context.failed) }, "More");
    draw(columns, listed, `${amount(listed.length)} of ${amount(total)} routes`, more);
  }

  function draw(columns, rows, caption, more) {
    renew(
      place,
      table(caption, columns, rows, {
        choose: (row) => context.openRoute(row.route),
        isChosen: (row) => row.route === context.route(),
        key: (row) => row.route,
        empty: !wanted.filter ? "No requests in this window." : "No such route" + (wanted.order === "all" ? "." : " had requests in this window; “name (all routes)” has the others."),
      }),
      ...(more ? [h("p", {}, more)] : []),
    );
  }

  // Those that stand out, and behind them those with most requests: a route without errors is in no list of errors.
  async function worst() {
    const query = { window: wanted.window, filter: wanted.filter, limit: WORST, series: true };
    const lists = await Promise.all([wanted.order, "rps"].map((by) => get("/v1/top", { ...query, by })));
    const found = new Map();
    for (const { items } of lists) for (const item of items) if (!found.has(item.route)) found.set(item.route, item);
    return [...found.values()].slice(0, WORST);
  }

  async function nextPage() {
    const mine = turn;
    const page = await get("/v1/routes", { filter: wanted.filter, limit: PAGE, cursor });
    if (mine !== turn) return;
    const before = listed.length;
    cursor = page.next;
    listed = listed.concat(page.items);
    drawAll(page.total);
    // The button that was pressed is gone: go on with what it has brought.
    if (before) place.querySelectorAll("tr.choice")[before]?.focus();
  }

  function restart() {
    running?.stop();
    running = null;
    const mine = ++turn;
    if (wanted.order === "all") {
      cursor = null;
      listed = [];
      nextPage().catch(context.failed);
      return;
    }
    running = repeat(10, async () => {
      const found = await worst();
      if (mine === turn) drawWorst(found);
    }, context.failed);
  }

  function change(name, value) {
    wanted[name] = value;
    restart();
  }

  let typing = null;
  main.append(
    h(
      "form",
      { class: "bar", onsubmit: (event) => event.preventDefault() },
      field("Filter", h("input", {
        type: "search",
        placeholder: "part of a host or path",
        oninput: (event) => {
          clearTimeout(typing);
          typing = setTimeout(() => change("filter", event.target.value), 250);
        },
      })),
      field("Worst by", choice(ORDERS, wanted.order, (value) => change("order", value))),
      field("Window", choice(WINDOWS, wanted.window, (value) => change("window", value))),
    ),
    place,
  );
  addEventListener("hashchange", mark);
  restart();
  return () => {
    turn += 1;
    removeEventListener("hashchange", mark);
    clearTimeout(typing);
    running?.stop();
  };
}
