// Passkeys: runs the ceremony of a form when it is sent, and puts the answer into its field. Without scripts or WebAuthn
// these forms stay hidden.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const described = (list) => (list || []).map((credential) => ({ ...credential, id: bytes(credential.id) }));

async function ceremony(kind, options) {
  const publicKey = { ...options, challenge: bytes(options.challenge) };
  if (kind === "create") {
    publicKey.user = { ...options.user, id: bytes(options.user.id) };
    publicKey.excludeCredentials = described(options.excludeCredentials);
  } else {
    publicKey.allowCredentials = described(options.allowCredentials);
  }
  const { id, rawId, type, response } = await navigator.credentials[kind]({ publicKey });
  const answer = { clientDataJSON: text(response.clientDataJSON) };
  if (kind === "create") {
    answer.attestationObject = text(response.attestationObject);
    answer.transports = response.getTransports ? response.getTransports() : [];
  } else {
    answer.authenticatorData = text(response.authenticatorData);
    answer.signature = text(response.signature);
    answer.userHandle = response.userHandle ? text(response.userHandle) : null;
  }
  return JSON.stringify({ id, rawId: text(rawId), type, response: answer });
}

async function send(form) {
  const problems = form.querySelectorAll("[data-passkey-problem]");
  const button = form.querySelector("button");
  problems.forEach((problem) => { problem.hidden = true; });
  button.disabled = true;
  try {
    // The server takes an answer for five minutes. Sent empty after three, the form brings a fresh page.
    if (performance.now() < 180000) {
      form.elements.credential.value = await ceremony(form.dataset.passkey, JSON.parse(form.dataset.options));
    }
    HTMLFormElement.prototype.submit.call(form);
  } catch (error) {
    const name = error.name === "InvalidStateError" ? "known" : "failed";
    problems.forEach((problem) => { problem.hidden = problem.dataset.passkeyProblem !== name; });
    button.disabled = false;
  }
}

if (window.PublicKeyCredential) {
  document.querySelectorAll("[data-passkey-missing]").forEach((element) => { element.hidden = true; });
  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form);
    });
  });
}
