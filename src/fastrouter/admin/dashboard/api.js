// Calls of the admin API, which is where this page comes from.

let token = sessionStorage.getItem("token");
const waiting = [];

// What the router says is wrong (RFC 9457).
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// A token may come with the address, behind `#token=`, and is taken out of it.
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return;
  useToken(given);
  history.replaceState(null, "", location.pathname);
}

// Go on with this token, also with what waits for one.
export function useToken(given) {
  token = given;
  sessionStorage.setItem("token", given);
  for (const go of waiting.splice(0)) go();
}

// Whether something waits for a token.
export function isTokenNeeded() {
  return waiting.length > 0;
}

let askForToken = () => {};

// `ask` is called whenever a token is needed that is not there.
export function onTokenNeeded(ask) {
  askForToken = ask;
}

async function send(method, path, { query = {}, body = undefined, headers = {}, signal = undefined } = {}) {
  const entries = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const url = entries.length ? `${path}?${new URLSearchParams(entries)}` : path;
  for (;;) {
    const all = { ...headers };
    if (token) all.Authorization = `Bearer ${token}`;
    if (body !== undefined) all["Content-Type"] = "application/json";
    const response = await fetch(url, { method, headers: all, body: body && JSON.stringify(body), signal });
    if (response.status !== 401) {
      if (!response.ok) throw await problemOf(response);
      return response;
    }
    askForToken((await problemOf(response)).message);
    await new Promise((resolve) => waiting.push(resolve));
  }
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    return new Problem(response.status, problem.detail || problem.title);
  } catch {
    return new Problem(response.status, response.statusText);
  }
}

// Read a resource.
export async function get(path, query = {}) {
  return (await send("GET", path, { query })).json();
}

// Change something; returns what the router says, null if that is nothing.
export async function act(method, path, body = undefined) {
  const response = await send(method, path, { body });
  return response.status === 204 ? null : response.json();
}

// A route or an id as one segment of a path.
export const segment = encodeURIComponent;

// Read server-sent events until `stop` of the result is called. `take(kind, data)` gets each; `state(isOpen)` tells when
// the stream begins and breaks off. It goes on behind the last event that came. EventSource could not send a token.
export function listen(path, query, take, state = () => {}) {
  const controller = new AbortController();
  let lastId = null;
  let pause = 500;

  async function once() {
    const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
    const response = await send("GET", path, { query, headers, signal: controller.signal });
    state(true);
    pause = 500;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const lines = Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
        if (lines.id) lastId = lines.id;
        if (lines.data) take(lines.event || "message", JSON.parse(lines.data));
      }
    }
  }

  (async () => {
    while (!controller.signal.aborted) {
      let reason = "";
      try {
        await once();
      } catch (error) {
        if (controller.signal.aborted) return;
        if (error instanceof Problem) {
          reason = error.message;
          if (error.status < 500) {
            state(false, reason);
            return;
          }
        }
      }
      state(false, reason);
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(2 * pause, 10000);
    }
  })();
  return { stop: () => controller.abort() };
}

// Call `work` now and every `seconds` while the page is visible, until `stop` of the result is called. One call at a
// time; `failed` gets what it throws, and null when it has gone well again.
export function repeat(seconds, work, failed) {
  let timer = null;
  let stopped = false;
  let isFailing = false;

  async function round() {
    if (!document.hidden) {
      try {
        await work();
        if (isFailing && !stopped) failed(null);
        isFailing = false;
      } catch (error) {
        isFailing = true;
        if (!stopped) failed(error);
      }
    }
    if (!stopped) timer = setTimeout(round, seconds * 1000);
  }

  round();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
