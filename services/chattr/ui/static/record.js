// Takes: recordings that were made here, or files. At most so many; each can be listened to and taken away.
function extension(type) {
  const kind = type.split(";")[0].split("/")[1] || "bin";
  return kind === "mpeg" ? "mp3" : kind.replace(/^x-/, "");
}

const LARGEST = 10 * 1024 * 1024; // what the API takes of one recording
const TOGETHER = 22 * 1024 * 1024; // and of a request, in which they are a third longer

function takes(place, most, complain) {
  const all = [];
  const list = document.createElement("ol");
  list.className = "taken";
  const row = document.createElement("div");
  row.className = "line";
  let recording = null; // the recorder, while it runs
  let starting = false; // whether the microphone is being asked for
  let round = 0; // raised when all is cleared: what began before is not kept

  function shown() {
    list.replaceChildren(...all.map((one, number) => {
      const item = document.createElement("li");
      const sound = document.createElement("audio");
      sound.controls = true;
      sound.src = `data:${one.type};base64,${one.data}`;
      sound.setAttribute("aria-label", one.name);
      item.append(sound, button("cut", `Take ${one.name} away`, () => {
        all.splice(number, 1);
        shown();
      }));
      return item;
    }));
    row.hidden = all.length >= most;
  }

  function keep(file) {
    const size = (one) => (one.data.length * 3) / 4;
    if (size(file) > LARGEST) return complain("A recording is at most 10 MB. Send a shorter one, or one that is compressed.");
    if ([...all, file].reduce((sum, one) => sum + size(one), 0) > TOGETHER) return complain("All recordings together are at most 22 MB. Take one away, or send compressed ones.");
    if (all.length < most) all.push({ name: file.name, type: file.type || "audio/wav", data: file.data });
    shown();
  }

  async function begin() {
    if (starting) return;
    if (!navigator.mediaDevices) return complain("This browser gives the microphone to pages behind HTTPS, or on localhost, alone. Choose a file.");
    let stream;
    const mine = round;
    starting = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    } catch {
      if (mine === round) complain("The microphone is not there, or not allowed. Allow it in the browser, or choose a file.");
      return;
    } finally {
      if (mine === round) starting = false;
    }
    if (mine !== round) return stream.getTracks().forEach((track) => track.stop());
    const parts = [];
    const since = Date.now();
    const recorder = recording = new MediaRecorder(stream);
    const clock = setInterval(() => { toggle.lastChild.textContent = `Stop (${Math.round((Date.now() - since) / 1000)} s)`; }, 250);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      if (mine !== round) return;
      const type = recorder.mimeType || "audio/webm";
      recording = null;
      draw();
      read(new File(parts, `recording.${extension(type)}`, { type: type.split(";")[0] }), (file) => { if (mine === round) keep(file); });
    });
    recorder.start();
    draw();
  }

  function draw() {
    toggle.replaceChildren(icon(recording ? "stop" : "record"), recording ? "Stop" : "Record");
    toggle.setAttribute("aria-label", recording ? "Stop recording" : "Record");
    toggle.setAttribute("aria-pressed", String(Boolean(recording)));
  }

  const toggle = button("take", "Record", () => (recording ? recording.stop() : begin()), "Record");
  row.append(toggle, chooser("Choose a file", "audio/*,video/mp4,video/webm", keep));
  place.replaceChildren(list, row);
  draw();
  return {
    get: () => all,
    clear: () => {
      all.length = 0;
      round += 1;
      recording?.stop();
      recording = null;
      starting = false;
      draw();
      shown();
    },
  };
}
