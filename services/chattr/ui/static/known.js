// What a character remembers, in a sheet over the page: read where it comes from, correct, pin, forget.
const sheet = element.querySelector("dialog"), told = sheet.querySelector(".told"), none = sheet.querySelector(".none");
const summed = sheet.querySelector(".summed"), kept = sheet.querySelector(".kept"), further = sheet.querySelector(".further");
const seek = sheet.querySelector(".seek"), q = seek.querySelector("input"), kind = seek.querySelector("select");
const NOTHING = {
  "": "Nothing is remembered yet. What is said is remembered a moment after it was said.",
  fact: "No facts yet. They are drawn from what is said where the language model is able to.",
  turn: "Nothing that was said is remembered yet.",
};
let seen = 0; // the change that is shown
let open = null; // what is being corrected or forgotten: { id, how }, what asks for it, and what was sent and is not done
const LONG = 360; // longer texts are cut short until somebody wants all of one
const whole = new Set(); // those
let all = []; // the memories of the pages that were asked for
let value = null;
let awaited = false; // whether the sheet is to open with the next answer: a later one opens none that was closed

let sought = { q: "", kind: "" }; // what is looked for; more may be typed by now
const ask = (what, more = {}) => trigger("act", { what, id: "", text: "", after: "", ...sought, ...more });
const when = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

function look(id, how) {
  return () => {
    if (open?.id !== id || open.how !== how) open = how ? { id, how } : null;
    draw();
    const item = sheet.querySelector(`[data-id="${CSS.escape(id)}"]`);
    item?.querySelector(how === "correct" ? "textarea" : how ? ".ask button" : "[data-act]")?.focus();
  };
}

function correcting(one, deed) {
  const form = document.createElement("form");
  form.className = "ask";
  const field = document.createElement("textarea");
  field.value = one.text;
  field.rows = Math.min(10, Math.max(2, Math.ceil(one.text.length / 64)));
  field.setAttribute("aria-label", "What is remembered");
  const done = button("yes", "Save", () => {}, "Save");
  done.type = "submit";
  form.append(field, done, button("no", "Cancel", look(one.id, null), "Cancel"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!field.value.trim() || open.sent) return;
    open.sent = deed; // what was typed stays until it is taken
    ask(deed, { id: one.id, text: field.value.trim() });
  });
  return form;
}

function sure(one, words, yes, deed) {
  const row = document.createElement("div");
  row.className = "ask";
  const go = button("yes", yes, () => {
    open = null;
    ask(deed, { id: one.id });
  }, yes);
  go.classList.add("grave");
  row.append(words, go, button("no", "Keep", look(one.id, null), "Keep"));
  return row;
}

// Where something comes from. A message of this conversation is scrolled to, another conversation is opened.
function source(words, one) {
  if (!one.message && (one.here || !one.conversation)) return document.createTextNode(words);
  return button("source", one.message ? "Show where it was said" : "Open that conversation", () => {
    sheet.close();
    if (one.message) window.dispatchEvent(new CustomEvent("chatacter:show", { detail: one.message }));
    else ask("open", { id: one.conversation });
  }, words);
}

function item(one, about, acts, ways) {
  const row = document.createElement("li");
  row.dataset.id = one.id;
  const text = document.createElement("p");
  text.className = "text";
  text.textContent = one.text || "All of it was forgotten.";
  const below = document.createElement("div");
  below.className = "about";
  below.append(...about);
  if (one.text.length > LONG && !whole.has(one.id)) {
    text.classList.add("is-long");
    below.append(button("source", "Show all of it", () => {
      whole.add(one.id);
      look(one.id, open?.id === one.id ? open.how : null)();
    }, "Show all"));
  }
  const deeds = document.createElement("span");
  deeds.className = "acts";
  deeds.append(...acts);
  below.append(deeds);
  row.append(text, below);
  if (open && open.id === one.id) row.append(open.asked ??= ways[open.how]());
  return row;
}

function tag(words, strong = false) {
  const one = document.createElement("span");
  one.className = strong ? "tag is-strong" : "tag";
  one.textContent = words;
  return one;
}

function summary(one) {
  const about = [source(one.messages ? `The first ${one.messages} messages, to “${one.through}”` : "Another branch", one)];
  if (one.corrected) about.push(tag("corrected"));
  if (one.left) about.push(tag("not in use"));
  return item(one, about, [
    button("edit", "Correct this summary", look(one.id, "correct")),
    button("again", "Take this summary back", look(one.id, "cut")),
  ], {
    correct: () => correcting(one, "correct_summary"),
    cut: () => sure(one, "It is made anew from what was said when it is needed. To have something forgotten for good, forget it below or delete the message.", "Take back", "drop_summary"),
  });
}

function memory(one) {
  const said = one.own ? "you said" : `${value.name} said`;
  const place = one.here ? "in this conversation" : "in another conversation";
  const about = [tag(one.kind === "fact" ? "fact" : said, one.kind === "fact"), source(`${when(one.when)}, ${place}`, one)];
  if (one.left) about.push(tag("on a branch that was left"));
  const pin = button("pin", "Have this in mind always", () => ask(one.pinned ? "unpin" : "pin", { id: one.id }));
  pin.setAttribute("aria-pressed", String(one.pinned));
  return item(one, about, [
    pin,
    button("edit", "Correct this memory", look(one.id, "correct")),
    button("cut", "Forget this memory", look(one.id, "cut")),
  ], {
    correct: () => correcting(one, "correct"),
    cut: () => sure(one, "Forget this for good, with what was made of it? What was said stays in its conversation.", "Forget", "forget"),
  });
}

function draw() {
  if (value) redrawn(sheet, paint);
}

function paint() {
  sheet.querySelector("h2").textContent = `What ${value.name} remembers`;
  told.textContent = value.told;
  told.hidden = !value.told;
  summed.hidden = !value.summaries.length;
  summed.querySelector("ul").replaceChildren(...value.summaries.map(summary));
  none.textContent = value.away || (value.q ? "Nothing that bears on this is remembered." : NOTHING[value.kind]);
  none.hidden = Boolean(all.length) || Boolean(value.told);
  seek.hidden = Boolean(value.away);
  kept.replaceChildren(...all.map(memory));
  further.hidden = !value.next;
}

function take() {
  const now = props.value;
  if (!now || !now.at || now.at === seen) return;
  seen = now.at;
  if (now.after && now.after !== value?.next) return; // more of a list that is not shown any more, or has it already
  value = now;
  all = now.after ? [...all, ...now.items] : now.items;
  if (open?.sent && open.sent === now.what && open.id === now.id) {
    if (now.told) open.sent = "";
    else open = null;
  }
  draw();
  if (!now.open) sheet.close();
  else if (!sheet.open && (awaited || now.told)) sheet.showModal();
  awaited = false;
}

further.append(button("more-of", "Show more", () => ask("list", { q: value.q, kind: value.kind, after: value.next }), "Show more"));

function search() {
  sought = { q: q.value, kind: kind.value };
  ask("list");
}
seek.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
kind.addEventListener("change", search);
q.addEventListener("search", () => { if (!q.value) search(); });
sheet.querySelector("header").append(button("close", "Close", () => sheet.close()));
sheet.addEventListener("close", () => { open = null; });
sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
window.addEventListener("chatacter:known", () => {
  q.value = kind.value = "";
  awaited = true;
  search();
});
watch("value", take);
take();
