// The lines for `.env` are put together here, in the browser: the key goes nowhere.
const form = element.querySelector("form"), lines = element.querySelector("pre"), copy = element.querySelector(".copy");
const { provider, url, model, key } = form.elements;
const KNOWN = {
  groq: ["https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "Make a key at console.groq.com/keys."],
  openai: ["https://api.openai.com/v1", "gpt-4o-mini", "Make a key at platform.openai.com/api-keys."],
  ollama: ["http://localhost:11434/v1", "llama3.2", "No key needed; run `ollama pull llama3.2` first."],
  other: ["", "", "Any server with OpenAI's /chat/completions will do."],
};
const hint = element.querySelector(".hint");

// One line of a .env file. Single quotes keep everything as it is; what cannot stand in them is left out.
const clean = (text) => text.replace(/[^\x21-\x7e]|'/g, "");
const entry = (name, text) => `${name}=${/^[\w.:\/@+-]*$/.test(clean(text)) ? clean(text) : `'${clean(text)}'`}`;

function write() {
  const all = [entry("MODEL__URL", url.value), entry("MODEL__NAME", model.value)];
  if (key.value) all.push(entry("MODEL__API_KEY", key.value));
  lines.textContent = all.join("\n");
}

function prefill() {
  const [address, name, told] = KNOWN[provider.value];
  url.value = address;
  model.value = name;
  hint.textContent = told;
  write();
}

provider.addEventListener("change", prefill);
form.addEventListener("input", write);
form.addEventListener("submit", (event) => event.preventDefault());
copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(lines.textContent);
  copy.textContent = "Copied";
  setTimeout(() => { copy.textContent = "Copy"; }, 2000);
});
prefill();
