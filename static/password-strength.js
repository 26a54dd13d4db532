// Says how easy a new password is to guess while it is typed. Without this script the form works the same: the server
// judges what is sent. A field asks for it with data-strength="/password-strength"; data-words are the words that
// anybody knows about the person.
for (const field of document.querySelectorAll("input[data-strength]")) {
  const meter = document.createElement("meter");
  meter.max = 4;
  meter.low = 1.5;
  meter.high = 2.5;
  meter.optimum = 4;
  // Both keep their room while they say nothing: what appears must not push a button from under the pointer.
  meter.className = "unsaid";
  meter.setAttribute("aria-label", "How hard the password is to guess");
  const words = document.createElement("p");
  words.className = "hint strength";
  words.setAttribute("aria-live", "polite");
  field.after(meter, words);
  let timer;
  let asked = 0;
  const ask = async () => {
    const turn = (asked += 1);
    const known = [field.dataset.words, field.form.elements.username?.value, field.form.elements.name?.value];
    const body = new URLSearchParams({
      csrf: field.form.elements.csrf.value,
      state: field.form.elements.state.value,
      password: [...field.value].slice(0, 64).join(""),
      words: known.filter(Boolean).join(" "),
    });
    const answer = field.value && (await fetch(field.dataset.strength, { method: "POST", body }).catch(() => null));
    if (answer && answer.status === 503 && turn === asked) {
      timer = setTimeout(ask, 1000);
      return;
    }
    const judged = answer && answer.ok ? await answer.json() : null;
    if (turn !== asked) return;
    meter.classList.toggle("unsaid", !judged);
    meter.value = judged ? judged.score : 0;
    words.textContent = judged ? `${judged.word}. ${judged.advice}` : "";
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 400);
  });
}
