// The conversation. A message is an element of its own that changes only where the message does; what can be done with
// it stands below it, quietly: shown on hover and focus, always below the last one, behind a button where nothing hovers.
const log = element.querySelector(".said");
const turns = element.querySelector(".turns");
const bubbles = []; // for each message: its element, and what is shown of it
const hush = () => window.dispatchEvent(new Event("chatacter:hush"));
let open = null; // the message being edited or about to be deleted: { id, how }

function act(what, one, more = {}) {
  open = null;
  hush();
  trigger("act", { what, id: one.id, ...more });
}

async function copied(one, pressed) {
  await navigator.clipboard.writeText(one.content);
  pressed.classList.add("is-done");
  pressed.setAttribute("aria-label", "Copied");
  setTimeout(() => {
    pressed.classList.remove("is-done");
    pressed.setAttribute("aria-label", "Copy");
  }, 1600);
}

function swipes(one) {
  const group = document.createElement("span");
  group.className = "swipes";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Versions");
  const step = (by) => () => act("swipe", one, { to: one.siblings[one.index + by] });
  const older = button("older", "Earlier version", step(-1));
  const newer = button("newer", "Later version", step(1));
  older.disabled = one.index === 0;
  newer.disabled = one.index === one.siblings.length - 1;
  const where = document.createElement("span");
  where.textContent = `${one.index + 1}/${one.siblings.length}`;
  group.append(older, where, newer);
  return group;
}

function look(one, how) {
  return () => {
    open = how ? { id: one.id, how } : null;
    draw();
    if (how === "edit") log.querySelector("textarea")?.focus();
    if (how === "cut") log.querySelector(".sure button")?.focus();
    if (!how) log.querySelector(`[data-id="${CSS.escape(one.id)}"] [data-act="edit"]`)?.focus();
  };
}

function deeds(one) {
  const own = one.role === "user";
  const row = document.createElement("span");
  row.className = "deeds";
  if (!own && !one.first) row.append(button("again", "Another reply", () => act("again", one)));
  if (!own && !one.first && one.last) {
    const cut = one.status !== "complete";
    row.append(button("go_on", "Go on", () => act("go_on", one), cut ? "Go on" : ""));
  }
  if (own && one.last) row.append(button("again", "Get a reply", () => act("again", one), "Get a reply"));
  row.append(button("edit", "Edit", look(one, "edit")));
  row.append(button("copy", "Copy", (event) => copied(one, event.currentTarget)));
  if (!one.first) row.append(button("fork", "Begin another conversation from here", () => act("fork", one)));
  if (!one.first) row.append(button("cut", "Delete", look(one, "cut")));
  return row;
}

function below(one) {
  const row = document.createElement("div");
  row.className = "below";
  if (!one.id) return row;
  if (one.siblings.length > 1) row.append(swipes(one));
  row.append(deeds(one));
  const more = button("more", "What can be done with this", () => {
    more.setAttribute("aria-expanded", String(row.classList.toggle("is-open")));
  });
  more.setAttribute("aria-expanded", "false");
  row.append(more);
  return row;
}

function sure(one) {
  const row = document.createElement("div");
  row.className = "below sure is-open";
  const words = document.createElement("span");
  words.textContent = one.last ? "Delete this?" : "Delete this and all that follows?";
  row.append(words, button("yes", "Delete", () => act("cut", one), "Delete"));
  row.append(button("no", "Keep", look(one, null), "Keep"));
  return row;
}

function editor(one) {
  const form = document.createElement("form");
  form.className = "rewrite";
  const text = document.createElement("textarea");
  text.value = one.content;
  text.setAttribute("aria-label", "What this message says");
  text.rows = Math.min(14, Math.max(2, Math.ceil(one.content.length / 60) + one.content.split("\n").length - 1));
  const save = document.createElement("button");
  save.textContent = one.role === "user" ? "Say this instead" : "Save";
  save.className = "strong";
  const said = () => text.value.trim() && act(one.role === "user" ? "instead" : "rewrite", one, { text: text.value.trim() });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    said();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") look(one, null)();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) said();
  });
  const row = document.createElement("div");
  row.append(save, button("no", "Cancel", look(one, null), "Cancel"));
  form.append(text, row);
  return form;
}

function words(one) {
  const bubble = document.createElement("div");
  bubble.className = "words";
  if (one.writing && !one.content) {
    bubble.classList.add("is-waiting");
    bubble.append(...[0, 1, 2].map(() => document.createElement("i")));
  } else {
    bubble.append(markdown(one.content));
  }
  return bubble;
}

function filled(item, one) {
  const how = open && one.id && open.id === one.id ? open.how : null;
  const now = JSON.stringify([one, how]);
  if (item.now === now) return;
  const focused = item.element.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  item.now = now;
  item.element.className = one.role === "user" ? "own" : "bot";
  item.element.classList.toggle("is-last", one.last);
  item.element.dataset.id = one.id;
  const name = one.name ? [Object.assign(document.createElement("span"), { className: "name", textContent: one.name })] : [];
  if (how === "edit") item.element.replaceChildren(editor(one));
  else item.element.replaceChildren(...name, words(one), how === "cut" ? sure(one) : below(one));
  if (focused) item.element.querySelector(`[data-act="${focused}"]:not(:disabled)`)?.focus();
}

// Of a group: who answers what is said next, and whether somebody goes on without being asked.
function answering(value) {
  turns.hidden = value.group.length === 0;
  const choose = (id, name, label) => {
    const chip = button("address", label, () => trigger("act", { what: "address", id }), name);
    chip.setAttribute("aria-pressed", String(value.to === id));
    return chip;
  };
  const chips = value.group.map((one) => choose(one.id, one.name, `${one.name} answers`));
  if (value.free) chips.unshift(choose("", "Anyone", "Whoever's turn it is answers"));
  const last = value.messages.at(-1);
  const next = button("next", "Let somebody speak without being asked", () => act("next", last), "Go on");
  next.disabled = value.writing || !last?.id || last.id.startsWith("greeting-");
  const focused = turns.contains(document.activeElement) ? [...turns.children].indexOf(document.activeElement) : -1;
  turns.replaceChildren(...chips, next);
  turns.children[focused]?.focus();
}

function draw() {
  const value = props.value;
  if (!value || !value.messages) return;
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const before = bubbles.length;
  value.messages.forEach((one, at) => {
    if (!bubbles[at]) {
      bubbles[at] = { element: document.createElement("li"), now: "" };
      log.append(bubbles[at].element);
    }
    const last = at === value.messages.length - 1;
    filled(bubbles[at], { ...one, first: one.role !== "user" && at === 0, last, writing: last && value.writing });
  });
  if (value.group) answering(value);
  for (const gone of bubbles.splice(value.messages.length)) gone.element.remove();
  if (near || bubbles.length > before) log.scrollTop = log.scrollHeight;
}

window.addEventListener("chatacter:show", (event) => {
  const one = log.querySelector(`[data-id="${CSS.escape(event.detail)}"]`);
  if (!one) return;
  one.scrollIntoView({ block: "center" });
  one.classList.add("is-shown");
  setTimeout(() => one.classList.remove("is-shown"), 2400);
});
element.querySelector(".bar").append(
  button("people", "Who is here", () => window.dispatchEvent(new Event("chatacter:company")), "Who is here"),
  button("known", "Memory", () => window.dispatchEvent(new Event("chatacter:known")), "Memory"),
  button("shelf", "Conversations", () => window.dispatchEvent(new Event("chatacter:shelf")), "Conversations"),
);
watch("value", draw);
draw();
