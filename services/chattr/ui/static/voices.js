// Voices, in a sheet over the page: heard, chosen, made of others, cloned from somebody who consents, taken back.
const sheet = element.querySelector("dialog"), told = sheet.querySelector(".told"), sound = sheet.querySelector(":scope > audio");
const pick = sheet.querySelector(".pick select"), own = sheet.querySelector(".own"), asleep = sheet.querySelector(".asleep");
const blend = sheet.querySelector(".blend form"), rows = blend.querySelector(".rows");
const consent = sheet.querySelector("form.consent"), samples = sheet.querySelector("form.samples"), given = sheet.querySelector(".given");
const MOST_PARTS = 8;
let seen = 0; // the change that is shown
let value = null;
let open = null; // what is about to be taken away
let awaited = false; // whether the sheet is to open with the next answer: a later one opens none that was closed

const ask = (what, more = {}) => {
  busy(true);
  trigger("act", { what, voice: "", name: "", blend: "{}", consent: "", language: "", recordings: "[]", ...more });
};
const say = (sentence, good = false) => {
  told.textContent = sentence;
  told.hidden = !sentence;
  told.classList.toggle("is-good", good);
};
const busy = (on) => sheet.querySelector(".inner").classList.toggle("is-busy", on);
const languages = new Intl.DisplayNames([], { type: "language" });
const spoken = (tag) => { try { return languages.of(tag); } catch { return tag; } };

function options(voices) {
  const groups = new Map();
  for (const one of voices) {
    const name = [spoken(one.language), value.models > 1 ? one.model : ""].filter(Boolean).join(", ");
    if (!groups.has(name)) groups.set(name, Object.assign(document.createElement("optgroup"), { label: name }));
    groups.get(name).append(new Option(one.name, one.id));
  }
  return [...groups.values()];
}

function fillSelect(select, voices, chosen) {
  const kept = chosen ?? select.value;
  select.replaceChildren(...options(voices));
  if ([...select.options].some((one) => one.value === kept)) select.value = kept;
}

function use(id, name) {
  if (value.chosen !== id) return button("use", `Let ${value.name} speak with ${name}`, () => ask("use", { voice: id }), "Choose");
  const chosen = button("use", `${value.name} speaks with ${name}`, () => {}, "Chosen");
  chosen.disabled = true;
  return chosen;
}
const hear = (id, name) => button("hear", `Hear ${name}`, () => ask("hear", { voice: id }), "");

function about(one) {
  if (one.kind === "cloned") return `cloned, ${spoken(one.language)}`;
  const total = Object.values(one.blend ?? {}).reduce((sum, share) => sum + share, 0);
  return Object.entries(one.blend ?? {}).map(([name, share]) => `${Math.round((100 * share) / total)} % ${named(name)}`).join(", ");
}

const named = (id) => value.voices.find((one) => one.id === id)?.name ?? id;

function asked(id, question, yes, deed) {
  const row = document.createElement("div");
  row.className = "ask";
  const go = button("yes", yes, () => { open = null; ask(...deed); }, yes);
  go.classList.add("grave");
  row.append(question, go, button("no", "Keep", () => { open = null; draw(); }, "Keep"));
  return row;
}

function item(id, name, words, acts, question) {
  const row = document.createElement("li");
  row.dataset.id = id;
  const title = document.createElement("p");
  title.className = "text";
  title.append(Object.assign(document.createElement("strong"), { textContent: name }), ` ${words}`);
  const deeds = document.createElement("span");
  deeds.className = "acts";
  deeds.append(...acts);
  row.append(title, deeds);
  if (open === id) row.append(question());
  return row;
}

const look = (id) => () => {
  open = id;
  draw();
  sheet.querySelector(`[data-id="${CSS.escape(id)}"] .ask button`)?.focus();
};

function voice(one) {
  const acts = [hear(one.id, one.name), use(one.id, one.name), button("cut", `Delete ${one.name}`, look(one.id))];
  return item(one.id, one.name, about(one), acts, () => asked(one.id, "Delete this voice? Characters that speak with it fall silent.", "Delete", ["delete", { voice: one.id }]));
}

function agreement(one) {
  const hanging = one.voices.length ? `${one.voices.join(", ")} falls silent at once, and every recording is removed.` : "The recording is removed.";
  const acts = [button("cut", `Revoke ${one.name}'s consent`, look(one.id), "Revoke")];
  return item(one.id, one.name, spoken(one.language), acts, () => asked(one.id, `Revoke it? ${hanging}`, "Revoke", ["revoke", { consent: one.id }]));
}

function part(chosen, share) {
  const row = document.createElement("div");
  row.className = "part";
  const select = document.createElement("select");
  select.setAttribute("aria-label", "Voice to mix in");
  fillSelect(select, value.voices.filter((one) => one.kind === "built_in"), chosen);
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, value: share });
  slider.setAttribute("aria-label", "Its share");
  row.append(select, slider, button("cut", "Take this voice out", () => {
    row.remove();
    limit();
  }));
  return row;
}

function limit() {
  more.hidden = rows.children.length >= MOST_PARTS;
  rows.querySelectorAll('[data-act="cut"]').forEach((each) => { each.hidden = rows.children.length < 2; });
}

