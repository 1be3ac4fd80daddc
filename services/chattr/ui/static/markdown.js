// Markdown as characters write it, made into elements. Text is only ever set as text: HTML and pictures stay the
// characters that they are written with, and a link is the only thing that leads anywhere.
const INLINE = new RegExp(
  [
    "(`+)(.+?)\\1(?!`)", // 1, 2: code
    "(\\*\\*|__)(?=\\S)(.+?)(?<=\\S)\\3", // 3, 4: strong
    "\\*(?=\\S)([^*]+?)(?<=\\S)\\*", // 5: emphasis
    "(?<!\\w)_(?=\\S)([^_]+?)(?<=\\S)_(?!\\w)", // 6: emphasis
    "~~(?=\\S)(.+?)(?<=\\S)~~", // 7: struck out
    "(?<!!)\\[([^\\]\\n]+)\\]\\((https?:\\/\\/[^\\s)]+)\\)", // 8, 9: a link
    "(https?:\\/\\/[^\\s<>\"'()\\[\\]]*[^\\s<>\"'()\\[\\].,;:!?])", // 10: an address
  ].join("|"),
  "s",
);
const LONGEST_INLINE = 8000; // longer paragraphs are shown as they are: the patterns above take their square in time
const ITEM = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;

function made(tag, ...children) {
  const one = document.createElement(tag);
  one.append(...children);
  return one;
}

function link(words, address) {
  const anchor = made("a", words);
  anchor.href = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  return anchor;
}

function inlineOf(found) {
  const [, , code, , strong, star, under, struck, words, address, bare] = found;
  if (code !== undefined) return made("code", code.trim() || code);
  if (strong !== undefined) return made("strong", ...inline(strong));
  if (star !== undefined || under !== undefined) return made("em", ...inline(star ?? under));
  if (struck !== undefined) return made("s", ...inline(struck));
  return address !== undefined ? link(words, address) : link(bare, bare);
}

function inline(text) {
  const parts = [];
  while (text.length <= LONGEST_INLINE) {
    const found = INLINE.exec(text);
    if (!found) break;
    if (found.index) parts.push(text.slice(0, found.index));
    parts.push(inlineOf(found));
    text = text.slice(found.index + found[0].length);
  }
  if (text) parts.push(text);
  return parts;
}

// Each takes the lines from `at` on and returns an element and the line after it, or nothing.
function fence(lines, at) {
  const mark = /^\s*(```+|~~~+)/.exec(lines[at]);
  if (!mark) return null;
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(mark[1])) end += 1;
  const pre = made("pre", made("code", lines.slice(at + 1, end).join("\n")));
  pre.tabIndex = 0;
  return [pre, end + 1];
}

function run(lines, at, fits) {
  let end = at;
  while (end < lines.length && fits(lines[end])) end += 1;
  return end;
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const end = run(lines, at, (line) => ITEM.test(line));
  const items = lines.slice(at, end).map((line) => made("li", ...inline(ITEM.exec(line)[2])));
  const one = made(first[1] ? "ol" : "ul", ...items);
  if (first[1]) one.start = Number(first[1]);
  return [one, end];
}

function quote(lines, at) {
  const end = run(lines, at, (line) => /^\s*>/.test(line));
  if (end === at) return null;
  return [made("blockquote", markdown(lines.slice(at, end).map((line) => line.replace(/^\s*>\s?/, "")).join("\n"))), end];
}

function single(lines, at) {
  const heading = /^\s*#{1,6}\s+(.+?)\s*#*$/.exec(lines[at]);
  if (heading) return [made("p", made("strong", ...inline(heading[1]))), at + 1];
  return /^\s*([-*_])(\s*\1){2,}\s*$/.test(lines[at]) ? [made("hr"), at + 1] : null;
}

const BLOCKS = [fence, single, list, quote];

function paragraph(lines, at) {
  const begins = (line, number) => number !== at && BLOCKS.some((block) => block(lines, number));
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines[end], end)) end += 1;
  const one = made("p");
  inline(lines.slice(at, end).join("\n")).forEach((part) => one.append(...broken(part)));
  return [one, end];
}

function broken(part) {
  if (typeof part !== "string") return [part];
  return part.split("\n").flatMap((line, number) => (number ? [made("br"), line] : [line]));
}

function markdown(text) {
  const all = document.createDocumentFragment();
  const lines = text.split("\n");
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    let found = null;
    for (const block of BLOCKS) {
      found = block(lines, at);
      if (found) break;
    }
    const [one, next] = found ?? paragraph(lines, at);
    all.append(one);
    at = next;
  }
  return all;
}
