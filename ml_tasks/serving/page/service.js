/** The service over HTTP: its answers, its refusals, and the silence when it is not there. */

const PATIENCE = 180; // seconds for one answer: a film of 100 MB over a slow line takes a while
const LONGEST_WAIT = 60; // seconds, whatever Retry-After says
let key = ""; // in memory only: gone with the tab

/** The service answered, and not with what was asked for. */
export class Refused extends Error {
  constructor(status, error, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.error = error;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/** No answer came: no network, no service, or a transfer that broke off. */
export class Unreachable extends Error {}

/** Takes a key; false for one that no header can carry, so it is wrong without asking. */
export function useKey(text) {
  if (!/^[\x21-\x7e]+$/.test(text)) return false;
  key = text;
  return true;
}

export function hasKey() {
  return key !== "";
}

/** The model's description. */
export function askModel() {
  return ask("v1/model", { seconds: 30 });
}

/** Whether the service can answer, and by which model. */
export function askReady() {
  return ask("ready", { seconds: 10 });
}

/** The answer for one file. Its name stays here: it may hold a patient's. */
export async function askPrediction(file) {
  const form = new FormData();
  form.append("file", file, "image");
  const answer = await ask("v1/predict?activation_map=true&picture=true", {
    method: "POST",
    body: form,
    seconds: PATIENCE,
  });
  const result = answer.results?.[0];
  if (result?.status === "refused") throw new Refused(200, result.error, result.detail, null);
  if (!isAnswer(result)) throw new Refused(200, "odd_answer", "", null);
  return { ...result, model_version: answer.model_version, notice: answer.notice };
}

/** Whether an answer has everything that is shown of it: half a result must not be shown as one. */
function isAnswer(result) {
  const words = ["prediction", "positive_class", "threshold_rule", "confidence_words"];
  const shares = ["probability", "confidence", "threshold"];
  return (
    result?.status === "answered" &&
    Array.isArray(result.quality ?? []) &&
    words.every((name) => typeof result[name] === "string") &&
    shares.every((name) => result[name] >= 0 && result[name] <= 1)
  );
}

async function ask(path, { seconds, ...options }) {
  const headers = key === "" ? {} : { authorization: `Bearer ${key}` };
  const signal = AbortSignal.timeout(seconds * 1000);
  let response;
  let text;
  try {
    response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "TimeoutError") throw new Refused(0, "timed_out", "", null);
    throw new Unreachable(error.message);
  }
  const content = parsed(text);
  if (response.ok && content !== null) return content;
  throw new Refused(
    response.status,
    String(content?.error ?? "odd_answer"),
    String(content?.detail ?? `HTTP ${response.status}`),
    wait(response.headers.get("retry-after")),
  );
}

function parsed(text) {
  try {
    const content = JSON.parse(text);
    return typeof content === "object" ? content : null;
  } catch {
    return null; // a proxy's page, or an answer that was cut off
  }
}

/** Seconds to wait: what Retry-After says, from 1 to a minute; null without it. */
function wait(text) {
  if (text === null) return null;
  const seconds = Number(text);
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 1), LONGEST_WAIT) : 2;
}
