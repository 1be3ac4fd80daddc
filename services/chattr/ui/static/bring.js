// Files in and out of the page, as data: nothing is uploaded, nothing fetched.
function bytesOf(dataUrl) {
  const [head, body] = dataUrl.split(",", 2);
  return new Blob([Uint8Array.from(atob(body), (c) => c.charCodeAt(0))], { type: head.slice(5).split(";")[0] });
}

function save(file) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(bytesOf(file.source));
  anchor.download = file.name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
}

function read(file, then) {
  const reader = new FileReader();
  reader.addEventListener("load", () => then({ name: file.name, type: file.type, data: reader.result.slice(reader.result.indexOf(",") + 1) }));
  reader.readAsDataURL(file);
}

// A button that lets one choose a file.
function chooser(label, accept, then) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = accept;
  input.setAttribute("aria-label", label);
  input.addEventListener("change", () => {
    if (input.files.length) read(input.files[0], then);
    input.value = "";
  });
  const all = document.createElement("label");
  all.className = "choose";
  all.append(label, input);
  return all;
}