function mixed() {
  const shares = {};
  for (const row of rows.children) {
    const id = row.querySelector("select").value;
    shares[id] = (shares[id] ?? 0) + Number(row.querySelector("input").value);
  }
  return JSON.stringify(shares);
}

function phrase() {
  const chosen = value?.phrases.find((one) => one.language === consent.elements.language.value);
  sheet.querySelector(".phrase").textContent = chosen?.text ?? "";
}

function cloning() {
  const refused = sheet.querySelector(".refused");
  refused.textContent = value.refused;
  refused.hidden = !value.refused;
  consent.hidden = samples.hidden = Boolean(value.refused);
  const { language } = consent.elements, chosen = language.value;
  language.replaceChildren(...value.phrases.map((one) => new Option(spoken(one.language), one.language)));
  if (chosen) language.value = chosen;
  phrase();
  const whose = samples.elements.consent, before = value.agreed || whose.value;
  whose.replaceChildren(...value.consents.map((one) => new Option(one.name, one.id)));
  if (value.consents.some((one) => one.id === before)) whose.value = before;
  samples.hidden = samples.hidden || !value.consents.length;
  given.hidden = !value.consents.length;
  given.querySelector("ul").replaceChildren(...value.consents.map(agreement));
}

const draw = () => redrawn(sheet, paint);

function paint() {
  const builtIn = value.voices.filter((one) => one.kind === "built_in"), mine = value.voices.filter((one) => one.kind !== "built_in");
  sheet.querySelector("h2").textContent = `How ${value.name} sounds`;
  asleep.textContent = value.asleep;
  asleep.hidden = !value.asleep;
  for (const each of [".pick", "details.blend"]) sheet.querySelector(each).hidden = !builtIn.length;
  sheet.querySelector("details.clone").hidden = !value.voices.length;
  fillSelect(pick, builtIn, pick.value || value.chosen);
  picked();
  own.hidden = !mine.length;
  own.querySelector("ul").replaceChildren(...mine.map(voice));
  if (!rows.children.length && builtIn.length) rows.append(part(builtIn[0].id, 50), part((builtIn[1] ?? builtIn[0]).id, 50));
  limit();
  cloning();
}

function picked() {
  const chosen = value.voices.find((one) => one.id === pick.value);
  sheet.querySelector(".pick .acts").replaceChildren(...(chosen ? [hear(chosen.id, chosen.name), use(chosen.id, chosen.name)] : []));
}

function take() {
  const now = props.value;
  if (!now || !now.at || now.at === seen) return;
  seen = now.at;
  busy(false);
  say(now.told, now.good);
  if (now.away) sheet.querySelector("h2").textContent = "Voices";
  sheet.querySelector(".inner").hidden = Boolean(now.away);
  if (!now.away) {
    value = { ...now, models: new Set(now.voices.map((one) => one.model)).size };
    draw();
    if (now.good && now.agreed) consentTakes.clear();
    if (now.good && now.made) done();
  }
  if (now.sound) {
    window.dispatchEvent(new Event("chatacter:hush"));
    sound.src = now.sound;
    sound.play().catch(() => { sound.controls = true; });
  }
  if (!sheet.open && (awaited || (now.told && !now.good))) sheet.showModal();
  awaited = false;
}

function done() {
  sampleTakes.clear();
  blend.elements.name.value = samples.elements.name.value = "";
  own.scrollIntoView({ block: "nearest" });
}

function strong(words, form) {
  const one = button("go", words, () => form.requestSubmit(), words);
  one.className = "strong main";
  return one;
}

const more = button("more-of", "Another voice", () => {
  rows.append(part(null, 50));
  limit();
}, "Another voice");
blend.querySelector(".buttons").append(more, button("hear", "Hear this mix", () => ask("try", { blend: mixed() }), "Hear it"), strong("Keep it", blend));
consent.querySelector(".buttons").append(strong("Send the consent", consent));
samples.querySelector(".buttons").append(strong("Clone the voice", samples));
const consentTakes = takes(consent.querySelector(".takes"), 1, say), sampleTakes = takes(samples.querySelector(".takes"), 5, say);

blend.addEventListener("submit", (event) => {
  event.preventDefault();
  ask("design", { name: blend.elements.name.value.trim(), blend: mixed() });
});
consent.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!consentTakes.get().length) return say("Record the sentence first, or choose a file with it.");
  ask("consent", { name: consent.elements.name.value.trim(), language: consent.elements.language.value, recordings: JSON.stringify(consentTakes.get()) });
});
samples.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!sampleTakes.get().length) return say("Record the voice first, or choose files with it.");
  ask("clone", { name: samples.elements.name.value.trim(), consent: samples.elements.consent.value, recordings: JSON.stringify(sampleTakes.get()) });
});
consent.elements.language.addEventListener("change", phrase);
pick.addEventListener("change", picked);
sheet.querySelector("header").append(button("close", "Close", () => sheet.close()));
sheet.addEventListener("close", () => {
  open = null;
  sound.pause();
  consentTakes.clear();
  sampleTakes.clear();
});
sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
window.addEventListener("chatacter:voices", () => {
  awaited = true;
  ask("list");
});
watch("value", take);
take();
