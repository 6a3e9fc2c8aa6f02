// The 3-D Secure step: the bank's page in a dialog on top of the shop's page.

const CHALLENGE_STYLE = `
  dialog { width: min(460px, calc(100vw - 32px)); height: min(520px, calc(100vh - 32px)); padding: 0; border: 0;
    border-radius: 12px; overflow: hidden; background: #fff; box-shadow: 0 24px 60px rgb(10 20 40 / 35%); }
  dialog::backdrop { background: rgb(15 23 42 / 55%); }
  iframe { width: 100%; height: 100%; border: 0; display: block; }
  button { position: absolute; top: 10px; right: 10px; width: 32px; height: 32px; border: 0; border-radius: 50%;
    background: transparent; color: #475569; font: 22px/1 system-ui, sans-serif; cursor: pointer; }
  button:hover { background: #eef2f7; } button:focus-visible { outline: 2px solid #4f46e5; }
`;

// Resolve when the customer has finished or closed the page at `address`. Only the path of `address` is used: the shop's
// server may reach the sandbox by a different host name than this page does.
async function challenge(address) {
  const url = ORIGIN + new URL(address).pathname;
  const { host, dialog, frame } = challengeDialog(url);
  document.body.append(host);
  dialog.showModal();
  const closed = new Promise((resolve) => {
    const listen = (event) => {
      if (event.source !== frame.contentWindow || event.origin !== ORIGIN) return;
      if (event.data !== "stripe-sandbox:authenticated") return;
      window.removeEventListener("message", listen);
      resolve(true);
    };
    window.addEventListener("message", listen);
    dialog.addEventListener("close", () => {
      window.removeEventListener("message", listen);
      resolve(false);
    });
  });
  const authenticated = await closed;
  host.remove();
  if (!authenticated) await reportFailure(url);
}

// Closing the dialog counts as a failed authentication, so submit the page's form with that outcome. The response is
// ignored because the caller reads the intent next.
async function reportFailure(url) {
  const body = new URLSearchParams({ outcome: "fail" });
  await fetch(url, { method: "POST", mode: "no-cors", credentials: "omit", body }).catch(() => undefined);
}

function challengeDialog(url) {
  const host = document.createElement("div");
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CHALLENGE_STYLE);
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [sheet];
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "3-D Secure authentication");
  const frame = document.createElement("iframe");
  frame.src = url;
  frame.title = "3-D Secure authentication";
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.textContent = "×";
  cancel.setAttribute("aria-label", "Cancel authentication");
  cancel.addEventListener("click", () => dialog.close());
  dialog.append(frame, cancel);
  shadow.append(dialog);
  return { host, dialog, frame };
}
