/** The page: brings files, service, results and words together, and keeps no state elsewhere. */

import { bannerOf } from "./banner.js";
import { element } from "./element.js";
import { save } from "./export.js";
import { listen } from "./files.js";
import { describe, modelSection } from "./model.js";
import { Item, MOST, Queue } from "./queue.js";
import { card, reason } from "./result.js";
import { shares } from "./bar.js";
import { Refused, askModel, useKey } from "./service.js";
import { Status } from "./status.js";
import { current, other, say, speak, told } from "./words.js";

const MODEL_AGAIN = 5000; // milliseconds until a description that failed is asked for again
const at = (id) => document.getElementById(id);
const status = new Status(onStatus);
const queue = new Queue(status, onItem);
const cards = new Map(); // item to its article
const actions = {
  retry: (item) => queue.retry(item),
  remove: (item) => remove([item], true),
};
let model = { state: "loading", detail: "", version: "" };
let wrongKey = false;
let leftOut = 0; // images of the last choice that found no room

/** Tells those who do not see the page what has happened. */
function announce(...sentences) {
  at("news").append(element("p", {}, sentences.join(" ")));
  while (at("news").childElementCount > 6) at("news").firstElementChild.remove();
}

function showTexts() {
  document.documentElement.lang = current();
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = say(each.dataset.text);
  for (const each of document.querySelectorAll("[data-label]")) {
    each.setAttribute("aria-label", say(each.dataset.label));
  }
  Object.assign(at("language"), { textContent: say("otherLanguage"), lang: other() });
  showLeftOut();
  showStatus();
  showModel();
  showKey();
  for (const item of queue.items) showCard(item);
  showTally();
}

function showStatus() {
  at("service").replaceChildren(bannerOf(status, otherVersions()));
}

/** Whether results of another version than the one that serves now are shown. */
function otherVersions() {
  return queue.items.some((item) => item.answer && status.ready && item.answer.model_version !== status.version);
}

function showModel() {
  const state = queue.locked ? "locked" : model.state;
  at("model-body").replaceChildren(...modelSection(state, model.detail));
}

function showKey() {
  at("key").hidden = !queue.locked;
  at("key-wrong").textContent = queue.locked && wrongKey ? say("key.wrong") : "";
}

function showLeftOut() {
  at("too-many").textContent = leftOut > 0 ? say("images.tooMany", { most: MOST, left: leftOut }) : "";
}

function waiting() {
  if (queue.locked) return "card.waitingKey";
  return status.ready ? "card.waiting" : "card.waitingService";
}

function showCard(item) {
  const before = cards.get(item);
  const made = card(item, waiting(), actions);
  const held = before?.contains(document.activeElement) ? document.activeElement : null;
  if (before) before.replaceWith(made);
  else at("cards").append(made);
  cards.set(item, made);
  // The keyboard stays where it was: on the same button, or on the card that took its place.
  if (held) (made.querySelector(`[data-act="${held.dataset.act}"]`) ?? made).focus();
}

function showTally() {
  const all = queue.items.length;
  const answered = queue.items.filter((item) => item.state === "answered").length;
  const refused = queue.items.filter((item) => item.state === "refused").length;
  at("results").hidden = all === 0;
  at("tally").textContent = say("results.tally", { done: answered + refused, all, answered, refused });
  at("save-all").disabled = answered + refused === 0;
}

function onItem(item) {
  if (!cards.has(item)) return; // was removed while it was judged
  showCard(item);
  showTally();
  if (queue.locked && at("key").hidden) askForKey();
  if (item.state === "answered") {
    announce(...news(item));
    showStatus();
  } else if (item.state === "refused") announceRefusal(item);
  else if (item.state === "busy" && item.tries === 1) announce(say("news.busy"));
}

function news({ name, answer }) {
  const { probability } = shares(answer);
  const prediction = told("classes", answer.prediction).text;
  const count = (answer.quality ?? []).length;
  const warnings = count > 0 ? [say("news.warnings", { count })] : [];
  return [say("news.answered", { name, prediction, probability }), ...warnings];
}

function announceRefusal(item) {
  announce(say("news.refused", { name: item.name, reason: reason(item.refusal).meaning }));
}

function onStatus() {
  showStatus();
  for (const item of queue.items) if (item.state === "waiting") showCard(item);
  if (!status.ready) return;
  queue.run();
  if (model.version !== status.version) loadModel();
}

async function loadModel() {
  try {
    const found = await askModel();
    describe(found);
    model = { state: "known", detail: "", version: found.model_version };
    for (const item of queue.items) if (item.state === "answered") showCard(item);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) askForKey();
    else {
      model = { state: "failed", detail: error.message, version: "" };
      setTimeout(() => status.ready && model.state === "failed" && loadModel(), MODEL_AGAIN);
    }
  }
  showModel();
}

function askForKey() {
  queue.locked = true;
  showKey();
  showModel();
  for (const item of queue.items) if (item.state === "waiting") showCard(item);
  announce(say("key.needed"));
}

async function onKey(event) {
  event.preventDefault();
  wrongKey = !useKey(at("key-field").value.trim());
  if (!wrongKey) {
    queue.locked = false;
    await loadModel();
    wrongKey = queue.locked; // it was refused again
  }
  at("key-field").value = "";
  showKey();
  if (wrongKey) {
    at("key-field").focus();
    return;
  }
  at("images").focus();
  queue.unlock();
  for (const item of queue.items) if (item.state === "waiting") showCard(item);
}

function onFiles(files) {
  const room = Math.max(MOST - queue.items.length, 0);
  leftOut = Math.max(files.length - room, 0);
  showLeftOut();
  const items = files.slice(0, room).map(({ file, isFolder }) => new Item(file, isFolder));
  if (items.length === 0) return;
  announce(say("news.chosen", { count: items.length }));
  queue.items.push(...items);
  for (const item of items) {
    showCard(item);
    if (item.state === "refused") announceRefusal(item);
  }
  showTally();
  queue.run();
}

function remove(items, isOne) {
  for (const item of items) {
    queue.remove(item);
    cards.get(item).remove();
    cards.delete(item);
  }
  showTally();
  showStatus();
  announce(say("news.removed"));
  if (isOne && queue.items.length > 0) at("cards").firstElementChild.focus();
  else at("files").focus();
}

listen(at("files"), at("drop"), onFiles);
at("key").addEventListener("submit", onKey);
at("save-all").addEventListener("click", () => save(queue.items.filter((item) => item.done), "results"));
at("clear").addEventListener("click", () => remove([...queue.items], false));
at("language").addEventListener("click", () => {
  speak(other());
  const address = new URL(location.href);
  address.searchParams.set("lang", current());
  history.replaceState(null, "", address); // so that a reload keeps it, though nothing is stored
  showTexts();
});
at("files").disabled = false; // it was, until a script could take what is chosen
showTexts();
status.check();
