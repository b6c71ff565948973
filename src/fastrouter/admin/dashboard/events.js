// What happens: changes of the table, marks, reloads, workers, and what operators do.

import { choice, field, h } from "./dom.js";
import { clock } from "./format.js";
import { liveTable } from "./live_table.js";

const KINDS = [
  ["", "everything"],
  ["route-", "routes"],
  ["endpoint-", "endpoints"],
  ["endpoint-failed", "marks"],
  ["endpoint-pruned", "prunes"],
  ["worker-", "workers"],
  ["admin-act", "acts of operators"],
];

const COLUMNS = [
  { title: "When", cell: (row) => clock(row.time) },
  { title: "What", cell: (row) => h("span", { class: /failed|pruned|exited|refused/.test(row.kind) ? "bad" : null }, row.kind) },
  { title: "Route", name: true, cell: (row) => row.route || "" },
  { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.endpoint || "") },
  { title: "More", name: true, cell: (row) => [row.reason, row.data && JSON.stringify(row.data)].filter(Boolean).join(" ") },
];

export function show(main, context) {
  let kind = "";
  const live = liveTable(context, {
    path: "/v1/events",
    query: () => ({ kind, after: "0" }),
    columns: COLUMNS,
    options: { choose: (row) => row.route && context.openRoute(row.route), key: (row) => row.id },
    kept: 500,
    replays: true,
    take: (name, data) => (name === "gap" ? { time: Date.now() / 1000, kind: "(some events are missing)" } : data),
    caption: () => "Newest first",
    broken: "The events have broken off and begin again.",
  });

  main.append(
    h("form", { class: "bar", onsubmit: (event) => event.preventDefault() },
      field("Kind", choice(KINDS, kind, (value) => {
        kind = value;
        live.restart();
      })),
      live.pause),
    live.place,
  );
  live.start();
  return live.end;
}
