// Requests under way, the oldest first.

import { get, repeat } from "./api.js";
import { choice, field, h, renew, table } from "./dom.js";
import { amount, bytes, span } from "./format.js";

const AGES = [["0", "all"], ["1", "over 1 s"], ["10", "over 10 s"], ["60", "over 1 min"]];

export function show(main, context) {
  let olderThan = "0";
  const place = h("div");
  const columns = [
    { title: "Age", number: true, cell: (row) => span(row.age) },
    { title: "State", cell: (row) => row.state },
    { title: "Method", cell: (row) => row.method },
    { title: "URL", name: true, cell: (row) => row.host + row.path },
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.endpoint || "–") },
    { title: "Client", cell: (row) => h("span", { class: "mono" }, row.client) },
    { title: "In", number: true, cell: (row) => bytes(row.bytes_received) },
    { title: "Out", number: true, cell: (row) => bytes(row.bytes_sent) },
    { title: "Tries", number: true, cell: (row) => String(row.attempts) },
    { title: "Protocol", cell: (row) => row.protocol },
  ];

  async function refresh() {
    const found = await get("/v1/requests", { older_than: olderThan, limit: 200 });
    renew(
      place,
      table(`${amount(found.items.length)} of ${amount(found.total)}, oldest first`, columns, found.items, {
        choose: (row) => row.route && context.openRoute(row.route),
        key: (row) => row.request_id,
        empty: "Nothing is under way.",
      }),
    );
  }

  main.append(
    h("form", { class: "bar", onsubmit: (event) => event.preventDefault() },
      field("Age", choice(AGES, olderThan, (value) => {
        olderThan = value;
        refresh().catch(context.failed);
      }))),
    place,
  );
  const running = repeat(1, refresh, context.failed);
  return () => running.stop();
}
