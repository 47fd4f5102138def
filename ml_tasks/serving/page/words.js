/** The language of the page: its texts, its numbers, and what the service's codes mean. */

import { en } from "./en.js";
import { fr } from "./fr.js";

const TEXTS = { en, fr };
let language = wanted();

/** The first language of the address (`?lang=fr`) or of the browser that the page has. */
function wanted() {
  const asked = new URLSearchParams(location.search).get("lang");
  const found = [asked, ...navigator.languages]
    .filter(Boolean)
    .map((name) => name.slice(0, 2).toLowerCase())
    .find((name) => Object.hasOwn(TEXTS, name));
  return found ?? "en";
}

export function current() {
  return language;
}

export function other() {
  return language === "en" ? "fr" : "en";
}

export function speak(name) {
  language = name;
}

/** The browser's own region of the language, for numbers: en-GB, fr-CA. */
function region() {
  return navigator.languages.find((name) => name.slice(0, 2).toLowerCase() === language) ?? language;
}

/** The text of a key such as `key.title`, its {places} filled; counted by `count` where it varies. */
export function say(key, values = {}) {
  let text = key.split(".").reduce((part, name) => part[name], TEXTS[language]);
  if (typeof text === "object") {
    const form = new Intl.PluralRules(language).select(values.count);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The text for one of the service's codes; null for a code that the page does not know. */
export function known(table, code) {
  const texts = TEXTS[language][table];
  return Object.hasOwn(texts, code) ? texts[code] : null;
}

/** A class, a meaning or a rule of the model: translated where it is known, else as it was written. */
export function told(table, text) {
  const found = known(table, text);
  return found === null ? { text, lang: "en" } : { text: found, lang: language };
}

export function number(value, digits) {
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(region(), format).format(value);
}

export function percent(value, digits = 1) {
  const format = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  const text = (share) => new Intl.NumberFormat(region(), format).format(share);
  const step = 10 ** -(digits + 2);
  if (value > 0 && value < step / 2) return `< ${text(step)}`;
  if (value < 1 && value >= 1 - step / 2) return `> ${text(1 - step)}`;
  return text(value);
}

/** As many digits as keep two shares on the sides of each other on which they are. */
export function digitsApart(first, second) {
  for (let digits = 1; digits < 8; digits += 1) {
    const [one, two] = [first, second].map((value) => Number((value * 100).toFixed(digits)));
    if (Math.sign(one - two) === Math.sign(first - second)) return digits;
  }
  return 8;
}

export function size(bytes) {
  const unit = bytes < 1e6 ? "kilobyte" : "megabyte";
  const amount = bytes < 1e6 ? bytes / 1e3 : bytes / 1e6;
  const format = { style: "unit", unit, maximumFractionDigits: bytes < 1e4 ? 1 : 0 };
  return new Intl.NumberFormat(region(), format).format(amount);
}

export function seconds(count) {
  const format = { style: "unit", unit: "second", unitDisplay: "long" };
  return new Intl.NumberFormat(region(), format).format(count);
}
