// The voice: clips arrive one by one while the text is still written, and are played in order.
const audio = element.querySelector("audio");
const speaking = element.querySelector(".speaking"), unmute = element.querySelector(".unmute");

let turn = 0;     // whose clips are being played
let clips = [];
let next = 0;     // the clip that is played next
let playing = false;
let hushed = 0;   // the turn, where nobody wants to hear any more of it

function say(on) {
  playing = on;
  speaking.hidden = !on;
  window.dispatchEvent(new CustomEvent("chatacter:voice", { detail: on }));
}

function play() {
  if (playing || next >= clips.length || turn === hushed) return;
  audio.src = clips[next];
  next += 1;
  unmute.hidden = true;
  say(true);
  audio.play().catch((error) => {
    say(false);
    if (error.name !== "NotAllowedError") return;
    next -= 1;
    unmute.hidden = false;
  });
}

function hush() {
  hushed = turn;
  audio.pause();
  say(false);
  unmute.hidden = true;
}

function hear() {
  const value = props.value;
  if (!value || !value.clips) return;
  if (value.turn !== turn) {
    audio.pause();
    say(false);
    turn = value.turn;
    next = hushed = 0;
  }
  clips = value.clips;
  play();
}

audio.addEventListener("playing", () => performance.mark(`chatacter:clip:${turn}:${next}`));
for (const over of ["ended", "error"]) {
  audio.addEventListener(over, () => {
    say(false);
    play();
  });
}
unmute.addEventListener("click", play);
window.addEventListener("chatacter:hush", hush);
watch("value", hear);
hear();
