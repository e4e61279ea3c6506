// Every request that the page makes: the key, the latency, and errors as one sentence.

const KEY = "timerec-key";
const KEPT = 50;
const latencies = [];

// An answer that is an error. Status 0: there was no answer.
export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const setKey = (key) => sessionStorage.setItem(KEY, key);
export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

const word = encodeURIComponent;
const asOf = (at) => (at === null ? "" : `at=${at}`);

export const recommend = (body, signal) => ask("/v1/recommend", { body, signal });
export const users = (search, limit, signal) => ask(`/v1/users?search=${word(search)}&limit=${limit}`, { signal });
export const history = (user, limit, signal) => ask(`/v1/users/${word(user)}/history?limit=${limit}`, { signal });
export const forecast = (item, at, signal) => ask(`/v1/items/${word(item)}/forecast?${asOf(at)}`, { signal });
export const similar = (item, at, signal) => ask(`/v1/similar/${word(item)}?${asOf(at)}`, { signal });

// The event's id is the sender's, so sending it again after a lost answer cannot count it twice.
export async function take(event) {
  for (let left = 2; ; left -= 1) {
    try {
      return await ask("/v1/events", { body: event });
    } catch (failure) {
      if (left === 0 || ![0, 503, 504].includes(failure.status)) throw failure;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

// State of the parts. It is told with 503 where a part is missing, and it is no part of the latency: it is asked all the time.
export async function ready() {
  const answer = await send("/readyz", { signal: AbortSignal.timeout(5000) });
  const told = await json(answer);
  if (typeof told?.now !== "number") throw failureOf(answer, told);
  return told;
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing where the page is not served over TLS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// {median, p95} in milliseconds of the last requests; null before the first.
export function latency() {
  if (!latencies.length) return null;
  const ordered = [...latencies].sort((one, other) => one - other);
  const middle = ordered.length / 2;
  const median = (ordered[Math.ceil(middle) - 1] + ordered[Math.floor(middle)]) / 2;
  return { median, p95: ordered[Math.ceil(0.95 * ordered.length) - 1] };
}

async function ask(url, { body, signal }) {
  const began = performance.now();
  const answer = await send(url, { body, signal });
  const told = await json(answer);
  latencies.push(performance.now() - began);
  if (latencies.length > KEPT) latencies.shift();
  if (!answer.ok || told === null) throw failureOf(answer, told);
  return told;
}

async function send(url, { body, signal }) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (hasKey()) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  try {
    return await fetch(url, { method: body ? "POST" : "GET", body: body && JSON.stringify(body), headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server cannot be reached.");
  }
}

async function json(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null; // a proxy's page, or a connection that broke off
  }
}

function failureOf(answer, told) {
  return new Failure(answer.status, told?.detail ?? `The server answered ${answer.status} and gave no reason.`);
}
